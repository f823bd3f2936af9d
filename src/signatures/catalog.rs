//! The catalogue: the built-in signatures, those of the user, less the disabled ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::signature::Signature;
use crate::config::Logs;
use crate::nearest::nearest;
use crate::yaml::{self, Error};

/// The built-in catalogue, by file.
const BUILT_IN: [(&str, &str); 6] = [
    ("catalog/access.yml", include_str!("catalog/access.yml")),
    ("catalog/kernel.yml", include_str!("catalog/kernel.yml")),
    ("catalog/network.yml", include_str!("catalog/network.yml")),
    ("catalog/processes.yml", include_str!("catalog/processes.yml")),
    ("catalog/services.yml", include_str!("catalog/services.yml")),
    ("catalog/storage.yml", include_str!("catalog/storage.yml")),
];

/// Everything read together: the signatures that are on, and what is wrong with the rest.
#[derive(Debug, Default)]
pub struct Catalog {
    /// In the order of the files; one that replaces a built-in one stands in its place.
    pub signatures: Vec<Signature>,
    /// The file and line of each of them.
    pub places: Vec<Place>,
    /// How many of them are of the user's files.
    pub own: usize,
    /// How many of those replace a built-in one.
    pub replaced: usize,
    /// How many are switched off.
    pub disabled: usize,
    /// What is wrong, each with its file and line.
    pub mistakes: Vec<Error>,
    /// What is probably not meant and refuses nothing, each with its file and line.
    pub warnings: Vec<String>,
}

impl Catalog {
    /// Says in the log what was read, and what of it is probably not meant.
    pub fn announce(&self) {
        for warning in &self.warnings {
            tracing::warn!("{warning}");
        }
        tracing::info!(signatures = self.signatures.len(), own = self.own, "catalogue");
    }
}

/// Where a signature stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// `file:line`.
    pub text: String,
    /// In a file that is built in.
    pub built_in: bool,
}

/// Reads everything together, as a start and a reload take it.
///
/// # Errors
/// The first mistake, with file and line.
pub fn load(logs: &Logs) -> Result<Catalog, Error> {
    let mut catalog = read(logs);
    if catalog.mistakes.is_empty() { Ok(catalog) } else { Err(catalog.mistakes.swap_remove(0)) }
}

/// The signatures that are built in.
pub fn built_in() -> Vec<Signature> {
    read(&Logs::default()).signatures
}

/// Reads everything together and goes on after a mistake.
pub fn read(logs: &Logs) -> Catalog {
    let mut reading = Reading::default();
    for (name, yaml) in BUILT_IN {
        reading.add(name, yaml, true);
    }
    for pattern in &logs.signatures {
        let place = format!("{}:{}", logs.file, pattern.referenced.line());
        match expand(&pattern.value) {
            Err(why) => reading.mistakes.push(Error::new(format!("{place}: {why}"))),
            Ok(paths) if paths.is_empty() => reading.warnings.push(format!(
                "{place}: logs.signatures '{}': no file there; none of your signatures is read from it",
                pattern.value
            )),
            Ok(paths) => paths.iter().for_each(|path| reading.add_file(path)),
        }
    }
    reading.end(logs)
}

/// A catalogue while it is read.
#[derive(Default)]
struct Reading {
    entries: Vec<Entry>,
    /// Position among the entries.
    by_id: HashMap<String, usize>,
    mistakes: Vec<Error>,
    warnings: Vec<String>,
}

/// A signature and where it stands.
struct Entry {
    signature: Signature,
    place: Place,
    replaces: bool,
}

