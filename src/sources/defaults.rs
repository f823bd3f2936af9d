//! Which sources a host has where the configuration names none: so chosen that each event is counted once.
//!
//! The same line may stand in the journal, in a file that rsyslog writes and in the kernel's ring. So it
//! is one of them: the journal, which has everything; else the files of one distribution's set, which do
//! not overlap; else the kernel's ring.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::file::patterns::{covers, is_pattern};
use crate::config::{Format, Source};

/// The files that rsyslog writes, by distribution; those of a set do not overlap, and have the kernel's
/// lines too.
const LAYOUTS: [&[(&str, &str)]; 2] = [
    &[("syslog", "var/log/syslog"), ("auth", "var/log/auth.log")],
    &[
        ("messages", "var/log/messages"),
        ("secure", "var/log/secure"),
        ("cron", "var/log/cron"),
        ("maillog", "var/log/maillog"),
    ],
];

/// What was chosen and why, in a sentence.
pub(crate) struct Choice<T> {
    pub of: T,
    pub why: String,
}

/// Where a host's journals are: in memory until `/var` is there, and on disk if they are to stay.
pub(crate) fn journals(rootfs: &Path) -> Vec<PathBuf> {
    let id = std::fs::read_to_string(rootfs.join("etc/machine-id")).unwrap_or_default();
    let id = id.trim();
    // As systemd writes it; nothing that leads elsewhere.
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Vec::new();
    }
    JOURNALS.map(|place| rootfs.join(place).join(id)).to_vec()
}

/// Where journald keeps them, by machine.
const JOURNALS: [&str; 2] = ["var/log/journal", "run/log/journal"];

/// The kernel's ring.
pub(crate) fn ring(rootfs: &Path) -> PathBuf {
    rootfs.join("dev/kmsg")
}

/// Chooses the sources of log lines.
pub(crate) fn choose_lines(rootfs: &Path) -> Choice<Vec<Source>> {
    let exists = |path: &str| rootfs.join(path).exists();
    let source = |name: &str| Source { name: name.to_owned(), ..Source::default() };
    let journald = exists("run/systemd/journal/socket");
    let journal = journal(rootfs);
    if journald && journal.is_ok() {
        let why = "the journal is read, which has what syslog and the kernel write as well";
        let sources = vec![Source { journal: true, ..source("journal") }];
        return Choice { of: sources, why: why.to_owned() };
    }
    let no_journal = match journal {
        Err(why) if journald => why,
        _ => "journald does not run here",
    };
    if let Some(layout) = LAYOUTS.iter().find(|layout| exists(layout[0].1)) {
        let file = |&(name, path): &(&str, &str)| Source {
            files: vec![rootfs.join(path)],
            ..source(name)
        };
        let sources: Vec<_> = layout.iter().filter(|(_, path)| exists(path)).map(file).collect();
        let why =
            format!("{no_journal}, so the files of syslog are followed, which have the kernel too");
        return Choice { of: sources, why };
    }
    if File::open(ring(rootfs)).is_ok() {
        let why =
            format!("{no_journal} and there is no file of syslog, so the kernel's ring is read");
        let sources = vec![Source { kmsg: true, ..source("kernel") }];
        return Choice { of: sources, why };
    }
    let why = format!(
        "no log is followed: {no_journal}, there is no file that rsyslog writes (/var/log/syslog, \
         /var/log/messages), and /dev/kmsg cannot be read. Name files under logs.sources, or add the \
         exporter to the group that may read them"
    );
    Choice { of: Vec::new(), why }
}

