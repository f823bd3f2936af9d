//! What is kept of an entry.

use super::format::EntryHead;
use crate::log_line::header::Line;
use crate::log_line::kernel_clock::When;

/// A longer value is cut.
pub(super) const MAX_VALUE: usize = 64 * 1024;
/// Bytes within which the name of every field that is kept ends.
pub(super) const NAME: usize = 28;

/// An entry of the journal, from a file of it or an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When journald took it in, in microseconds since 1970.
    pub realtime_usec: Option<u64>,
    /// When that was by the kernel's clock, and when the kernel wrote the message by that clock, if it did: in
    /// microseconds since the boot.
    pub monotonic_usec: Option<u64>,
    /// See there.
    pub source_monotonic_usec: Option<u64>,
    /// The boot it is of; an export says it in a field that is not kept.
    pub boot_id: Option<u128>,
    /// Who wrote it: `SYSLOG_IDENTIFIER`, or else `_COMM`.
    pub identifier: Option<&'a [u8]>,
    /// `_PID`, which the kernel gave, or else `SYSLOG_PID`, which the writer gave: as journalctl shows it.
    pub pid: Option<u32>,
    /// 0 (emergency) to 7 (debug).
    pub priority: Option<u8>,
    /// How journald got it: `kernel`, `syslog`, `journal`, `stdout`, `audit`, `driver`; empty where it does not say.
    pub transport: &'a [u8],
    /// The host it is of.
    pub hostname: &'a [u8],
    /// The serial of the audit event it tells.
    pub audit: Option<u64>,
    /// The text, at most 64 KiB of it; it may have several lines and any bytes.
    pub message: &'a [u8],
}

impl<'a> Entry<'a> {
    /// When it was written.
    pub fn when(&self) -> When {
        let micros = |time| i64::try_from(time).ok();
        let source = self.source_monotonic_usec.filter(|_| self.transport == b"kernel");
        When::of_journal(
            self.realtime_usec.and_then(micros),
            self.monotonic_usec.and_then(micros),
            source.and_then(micros),
        )
    }

    /// The lines of the message, each as from a log file.
    pub fn lines(&self) -> impl Iterator<Item = Line<'a>> + use<'a> {
        // An entry without a host's name is no line without a header either.
        let host = if self.hostname.is_empty() { b"-" } else { self.hostname };
        // Anybody may call themselves kernel; journald knows who is.
        let kernel = matches!(self.transport, b"" | b"kernel");
        let program = self.identifier.filter(|name| kernel || *name != b"kernel");
        let (priority, pid) = (self.priority, self.pid);
        let text = self.message.strip_suffix(b"\n").unwrap_or(self.message);
        let line = move |message| Line { priority, host, program, pid, message, times: 1 };
        text.split(|&byte| byte == b'\n').map(line)
    }
}

/// A field that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// `MESSAGE`
    Message,
    /// `SYSLOG_IDENTIFIER`
    Identifier,
    /// `_COMM`
    Comm,
    /// `_PID`
    Pid,
    /// `SYSLOG_PID`
    SyslogPid,
    /// `PRIORITY`
    Priority,
    /// `_TRANSPORT`
    Transport,
    /// `_HOSTNAME`
    Hostname,
    /// `_AUDIT_ID`
    AuditId,
    /// `_SOURCE_MONOTONIC_TIMESTAMP`
    SourceMonotonic,
    /// `__REALTIME_TIMESTAMP`, of an export
    Realtime,
    /// `__MONOTONIC_TIMESTAMP`, of an export
    Monotonic,
}

const FIELDS: [(&[u8], Field); 12] = [
    (b"MESSAGE=", Field::Message),
    (b"SYSLOG_IDENTIFIER=", Field::Identifier),
    (b"_COMM=", Field::Comm),
    (b"_PID=", Field::Pid),
    (b"SYSLOG_PID=", Field::SyslogPid),
    (b"PRIORITY=", Field::Priority),
    (b"_TRANSPORT=", Field::Transport),
    (b"_HOSTNAME=", Field::Hostname),
    (b"_AUDIT_ID=", Field::AuditId),
    (b"_SOURCE_MONOTONIC_TIMESTAMP=", Field::SourceMonotonic),
    (b"__REALTIME_TIMESTAMP=", Field::Realtime),
    (b"__MONOTONIC_TIMESTAMP=", Field::Monotonic),
];

/// Which field this is, and its value, if it is kept.
pub(super) fn field(payload: &[u8]) -> Option<(Field, &[u8])> {
    FIELDS.iter().find_map(|(name, field)| Some((*field, payload.strip_prefix(*name)?)))
}

/// Which field has this name, if it is kept.
pub(super) fn named(name: &[u8]) -> Option<Field> {
    FIELDS
        .iter()
        .find_map(|(known, field)| (known.strip_suffix(b"=") == Some(name)).then_some(*field))
}

/// The fields of one entry.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// By field, and whether the entry has it.
    values: [(bool, Vec<u8>); FIELDS.len()],
}

