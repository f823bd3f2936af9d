//! What `auditd.conf` says of where the audit daemon writes.

use std::path::{Path, PathBuf};

/// Where auditd writes without being told (auditd.conf(5)).
const DEFAULT: &str = "/var/log/audit/audit.log";

/// The audit daemon's log as its configuration in `rootfs` names it; as it is by default where that cannot be read,
/// which only root may on most hosts.
pub(crate) fn log_file(rootfs: &Path) -> PathBuf {
    let text = std::fs::read(rootfs.join("etc/audit/auditd.conf")).unwrap_or_default();
    named(&String::from_utf8_lossy(&text)).unwrap_or(DEFAULT).into()
}

/// The value of `log_file`; auditd takes absolute paths only, and keywords in any case.
fn named(text: &str) -> Option<&str> {
    let value = |line| {
        let (keyword, value) = str::split_once(line, '=')?;
        keyword.trim().eq_ignore_ascii_case("log_file").then(|| value.trim())
    };
    text.lines().find_map(value).filter(|path| path.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_file_of_auditd_conf() {
        for (text, expected) in [
            (
                "#\n# comment = 1\nlocal_events = yes\nlog_file = /srv/audit/a.log\n",
                Some("/srv/audit/a.log"),
            ),
            ("Log_File=/a", Some("/a")),
            ("#log_file = /a\nlog_format = ENRICHED\n", None),
            ("log_file = audit.log\n", None),
            ("log_file\n", None),
            ("", None),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
        assert_eq!(log_file(Path::new("/nonexistent")), Path::new(DEFAULT));
    }
}