/// What of configured sources would count twice: the journal and the files that rsyslog writes have the
/// kernel's lines, the journal has what those files have, and on Debian some of those repeat others.
pub(crate) fn doubles(sources: &[Source]) -> Vec<String> {
    let mut doubles = BTreeSet::new();
    let mut double = |one: &Source, other: &Source, what: &str| {
        let who = if one.name == other.name {
            format!("source '{}' has {what}", one.name)
        } else {
            format!("sources '{}' and '{}' both have {what}", one.name, other.name)
        };
        doubles.insert(format!("{who}, which counts twice; take one of them out"));
    };
    let of_layout = |source: &Source| {
        let mut files = LAYOUTS.iter().copied().flatten();
        files.any(|(_, path)| follows(source, &format!("/{path}")))
    };
    let journal = sources.iter().find(|source| is_own_journal(source));
    if let Some(journal) = journal
        && let Some(again) = sources.iter().rfind(|source| is_own_journal(source))
        && again.name != journal.name
    {
        double(journal, again, "this host's journal");
    }
    let ring = sources.iter().find(|source| source.kmsg);
    for source in sources {
        // Two patterns may meet as well, but only the files of a moment can tell.
        for other in sources.iter().filter(|other| other.name != source.name && !other.is_audit()) {
            let named = other.files.iter().filter(|file| !is_pattern(file));
            for file in named.filter_map(|file| file.to_str()).filter(|file| follows(source, file))
            {
                double(source, other, file);
            }
        }
        let has = |files: &[&str]| files.iter().any(|file| follows(source, file));
        if let Some(journal) = journal
            && (of_layout(source) || has(&COPIES))
        {
            double(journal, source, "what syslog writes");
        }
        let kernel =
            has(&WITH_KERNEL) || journal.is_some_and(|journal| journal.name == source.name);
        if let Some(ring) = ring.filter(|_| kernel) {
            double(source, ring, "the kernel's lines");
        }
        for other in sources {
            if follows(source, SYSLOG)
                && let Some(copy) = COPIES.iter().find(|copy| follows(other, copy))
            {
                double(
                    source,
                    other,
                    &format!("the lines of {copy} (Debian's syslog has them too)"),
                );
            }
        }
    }
    doubles.into_iter().collect()
}

/// Whether it is the journal of this host: by itself, or among all that are kept where this host's are.
fn is_own_journal(source: &Source) -> bool {
    let all =
        |directory: &PathBuf| JOURNALS.iter().any(|place| *directory == Path::new("/").join(place));
    source.journal && (source.directories.is_empty() || source.directories.iter().any(all))
}

/// Debian's, which has nearly everything.
const SYSLOG: &str = "/var/log/syslog";

/// Files that repeat its lines.
const COPIES: [&str; 6] = [
    "/var/log/kern.log",
    "/var/log/user.log",
    "/var/log/daemon.log",
    "/var/log/mail.log",
    "/var/log/cron.log",
    "/var/log/debug",
];

/// Files with the kernel's lines.
const WITH_KERNEL: [&str; 3] = [SYSLOG, "/var/log/messages", "/var/log/kern.log"];

/// Whether lines of this file are counted as text of the source.
fn follows(source: &Source, file: &str) -> bool {
    source.format != Format::Audit && covers(source, Path::new(file))
}