impl Fields {
    /// For the next entry.
    pub(super) fn clear(&mut self) {
        for (there, value) in &mut self.values {
            *there = false;
            value.clear();
        }
    }

    /// Keeps a value; of several with one name, the first.
    pub(super) fn put(&mut self, field: Field, value: &[u8]) {
        if self.begin(field) {
            self.append(field, value);
        }
    }

    /// Makes room for a value; not for a second one of a name.
    pub(super) fn begin(&mut self, field: Field) -> bool {
        let (there, _) = &mut self.values[field as usize];
        !std::mem::replace(there, true)
    }

    /// Keeps the next piece of a value that has begun, as far as it is not too long.
    pub(super) fn append(&mut self, field: Field, piece: &[u8]) {
        let (_, kept) = &mut self.values[field as usize];
        let room = piece.len().min(MAX_VALUE - kept.len());
        kept.extend_from_slice(&piece[..room]);
    }

    /// Whether the message is there.
    pub(super) fn has_message(&self) -> bool {
        self.get(Field::Message).is_some()
    }

    fn get(&self, field: Field) -> Option<&[u8]> {
        let (there, value) = &self.values[field as usize];
        there.then_some(value)
    }

    fn number<N: std::str::FromStr>(&self, field: Field) -> Option<N> {
        std::str::from_utf8(self.get(field)?).ok()?.trim().parse().ok()
    }

    /// The entry with these fields; an export has no head, but its times among the fields.
    pub(super) fn entry(&self, head: Option<&EntryHead>) -> Entry<'_> {
        let realtime = || self.number(Field::Realtime);
        let monotonic = || self.number(Field::Monotonic);
        Entry {
            realtime_usec: head.map(|head| head.realtime).or_else(realtime),
            monotonic_usec: head.map(|head| head.monotonic).or_else(monotonic),
            source_monotonic_usec: self.number(Field::SourceMonotonic),
            boot_id: head.map(|head| head.boot),
            identifier: self.get(Field::Identifier).or_else(|| self.get(Field::Comm)),
            pid: self.number(Field::Pid).or_else(|| self.number(Field::SyslogPid)),
            priority: self.number(Field::Priority).filter(|&priority| priority < 8),
            transport: self.get(Field::Transport).unwrap_or_default(),
            hostname: self.get(Field::Hostname).unwrap_or_default(),
            audit: self.number(Field::AuditId),
            message: self.get(Field::Message).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_line::times::Time;

    #[test]
    fn names_are_whole_and_short_enough() {
        assert!(FIELDS.iter().all(|(name, _)| name.len() <= NAME));
        assert!(FIELDS.iter().enumerate().all(|(at, (_, field))| *field as usize == at));
        assert_eq!(field(b"MESSAGE=a=b"), Some((Field::Message, &b"a=b"[..])));
        assert_eq!(field(b"MESSAGE_ID=x"), None);
        assert_eq!(field(b"MESSAGE"), None);
        assert_eq!((named(b"MESSAGE"), named(b"MESSAGE=")), (Some(Field::Message), None));
    }

    #[test]
    fn a_kernel_entry_was_written_when_the_kernel_says() {
        let mut fields = Fields::default();
        fields.put(Field::SourceMonotonic, b"4000000");
        fields.put(Field::AuditId, b"271");
        let head =
            EntryHead { realtime: 100_000_000, monotonic: 9_000_000, ..EntryHead::default() };
        for (transport, header, uptime) in
            [(&b"kernel"[..], 95_000_000, Some(4_000_000)), (b"syslog", 100_000_000, None)]
        {
            let entry = Entry { transport, ..fields.entry(Some(&head)) };
            assert_eq!(entry.when(), When { header: Some(Time::At(header)), uptime });
            assert_eq!(entry.audit, Some(271));
        }
    }

    /// journald writes both for what came through syslog(3); the writer may be a child of whom it names.
    #[test]
    fn a_file_and_an_export_tell_the_same_entry() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("_PID", "8"),
            ("SYSLOG_PID", "7"),
            ("PRIORITY", "9"),
            ("SYSLOG_IDENTIFIER", "kernel"),
            ("_TRANSPORT", "journal"),
            ("MESSAGE", "one\ntwo\n"),
            ("__REALTIME_TIMESTAMP", "5"),
            ("__MONOTONIC_TIMESTAMP", "4"),
        ] {
            fields.put(named(name.as_bytes()).unwrap(), value.as_bytes());
        }
        let head = EntryHead { realtime: 5, monotonic: 4, ..EntryHead::default() };
        let (of_file, of_export) = (fields.entry(Some(&head)), fields.entry(None));
        assert_eq!(Entry { boot_id: None, ..of_file }, of_export);
        assert_eq!((of_export.pid, of_export.priority), (Some(8), None));
        let lines: Vec<_> = of_export.lines().map(|line| (line.program, line.message)).collect();
        assert_eq!(lines, [(None, &b"one"[..]), (None, b"two")], "journald says who is the kernel");
    }
}
