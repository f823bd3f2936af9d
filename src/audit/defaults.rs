//! Where audit events come from where the configuration names no source of them.

use std::fs::File;
use std::io;
use std::path::Path;

use super::auditd;
use crate::config::{Format, Source};
use crate::sources::defaults::Choice;

/// Chooses the source of audit events: the audit daemon's log, or where that cannot be read and these are the
/// host's, the kernel's own records, for which `join` is asked.
pub(crate) fn choose_audit<M>(
    rootfs: &Path,
    join: impl FnOnce() -> io::Result<M>,
) -> Choice<Option<(Source, Option<M>)>> {
    let log = auditd::log_file(rootfs);
    let file = rootfs.join(log.strip_prefix("/").unwrap_or(&log));
    let log = log.display();
    let name = || "audit".to_owned();
    let source = Source {
        name: name(),
        files: vec![file.clone()],
        format: Format::Audit,
        ..Source::default()
    };
    let unreadable = match File::open(&file) {
        Ok(_) => {
            let why = "audit events come from the audit daemon's log".to_owned();
            return Choice { of: Some((source, None)), why };
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => "may not be read",
        Err(_) => "is not there",
    };
    let expected = file.parent().is_some_and(Path::is_dir);
    let joined = if rootfs == Path::new("/") {
        join()
    } else {
        Err(io::Error::other("the kernel's own records are not those of --path.rootfs"))
    };
    match joined {
        Ok(multicast) => {
            let source = Source { name: name(), audit_multicast: true, ..Source::default() };
            let why = format!(
                "audit events come from the kernel's multicast group, for {log} {unreadable}"
            );
            Choice { of: Some((source, Some(multicast))), why }
        }
        // The audit daemon will make it when it starts.
        Err(_) if unreadable == "is not there" && expected => {
            let why = format!("audit events will come from {log}, which {unreadable} yet");
            Choice { of: Some((source, None)), why }
        }
        Err(error) => {
            let why = format!(
                "audit events are not followed: {log} {unreadable} (log_group in auditd.conf may \
                 name a group of the exporter's), and {error}"
            );
            Choice { of: None, why }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of what is chosen for a host with these files, and why.
    fn chosen(files: &[(&str, &str)]) -> (Option<Source>, String) {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let join = || -> io::Result<()> { unreachable!("not the host's root") };
        let choice = choose_audit(root.path(), join);
        let relative = |mut source: Source| {
            source.files[0] = source.files[0].strip_prefix(root.path()).unwrap().to_owned();
            source
        };
        (choice.of.map(|(source, _)| relative(source)), choice.why)
    }

    #[test]
    fn the_log_of_the_daemon_or_what_is_missing() {
        let (source, why) = chosen(&[("var/log/audit/audit.log", "")]);
        assert!(source.is_some_and(|source| source.is_audit() && source.has_files()));
        assert_eq!(why, "audit events come from the audit daemon's log");
        let (source, why) = chosen(&[("var/log/messages", "")]);
        assert!(source.is_none() && why.contains("audit.log is not there"), "{why}");
        let (source, why) = chosen(&[("var/log/audit/audit.log.1", "")]);
        assert!(source.is_some() && why.contains("is not there yet"), "{why}");
        let named = [("etc/audit/auditd.conf", "log_file = /srv/a.log\n"), ("srv/a.log", "")];
        assert_eq!(chosen(&named).0.unwrap().files, [Path::new("srv/a.log")]);
    }

    /// This host's own log or none: what is asked for is said.
    #[test]
    fn the_group_where_the_log_cannot_be_read() {
        let refused = || Err::<(), _>(io::Error::other("no CAP_AUDIT_READ"));
        let why = choose_audit(Path::new("/"), refused).why;
        let log = auditd::log_file(Path::new("/"));
        if log.exists() {
            assert!(why.contains("the audit daemon's log"), "{why}");
        } else if log.parent().unwrap().is_dir() {
            assert!(why.ends_with("is not there yet"), "{why}");
        } else {
            assert!(why.contains("log_group") && why.ends_with("no CAP_AUDIT_READ"), "{why}");
        }
    }
}
