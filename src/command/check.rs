//! `check`: everything that a start would refuse, all at once, and what it would only suffer.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::{FINE, WRONG};
use crate::config::{self, Config};
use crate::nearest::distance;
use crate::signatures::anchors;
use crate::signatures::catalog::{self, Catalog};
use crate::signatures::signature::{Signature, Wording};
use crate::sources::defaults;
use crate::text;

mod paths;

/// Anchors that are shorter make the search of every line look at more places.
const STRONG: usize = 6;

/// Prints what is wrong with a configuration, or that nothing is.
pub(crate) fn run(
    (config, mut mistakes): (Config, Vec<config::Error>),
    rootfs: &Path,
) -> Result<u8, String> {
    let mut catalog = catalog::read(&config.logs);
    mistakes.append(&mut catalog.mistakes);
    let mut out = String::new();
    for mistake in &mistakes {
        let _ = writeln!(out, "{}", text::escape(&mistake.to_string()));
    }
    let sources = &config.logs.sources().unwrap_or_default();
    let of_sources =
        defaults::doubles(sources).into_iter().chain(paths::unreadable(sources, rootfs));
    let mut warnings: Vec<_> =
        of_sources.map(|what| format!("warning: logs.sources: {what}")).collect();
    warnings.extend(catalog.warnings.iter().map(|what| format!("warning: {what}")));
    warnings.extend(of_catalog(&catalog));
    for warning in &warnings {
        let _ = writeln!(out, "{}", text::escape(warning));
    }
    let mistakes = mistakes.len();
    if mistakes == 0 {
        out.push_str(&summary(&config, &catalog));
    } else {
        out.push_str(&counted(mistakes, "mistake"));
    }
    if !warnings.is_empty() {
        let _ = write!(out, "; {}", counted(warnings.len(), "warning"));
    }
    out.push('\n');
    super::print(&out)?;
    Ok(if mistakes == 0 { FINE } else { WRONG })
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn summary(config: &Config, catalog: &Catalog) -> String {
    let sources = config.logs.sources().map_or_else(
        || "sources chosen for this host".to_owned(),
        |sources| counted(sources.len(), "source"),
    );
    let built_in = counted(catalog.signatures.len() - catalog.own, "built-in signature");
    let mut out = format!("configuration fine: {sources}; {built_in}, {} of yours", catalog.own);
    if catalog.replaced > 0 {
        let _ = write!(out, " ({} in place of a built-in one)", catalog.replaced);
    }
    out + &format!(", {} disabled", catalog.disabled)
}

/// What is allowed and probably not meant, in the user's own files.
fn of_catalog(catalog: &Catalog) -> Vec<String> {
    let programs = known_programs();
    let mut warnings = Vec::new();
    let own = catalog.signatures.iter().zip(&catalog.places).filter(|(_, place)| !place.built_in);
    for (signature, place) in own {
        let place = &place.text;
        let id = &signature.id.value;
        let mut warn = |what: String| warnings.push(format!("{place}: warning: {id}: {what}"));
        weak(signature).into_iter().for_each(&mut warn);
        for program in &signature.programs {
            if let Some(what) = doubtful(program, &programs) {
                warn(what);
            }
        }
        if signature.samples.matching.is_empty() {
            warn("no sample shows that it matches; add a line under samples.match".to_owned());
        }
        if signature.advice.is_empty() {
            warn("no advice; say what the reader is to do".to_owned());
        }
        if signature.title.starts_with("TODO") {
            warn("the title is still to be written; say what has happened".to_owned());
        }
    }
    warnings
}

/// Wordings that slow down the search for all.
fn weak(signature: &Signature) -> Vec<String> {
    let texts = signature.pattern.0.iter().map(Wording::text);
    let weak = texts
        .map(|text| (text, anchors::strength(text)))
        .filter(|(_, strength)| *strength < STRONG);
    weak.map(|(text, strength)| {
        format!(
            "'{text}' has only {strength} fixed bytes in a row, which slows the search in every line; \
             say more of the line ({STRONG} or more)"
        )
    })
    .collect()
}

/// The programs that the built-in catalogue knows.
fn known_programs() -> BTreeSet<String> {
    let built_in = catalog::built_in();
    built_in.into_iter().flat_map(|signature| signature.programs).collect()
}

/// Why no line will have this program, as it seems.
fn doubtful(program: &str, known: &BTreeSet<String>) -> Option<String> {
    if known.contains(program) {
        return None;
    }
    let bare = program.trim().trim_end_matches(':').to_lowercase();
    let same = |other: &&String| other.to_lowercase() == bare;
    let alike =
        |other: &&String| bare.len() > 3 && distance(&other.to_lowercase(), &bare, 1).is_some();
    let meant = known.iter().find(same).or_else(|| known.iter().find(alike));
    let meant = meant.map(|other| format!("; is '{other}' meant?"));
    if program.is_empty() || program.contains([' ', ':', '[']) {
        let cure = meant.unwrap_or_else(|| "; give the word before [pid] or the colon".to_owned());
        return Some(format!("no line has a program '{program}'{cure}"));
    }
    meant.map(|meant| format!("no built-in signature knows the program '{program}'{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_no_line_has() {
        let known = known_programs();
        let of = |program: &str| doubtful(program, &known);
        assert_eq!((of("sshd"), of("kernel"), of("my-app")), (None, None, None));
        for (program, meant) in [
            ("sshd ", "'sshd'"),
            ("Kernel", "'kernel'"),
            ("kernle", "'kernel'"),
            ("sshd:", "'sshd'"),
        ] {
            assert!(of(program).unwrap().contains(&format!("is {meant} meant?")), "{program}");
        }
        assert!(of("my app").unwrap().contains("no line has"));
    }
}
