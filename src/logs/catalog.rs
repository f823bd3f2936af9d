//! The catalogue: the built-in signatures, those of the user, less the disabled ones.

use std::collections::HashMap;
use std::path::PathBuf;

use serde_saphyr::options;

use super::signature::Signature;
use crate::config::Error;

/// The built-in catalogue, by file.
const BUILT_IN: [(&str, &str); 6] = [
    ("catalog/access.yml", include_str!("catalog/access.yml")),
    ("catalog/kernel.yml", include_str!("catalog/kernel.yml")),
    ("catalog/network.yml", include_str!("catalog/network.yml")),
    ("catalog/processes.yml", include_str!("catalog/processes.yml")),
    ("catalog/services.yml", include_str!("catalog/services.yml")),
    ("catalog/storage.yml", include_str!("catalog/storage.yml")),
];

/// Reads everything together.
///
/// # Errors
/// The first mistake, with file and line.
pub fn load(files: &[String], disable: &[String]) -> Result<Vec<Signature>, Error> {
    let mut signatures = Vec::new();
    let mut places: HashMap<String, String> = HashMap::new();
    for (name, yaml) in BUILT_IN {
        add(name, yaml, false, &mut signatures, &mut places)?;
    }
    for pattern in files {
        for path in expand(pattern)? {
            let yaml = crate::config::read_file("signature file", &path)?;
            add(&path.display().to_string(), &yaml, true, &mut signatures, &mut places)?;
        }
    }
    for id in disable {
        if !places.contains_key(id) {
            return Err(Error::new(format!(
                "logs.disable: there is no signature '{id}'; correct the id or take it out"
            )));
        }
    }
    signatures.retain(|signature| !disable.contains(&signature.id.value));
    Ok(signatures)
}

/// Parses one file and adds its signatures; `check`s what tests have checked of the built-in ones.
fn add(
    name: &str,
    yaml: &str,
    check: bool,
    signatures: &mut Vec<Signature>,
    places: &mut HashMap<String, String>,
) -> Result<(), Error> {
    let options = options! { with_snippet: false };
    let list = serde_saphyr::from_str_with_options::<Option<Vec<Signature>>>(yaml, options)
        .map_err(|error| Error::of_yaml(name, &error))?;
    for signature in list.unwrap_or_default() {
        let place = format!("{name}:{}", signature.id.referenced.line());
        if check && let Some(mistake) = signature.mistake() {
            return Err(Error::new(format!("{place}: {mistake}")));
        }
        let id = signature.id.value.clone();
        if let Some(other) = places.insert(id.clone(), place.clone()) {
            return Err(Error::new(format!("{place}: id '{id}' is taken by {other}")));
        }
        signatures.push(signature);
    }
    Ok(())
}

/// The files of a pattern, sorted; a plain path must exist.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, Error> {
    let refuse =
        |why: &dyn std::fmt::Display| Error::new(format!("logs.signatures '{pattern}': {why}"));
    let paths = glob::glob(pattern).map_err(|error| refuse(&error))?;
    let paths = paths.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(&error))?;
    if paths.is_empty() && !pattern.contains(['*', '?', '[']) {
        return Err(refuse(&"no such file"));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::super::signature::Sample;
    use super::*;
    use crate::logs::header;
    use crate::logs::matcher::Matcher;

    fn with_file(yaml: &str) -> Result<Vec<Signature>, Error> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.yml"), yaml).unwrap();
        load(&[format!("{}/*.yml", dir.path().display())], &[])
    }

    const MINE: &str = "- id: mine\n  title: Mine\n  programs: [app]\n  pattern: 'lost (?P<n>\\d+)'\n  \
        severity: warning\n  verdict: watch\n";

    /// With a header of either form, each sample is counted by its own signature and no other.
    #[test]
    fn every_sample_is_counted_by_its_own_signature_alone() {
        let matcher = Matcher::new(load(&[], &[]).unwrap());
        let mut wrong = Vec::new();
        for (nth, signature) in matcher.signatures().iter().enumerate() {
            let samples = &signature.samples;
            if let Some(mistake) = signature.mistake() {
                wrong.push(mistake);
            }
            assert!(!samples.matching.is_empty() && !samples.no_match.is_empty());
            assert!(!signature.title.is_empty() && !signature.advice.is_empty());
            for sample in &samples.matching {
                assert!(matches!(sample, Sample::Seen { .. }), "{}: from where?", sample.line());
                let sample = sample.line();
                let mut forms = Vec::new();
                if header::parse(sample.as_bytes()).program.is_none() {
                    let program = signature.programs.first().map_or("app", |program| program);
                    let text = sample.strip_prefix(&format!("{program}: ")).unwrap_or(sample);
                    forms.push(format!("Nov 20 05:08:31 web04 {program}[7]: {text}"));
                    forms.push(format!("2026-11-20T05:13:11.5+00:00 web04 {program}: {text}"));
                } else {
                    forms.push(sample.to_owned());
                }
                for form in forms {
                    let found: Vec<_> = matcher.matches(&header::parse(form.as_bytes()));
                    let found: Vec<_> = found.iter().map(|found| found.signature).collect();
                    if found != [nth] {
                        let ids = found.iter().map(|&nth| &*matcher.signatures()[nth].id.value);
                        wrong.push(format!("{:?} match {form}", ids.collect::<Vec<_>>()));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn users_add_and_switch_off() {
        let count = load(&[], &[]).unwrap().len();
        assert_eq!(with_file(MINE).unwrap().len(), count + 1);
        let disable = ["gnome-software-refresh".to_owned()];
        let rest = load(&[], &disable).unwrap();
        assert!(rest.len() == count - 1 && rest.iter().all(|s| s.id.value != disable[0]));
        assert!(load(&[], &["nonsense".to_owned()]).unwrap_err().to_string().contains("nonsense"));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (from, to, says) in [
            ("lost (?P<n>\\d+)", "lost (", "mine.yml:4:"),
            ("lost (?P<n>\\d+)", "x*", "matches every line"),
            ("lost (?P<n>\\d+)", "los\\d(?P<n>\\d+)", "4 fixed bytes in a row"),
            ("severity: warning", "severity: loud", "mine.yml:5:"),
            ("verdict: watch", "verdict: watch\n  colour: red", "mine.yml:7:"),
            ("id: mine", "id: My Own", "mine.yml:1: id 'My Own'"),
            ("id: mine", "id: bash-fork-retry", "taken by catalog/processes.yml:"),
            ("verdict: watch", "verdict: watch\n  count: m", "no wording has a group (?P<m>"),
            (
                "verdict: watch",
                "verdict: watch\n  samples:\n    match: ['found 3']",
                "does not match: found 3",
            ),
            (
                "verdict: watch",
                "verdict: watch\n  samples:\n    no_match: ['lost 3']",
                "must not match",
            ),
            ("  pattern: 'lost (?P<n>\\d+)'\n", "", "pattern"),
        ] {
            let yaml = MINE.replace(from, to);
            assert_ne!(yaml, MINE, "{from}");
            let error = with_file(&yaml).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("mine.yml:"), "{to}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(load(&["/nonexistent.yml".to_owned()], &[]).is_err());
    }
}