/// Whether there is a journal of the host that we may read; damaged files in it are no reason against it.
fn journal(rootfs: &Path) -> Result<(), &'static str> {
    let directories = journals(rootfs);
    if directories.is_empty() {
        return Err("the journal is not found without /etc/machine-id");
    }
    let current = directories.iter().map(|directory| directory.join("system.journal"));
    let opened: Vec<_> = current.map(File::open).collect();
    if opened.iter().any(Result::is_ok) {
        return Ok(());
    }
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    if opened.iter().any(|file| file.as_ref().is_err_and(refused)) {
        Err(
            "the journal may not be read (add the exporter to the group systemd-journal to have it)",
        )
    } else {
        Err("journald keeps no journal (Storage=none)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOURNAL: &str = "var/log/journal/7c4f5a0f5a914fe8b7a1e0d6b1f7b0aa";

    /// Names of what is chosen for a host with these files.
    fn chosen(files: &[&str]) -> (Vec<String>, String) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "7c4f5a0f5a914fe8b7a1e0d6b1f7b0aa\n").unwrap();
        }
        let choice = choose_lines(root.path());
        (choice.of.into_iter().map(|source| source.name).collect(), choice.why)
    }

    #[test]
    fn files_of_one_distribution_that_do_not_overlap() {
        let debian = ["var/log/syslog", "var/log/auth.log", "var/log/kern.log", "var/log/messages"];
        assert_eq!(chosen(&debian).0, ["syslog", "auth"]);
        let red_hat = ["var/log/messages", "var/log/secure", "var/log/cron", "var/log/maillog"];
        assert_eq!(chosen(&red_hat).0, ["messages", "secure", "cron", "maillog"]);
        assert_eq!(chosen(&["var/log/messages"]).0, ["messages"]);
    }

    #[test]
    fn the_ring_where_nothing_else_has_the_kernel_and_what_to_do_where_nothing_is() {
        assert_eq!(chosen(&["dev/kmsg"]).0, ["kernel"]);
        let (sources, why) = chosen(&["etc/passwd"]);
        assert!(sources.is_empty() && why.contains("logs.sources"), "{why}");
    }

    #[test]
    fn what_counts_twice() {
        let said = |yaml: &str| {
            let config = crate::config::Config::parse(yaml, "t.yml").unwrap();
            doubles(&config.logs.sources().unwrap())
        };
        let (journal, ring) = ("{name: j, journal: true}", "{name: k, kmsg: true}");
        let syslog = "{name: s, files: [/var/log/auth.log, /var/log/syslog]}";
        let of = |sources: &[&str]| said(&format!("logs: {{sources: [{}]}}", sources.join(", ")));
        assert_eq!(of(&[journal, ring]).len(), 1);
        assert_eq!(of(&[journal, ring, syslog]).len(), 3);
        assert!(of(&[ring, syslog])[0].contains("'s' and 'k' both have the kernel's lines"));
        let app = "{name: a, files: ['/srv/*.log']}";
        let twice = of(&[app, "{name: b, files: [/srv/b.log]}", "{name: c, files: [/opt/b.log]}"]);
        assert_eq!(twice.len(), 1);
        assert!(twice[0].starts_with("sources 'a' and 'b' both have /srv/b.log"), "{twice:?}");
        let apart = "{name: o, journal: true, directories: [/srv/journal]}";
        let whole = "{name: w, journal: true, directories: [/var/log/journal]}";
        assert_eq!(of(&[whole, ring, syslog]).len(), 3, "this host's is among them");
        assert!(
            of(&[journal, whole])[0]
                .starts_with("sources 'j' and 'w' both have this host's journal")
        );
        let fine =
            ["{name: a, files: [/var/log/app.log]}", "{name: s, files: [/var/log/auth.log]}"];
        assert!(of(&[journal, fine[0]]).is_empty() && of(&[ring, fine[1]]).is_empty());
        assert!(of(&[apart, ring, syslog]).len() == 1, "another host's");
        for files in ["/var/log", "'/var/log/*.log'", "'/var/log/sys*'", "/var/log/mail.log"] {
            let said = of(&[journal, &format!("{{name: s, files: [{files}]}}")]);
            assert!(!said.is_empty(), "{files}");
        }
    }

    #[test]
    fn why_the_journal_is_not_read_is_told() {
        let mut files = vec!["run/systemd/journal/socket", "var/log/syslog"];
        let (sources, why) = chosen(&files);
        assert_eq!(sources, ["syslog"]);
        assert!(why.contains("machine-id"), "{why}");
        files.push("etc/machine-id");
        assert!(chosen(&files).1.contains("Storage=none"));
        let (journal, damaged) =
            (format!("{JOURNAL}/system.journal"), format!("{JOURNAL}/user-1000@1.journal~"));
        files.extend([&*journal, &*damaged]);
        assert_eq!(chosen(&files).0, ["journal"], "a damaged file is no reason against it");
    }
}
