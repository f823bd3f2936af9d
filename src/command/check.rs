//! `check`: everything that a start would refuse, all at once, and what it would only suffer.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{FINE, WRONG};
use crate::args::Args;
use crate::config::{self, Config, Source};
use crate::logs::catalog::{self, Catalog};
use crate::logs::signature::{Signature, Wording};
use crate::logs::{anchors, choice};

/// Anchors that are shorter make the search of every line look at more places.
const STRONG: usize = 6;

/// Prints what is wrong, or that nothing is.
pub(super) fn run(args: &Args) -> Result<u8, String> {
    let config = match Config::load(args) {
        Ok(config) => config,
        Err(mistake) => {
            super::print(&format!("{mistake}\n"))?;
            return Ok(WRONG);
        }
    };
    let catalog = catalog::read(&config.logs.signatures, &config.logs.disable);
    let mut out = String::new();
    for mistake in &catalog.mistakes {
        out.push_str(&placed(&mistake.to_string(), args));
        out.push('\n');
    }
    let sources = config.logs.sources.as_deref().unwrap_or_default();
    let doubles = choice::doubles(sources).into_iter();
    let mut warnings: Vec<_> =
        doubles.map(|what| format!("warning: logs.sources: {what}")).collect();
    let empty = catalog.empty.iter().map(|pattern| {
        format!("warning: logs.signatures '{pattern}': no file there; none of your signatures is read from it")
    });
    warnings.extend(empty);
    warnings.extend(of_catalog(&catalog));
    for warning in &warnings {
        out.push_str(warning);
        out.push('\n');
    }
    let mistakes = catalog.mistakes.len();
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
    let sources = config.logs.sources.as_ref();
    let sources = sources
        .map_or("sources chosen for this host".to_owned(), |sources: &Vec<Source>| {
            counted(sources.len(), "source")
        });
    let built_in = counted(catalog.signatures.len() - catalog.own, "built-in signature");
    let mut out = format!("configuration fine: {sources}; {built_in}, {} of yours", catalog.own);
    if catalog.replaced > 0 {
        let _ = write!(out, " ({} in place of a built-in one)", catalog.replaced);
    }
    out + &format!(", {} disabled", catalog.disabled)
}

/// A mistake of a list in the configuration file, with the line on which the item stands.
fn placed(mistake: &str, args: &Args) -> String {
    let line = || {
        let path = args.config_file.as_ref().filter(|_| mistake.starts_with("logs."))?;
        let item = mistake.split('\'').nth(1)?;
        let yaml = config::read_file("--config.file", path).ok()?;
        let logs = yaml.lines().position(|line| line.starts_with("logs:"))?;
        let at = yaml.lines().skip(logs).position(|line| {
            let said = line.split(" #").next().unwrap_or(line);
            !said.trim_start().starts_with('#') && said.contains(item)
        })?;
        Some(format!("{}:{}: {mistake}", path.display(), logs + at + 1))
    };
    line().unwrap_or_else(|| mistake.to_owned())
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
    let built_in = catalog::read(&[], &[]).signatures;
    built_in.into_iter().flat_map(|signature| signature.programs).collect()
}

/// Why no line will have this program, as it seems.
fn doubtful(program: &str, known: &BTreeSet<String>) -> Option<String> {
    if known.contains(program) {
        return None;
    }
    let bare = program.trim().trim_end_matches(':').to_lowercase();
    let same = |other: &&String| other.to_lowercase() == bare;
    let alike = |other: &&String| bare.len() > 3 && is_slip(&other.to_lowercase(), &bare);
    let meant = known.iter().find(same).or_else(|| known.iter().find(alike));
    let meant = meant.map(|other| format!("; is '{other}' meant?"));
    if program.is_empty() || program.contains([' ', ':', '[']) {
        let cure = meant.unwrap_or_else(|| "; give the word before [pid] or the colon".to_owned());
        return Some(format!("no line has a program '{program}'{cure}"));
    }
    meant.map(|meant| format!("no built-in signature knows the program '{program}'{meant}"))
}

/// Whether two words differ in one letter, left out, added or another, or in two that are swapped.
fn is_slip(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let start = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[start..], &other[start..]);
    let end = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    match (&one[..one.len() - end], &other[..other.len() - end]) {
        ([a, b], [c, d]) => a == d && b == c,
        (one, other) => one.len() <= 1 && other.len() <= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen() {
        for (one, other) in [("kernel", "kernle"), ("sshd", "ssd"), ("sshd", "sshhd"), ("su", "so")]
        {
            assert!(is_slip(one, other), "{one} {other}");
        }
        assert!(!is_slip("kernel", "colonel") && !is_slip("sshd", "httpd"));
    }

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