impl Reading {
    fn add_file(&mut self, path: &Path) {
        match yaml::read_file("signature file", path) {
            Ok(yaml) => self.add(&path.display().to_string(), &yaml, false),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    /// Adds the signatures of one file; tests have checked the built-in ones.
    fn add(&mut self, name: &str, yaml: &str, built_in: bool) {
        for signature in parse(name, yaml, &mut self.mistakes) {
            let place = format!("{name}:{}", signature.id.referenced.line());
            let said = if built_in { Vec::new() } else { signature.mistakes() };
            let wrong = !said.is_empty();
            let said = said.into_iter().map(|mistake| Error::new(format!("{place}: {mistake}")));
            self.mistakes.extend(said);
            let id = signature.id.value.clone();
            let known = self.by_id.get(&id).map(|&nth| (nth, &self.entries[nth]));
            match known {
                Some((_, other)) if built_in || !other.place.built_in => {
                    let other = &other.place.text;
                    self.mistakes.push(Error::new(format!(
                        "{place}: id '{id}' is taken by {other}; give one of them another"
                    )));
                }
                _ if wrong => {}
                Some((nth, _)) => {
                    let place = Place { text: place, built_in };
                    self.entries[nth] = Entry { signature, place, replaces: true };
                }
                None => {
                    self.by_id.insert(id, self.entries.len());
                    let place = Place { text: place, built_in };
                    self.entries.push(Entry { signature, place, replaces: false });
                }
            }
        }
    }

    /// Takes out what is switched off.
    fn end(self, logs: &Logs) -> Catalog {
        let mut catalog =
            Catalog { mistakes: self.mistakes, warnings: self.warnings, ..Catalog::default() };
        for id in logs.disable.iter().filter(|id| !self.by_id.contains_key(&id.value)) {
            let (line, id) = (id.referenced.line(), &id.value);
            let meant = nearest(id, self.by_id.keys().map(String::as_str));
            let cure = meant.map_or_else(
                || {
                    "correct the id or take it out (telltale_exporter signatures lists them)"
                        .to_owned()
                },
                |meant| format!("is '{meant}' meant?"),
            );
            catalog.warnings.push(format!(
                "{}:{line}: logs.disable: there is no signature '{id}'; {cure}",
                logs.file
            ));
        }
        for entry in self.entries {
            if logs.disable.iter().any(|id| id.value == entry.signature.id.value) {
                catalog.disabled += 1;
                continue;
            }
            catalog.own += usize::from(!entry.place.built_in);
            catalog.replaced += usize::from(entry.replaces);
            catalog.places.push(entry.place);
            catalog.signatures.push(entry.signature);
        }
        catalog
    }
}

/// The signatures of one file. YAML is understood as a whole or not at all, so a file with a mistake is
/// read again item by item: one mistake shall not hide the next.
fn parse(name: &str, yaml: &str, mistakes: &mut Vec<Error>) -> Vec<Signature> {
    let whole = match yaml::parse(yaml, name) {
        Ok(signatures) => return signatures,
        Err(error) => error,
    };
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for item in items(yaml) {
        match yaml::parse::<Vec<Signature>>(&item, name) {
            Ok(signatures) => found.extend(signatures),
            Err(error) => wrong.push(error),
        }
    }
    if wrong.is_empty() {
        wrong.push(whole);
    }
    mistakes.append(&mut wrong);
    found
}

/// The items of a list that begin at the margin, each behind so many empty lines that its own keep their
/// numbers.
fn items(yaml: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for (nth, line) in yaml.lines().enumerate() {
        if line == "-" || line.starts_with("- ") {
            items.push("\n".repeat(nth));
        }
        if let Some(item) = items.last_mut() {
            item.push_str(line);
            item.push('\n');
        }
    }
    items
}

/// The files of a pattern or directory, sorted; a plain path must exist.
fn expand(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let refuse = |why: &dyn std::fmt::Display| format!("logs.signatures '{pattern}': {why}");
    if !pattern.starts_with('/') {
        return Err(refuse(&"give an absolute path: the service runs in another directory"));
    }
    if Path::new(pattern).is_dir() {
        let mut paths = Vec::new();
        for ending in ["yml", "yaml"] {
            paths.extend(expand(&format!("{}/*.{ending}", glob::Pattern::escape(pattern)))?);
        }
        return Ok(paths);
    }
    let paths = glob::glob(pattern).map_err(|error| refuse(&error))?;
    let paths = paths.collect::<Result<Vec<_>, _>>().map_err(|error| refuse(&error))?;
    if paths.is_empty() && !pattern.contains(['*', '?', '[']) {
        return Err(refuse(&"no such file; correct the path or take it out"));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::export::Export;
    use crate::log_line::header::{self, Line};
    use crate::signatures::matcher::Matcher;
    use crate::signatures::signature::Sample;
    use crate::sources::kernel_ring::dump::Dump;

    fn with_file(yaml: &str) -> Result<Vec<Signature>, Error> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("mine.yml"), yaml).unwrap();
        load(&logs(&[format!("{}/*.yml", dir.path().display())], &[])).map(|read| read.signatures)
    }

    fn logs(signatures: &[String], disable: &[&str]) -> Logs {
        let yaml = format!("logs:\n  signatures: {signatures:?}\n  disable: {disable:?}\n");
        crate::config::Config::parse(&yaml, "t.yml").unwrap().logs
    }

    const MINE: &str = "- id: mine\n  title: Mine\n  programs: [app]\n  pattern: 'lost (?P<n>\\d+)'\n  \
        severity: warning\n  verdict: watch\n";

    fn ids(matcher: &Matcher, line: &Line<'_>) -> Vec<usize> {
        matcher.matches(line).iter().map(|found| found.signature).collect()
    }

    /// As `journalctl -o export` shows the line.
    fn in_journal(matcher: &Matcher, line: &Line<'_>) -> Vec<usize> {
        let field = |name: &str, value: &[u8]| [name.as_bytes(), b"=", value, b"\n"].concat();
        let entry = [
            field("__CURSOR", b"s=1"),
            line.program.map(|name| field("SYSLOG_IDENTIFIER", name)).unwrap_or_default(),
            field("_HOSTNAME", b"web04"),
            field("MESSAGE", line.message),
            b"\n".to_vec(),
        ];
        let mut found = Vec::new();
        Export::default().take(&entry.concat(), |entry| {
            found.extend(entry.lines().flat_map(|line| ids(matcher, &line)));
        });
        found
    }

    /// As /dev/kmsg shows the line.
    fn in_kmsg(matcher: &Matcher, line: &Line<'_>) -> Vec<usize> {
        let escaped = |&byte: &u8| match byte {
            b' '..=b'~' if byte != b'\\' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        let message: String = line.message.iter().map(escaped).collect();
        let mut found = Vec::new();
        Dump::default().take(format!("6,1,2,-;{message}").as_bytes(), |record| {
            found.extend(record.lines().flat_map(|line| ids(matcher, &line)));
        });
        found
    }

    /// With a header of either form, from the journal and from the kernel's ring, each sample is counted
    /// by its own signature and no other.
    #[test]
    fn every_sample_is_counted_by_its_own_signature_alone() {
        let matcher = Matcher::new(built_in());
        let mut wrong = Vec::new();
        for (nth, signature) in matcher.signatures().iter().enumerate() {
            let samples = &signature.samples;
            wrong.extend(signature.mistakes());
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
                    let line = header::parse(form.as_bytes());
                    let mut found = vec![ids(&matcher, &line)];
                    if line.times == 1 {
                        found.push(in_journal(&matcher, &line));
                    }
                    if line.program == Some(b"kernel") {
                        found.push(in_kmsg(&matcher, &line));
                    }
                    for found in found.into_iter().filter(|found| *found != [nth]) {
                        let ids = found.iter().map(|&nth| &*matcher.signatures()[nth].id.value);
                        wrong.push(format!("{:?} match {form}", ids.collect::<Vec<_>>()));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// What strangers type as a name, ask a server for or run comes into logs in quotes, and what quotes a
    /// critical line is none.
    #[test]
    fn what_is_quoted_raises_no_alarm() {
        const QUOTES: [&str; 9] = [
            "sshd[9]: Invalid user {} from 192.0.2.1 port 22",
            "sshd[9]: Failed password for invalid user {} from 192.0.2.1 port 22 ssh2",
            "sudo: alice : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/grep {} /var/log/messages",
            "CRON[9]: (alice) CMD (echo {} >/dev/null)",
            "nginx: 192.0.2.1 - - \"GET /{} HTTP/1.1\" 404 \"{}\"",
            "postfix/smtpd[9]: warning: unknown[192.0.2.1]: SASL LOGIN failed: x, sasl_username={}",
            "named[9]: client @0x7f 192.0.2.1#53 ({}): query (cache) '{}/A/IN' denied",
            "systemd[900]: Started {}.",
            "telltale_exporter: level=ERROR why=\"sample does not match: {}\" not reloaded",
        ];
        let matcher = Matcher::new(built_in());
        let critical = |nth: &usize| {
            matcher.signatures()[*nth].severity == crate::signatures::signature::Severity::Critical
        };
        let mut wrong = Vec::new();
        for signature in matcher.signatures() {
            for sample in &signature.samples.matching {
                let message = header::parse(sample.line().as_bytes()).message;
                let message = String::from_utf8_lossy(message);
                let with_header =
                    QUOTES.iter().map(|quote| format!("Nov 20 05:08:31 web04 {quote}"));
                let without = "192.0.2.1 - - [20/Nov/2026:05:08:31 +0000] \"GET / HTTP/1.1\" 200 \"-\" \"{}\"";
                for quote in with_header.chain([without.to_owned()]) {
                    // As web servers escape it.
                    let line = quote.replace("{}", &message.replace('"', "\\x22"));
                    for nth in ids(&matcher, &header::parse(line.as_bytes()))
                        .iter()
                        .filter(|nth| critical(nth))
                    {
                        wrong.push(format!("{}: {line}", matcher.signatures()[*nth].id.value));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn users_add_and_switch_off() {
        let count = built_in().len();
        assert_eq!(with_file(MINE).unwrap().len(), count + 1);
        let disable = "gnome-software-refresh";
        let rest = load(&logs(&[], &[disable])).unwrap().signatures;
        assert!(rest.len() == count - 1 && rest.iter().all(|s| s.id.value != disable));
        let misspelt = load(&logs(&[], &["gnome-sofware-refresh", "nonsense"])).unwrap();
        assert_eq!(misspelt.signatures.len(), count);
        let [near, far] = &misspelt.warnings[..] else { panic!("{:?}", misspelt.warnings) };
        assert!(
            near.starts_with("t.yml:3: ") && near.ends_with("is 'gnome-software-refresh' meant?"),
            "{near}"
        );
        assert!(far.starts_with("t.yml:3: ") && far.contains("'nonsense'; correct"), "{far}");
    }

    #[test]
    fn a_users_signature_replaces_the_built_in_one_of_its_id() {
        let built_in = built_in();
        let own = with_file(&MINE.replace("mine", "bash-fork-retry")).unwrap();
        let ids = |list: &[Signature]| list.iter().map(|s| s.id.value.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&own), ids(&built_in));
        assert_eq!(own.iter().find(|s| s.id.value == "bash-fork-retry").unwrap().title, "Mine");
        let twice = with_file(&format!("{MINE}{MINE}")).unwrap_err().to_string();
        assert!(
            twice.contains("mine.yml:7: id 'mine' is taken by ") && twice.contains("mine.yml:1")
        );
    }

    #[test]
    fn directories_are_their_files_and_empty_patterns_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("a.yml"), MINE).unwrap();
        std::fs::write(path("b.yaml"), MINE.replace("id: mine", "id: other")).unwrap();
        std::fs::write(path("c.txt"), "no signature").unwrap();
        let catalog = read(&logs(&[dir.path().display().to_string(), path("*.conf")], &[]));
        assert_eq!((catalog.own, catalog.mistakes.len(), catalog.warnings.len()), (2, 0, 1));
        let expected = format!("t.yml:2: logs.signatures '{}': no file there", path("*.conf"));
        assert!(catalog.warnings[0].starts_with(&expected), "{:?}", catalog.warnings);
    }

    #[test]
    fn one_mistake_does_not_hide_the_next() {
        let yaml = [
            MINE.replace("lost (?P<n>\\d+)", "lost ("),
            MINE.replace("id: mine", "id: second"),
            MINE.replace("id: mine", "id: third").replace("severity: warning", "severity: loud"),
            MINE.replace("id: mine", "id: fourth") + "  count: m\n  captures: [k]\n",
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.yml");
        std::fs::write(&path, yaml.concat()).unwrap();
        let catalog = read(&logs(&[path.display().to_string(), "/none.yml".to_owned()], &["x"]));
        let said: Vec<_> = catalog.mistakes.iter().map(ToString::to_string).collect();
        let begin = ["mine.yml:4:", "mine.yml:17:", "mine.yml:19:", "mine.yml:19:"];
        for (line, begin) in said.iter().zip(begin) {
            assert!(line.contains(begin), "{said:?}");
        }
        assert!(said.len() == 5 && said[4].contains("/none.yml"), "{said:?}");
        assert!(catalog.warnings.len() == 1 && catalog.warnings[0].contains("'x'"));
        assert_eq!(
            (catalog.own, catalog.signatures.last().unwrap().id.value.as_str()),
            (1, "second")
        );
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (from, to, says) in [
            ("lost (?P<n>\\d+)", "lost (", "mine.yml:4:"),
            ("lost (?P<n>\\d+)", "x*", "matches every line"),
            ("lost (?P<n>\\d+)", "lost[^\\s\\S]", "matches no line"),
            ("lost (?P<n>\\d+)", "los\\d(?P<n>\\d+)", "4 fixed bytes in a row"),
            ("severity: warning", "severity: loud", "mine.yml:5:"),
            ("verdict: watch", "verdict: watch\n  colour: red", "mine.yml:7:"),
            ("verdict: watch", "verdict: watch\n  captures: [n, n]", "captures names 'n' twice"),
            ("id: mine", "id: My Own", "mine.yml:1: id 'My Own'"),
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
        assert!(load(&logs(&["/nonexistent.yml".to_owned()], &[])).is_err());
        let relative = load(&logs(&["own.yml".to_owned()], &[])).unwrap_err().to_string();
        assert!(relative.contains("absolute"), "{relative}");
    }
}
