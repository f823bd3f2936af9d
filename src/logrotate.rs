//! Collector `logrotate`: when logrotate last ran, and when it last rotated each log, by its state file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::collector::{Collector, Error, Found};
use crate::metrics::Desc;
use crate::text;

const LAST: Desc = Desc::gauge(
    "telltale_logrotate_last_rotation_timestamp_seconds",
    "When logrotate last rotated a log, or first saw it; the 20 longest ago.",
);
const STATE: Desc = Desc::gauge(
    "telltale_logrotate_state_timestamp_seconds",
    "When logrotate last wrote its state file, which it does at the end of each run.",
);

/// Where distributions have it: Debian, RHEL 7 on, RHEL 6.
const PLACES: [&str; 3] =
    ["var/lib/logrotate/status", "var/lib/logrotate/logrotate.status", "var/lib/logrotate.status"];

/// Logs that have a series: those that were not rotated for longest.
const MOST: usize = 20;

/// A larger file is read up to here; one entry is about 60 bytes.
const MAX_BYTES: u64 = 16 << 20;

pub(crate) struct Logrotate {
    rootfs: PathBuf,
    /// Of the times in the file; found out at start, for it takes more stack than a collector has.
    zone: TimeZone,
}

impl Logrotate {
    /// Looks below this root.
    pub(crate) fn new(rootfs: &Path) -> Self {
        Self { rootfs: rootfs.to_owned(), zone: TimeZone::system() }
    }
}

impl Collector for Logrotate {
    fn name(&self) -> &'static str {
        "logrotate"
    }

    /// Without a state file there is nothing to say: the host has no logrotate, or it has not run yet.
    fn collect(&mut self, found: &mut Found) -> Result<(), Error> {
        for place in PLACES {
            let path = self.rootfs.join(place);
            let refuse = |error: io::Error| {
                let cure = match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; it needs to be readable: logrotate keeps the mode that the file has (chmod a+r)"
                    }
                    _ => "",
                };
                format!("{}: {error}{cure}", path.display())
            };
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(refuse(error).into()),
            };
            let written = file.metadata().and_then(|meta| meta.modified()).map_err(refuse)?;
            let mut bytes = Vec::new();
            file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(refuse)?;
            let written = written.duration_since(UNIX_EPOCH).unwrap_or_default();
            found.metrics.add(&STATE, &[], written.as_secs_f64());
            if !bytes.starts_with(b"logrotate state") {
                found.warnings.push(format!(
                    "{} is no state of logrotate, which will refuse it: move it away (a full disk leaves it \
                     empty)",
                    path.display()
                ));
            }
            for (log, seconds) in longest_ago(&bytes, &self.zone) {
                found.metrics.add(&LAST, &[("path", &text::label(&log))], seconds as f64);
            }
            return Ok(());
        }
        Ok(())
    }
}

/// The logs that were not rotated for longest, with the time, in seconds since 1970.
fn longest_ago(state: &[u8], zone: &TimeZone) -> Vec<(Vec<u8>, i64)> {
    // The heap holds the latest on top, to be thrown out first.
    let mut oldest = BinaryHeap::new();
    for (log, time) in state.split(|&byte| byte == b'\n').filter_map(|line| entry(line, zone)) {
        oldest.push((time, Reverse(log)));
        if oldest.len() > MOST {
            oldest.pop();
        }
    }
    let oldest = oldest.into_sorted_vec().into_iter();
    oldest.map(|(time, Reverse(log))| (log, time)).collect()
}

/// `"/var/log/syslog" 2026-11-20-5:13:11` (version 2), or without quotes and hour (version 1), in local time.
fn entry(line: &[u8], zone: &TimeZone) -> Option<(Vec<u8>, i64)> {
    let (log, time) = if let Some(quoted) = line.strip_prefix(b"\"") {
        unquoted(quoted)?
    } else {
        let space = line.iter().rposition(|&byte| byte == b' ')?;
        (line[..space].to_vec(), &line[space..])
    };
    let time = std::str::from_utf8(time.trim_ascii()).ok()?;
    let mut numbers = time.split(['-', ':']).map(|part| part.parse::<i16>().ok());
    let year = numbers.next()??;
    let mut small = || numbers.next().map_or(Some(0), |part| i8::try_from(part?).ok());
    let (month, day) = (small()?, small()?);
    let (hour, minute, second) = (small()?, small()?, small()?);
    let time = DateTime::new(year, month, day, hour, minute, second.min(59), 0).ok()?;
    let time = zone.to_ambiguous_timestamp(time).compatible().ok()?;
    log.starts_with(b"/").then(|| (log, time.as_second()))
}

/// A path up to its closing quote, and what follows; a backslash stands before quotes and backslashes.
fn unquoted(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut path, mut bytes) = (Vec::new(), quoted.iter().enumerate());
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Some((path, &quoted[at + 1..])),
            b'\\' => path.push(*bytes.next()?.1),
            _ => path.push(byte),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(state: &str) -> Vec<(String, i64)> {
        let found = longest_ago(state.as_bytes(), &TimeZone::UTC);
        found.into_iter().map(|(log, time)| (String::from_utf8(log).unwrap(), time)).collect()
    }

    #[test]
    fn both_versions() {
        let state = "logrotate state -- version 2\n\"/var/log/b\" 2026-11-20-5:13:11\n\
            \"/var/log/a \\\"quoted\\\\\\\"\" 2026-11-19-0:0:0\n";
        let expected = [
            ("/var/log/a \"quoted\\\"".to_owned(), 1_795_046_400),
            ("/var/log/b".to_owned(), 1_795_151_591),
        ];
        assert_eq!(read(state), expected);
        let first = "logrotate state -- version 1\n/var/log/messages 2026-11-19\n";
        assert_eq!(read(first), [("/var/log/messages".to_owned(), 1_795_046_400)]);
        let broken = "logrotate state -- version 2\n\"/var/log/a\n\"/b\" 2026-13-1-0:0:0\n\"/c\" x\n\n\"/d\"\n";
        assert!(read(broken).is_empty());
    }

    #[test]
    fn the_longest_ago_are_shown() {
        let line = |day: u32| format!("\"/var/log/{day}\" 2026-1-{day}-0:0:0\n");
        let state: String = (1..=31).rev().map(line).collect();
        let found = read(&state);
        assert_eq!((found.len(), &*found[0].0, &*found[19].0), (MOST, "/var/log/1", "/var/log/20"));
    }

    proptest! {
        #[test]
        fn any_state_is_survived(state in proptest::collection::vec(any::<u8>(), 0..200)) {
            longest_ago(&state, &TimeZone::UTC);
        }
    }
}
