//! What is kept of an entry.

use crate::log_line::kernel_clock::When;

/// A longer value is cut.
pub(super) const MAX_VALUE: usize = 64 * 1024;
/// Bytes within which the name of every field that is kept ends.
pub(super) const NAME: usize = 28;

/// An entry of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When journald took it in, in microseconds since 1970.
    pub realtime_usec: u64,
    /// Its number among those of its journald.
    pub seqnum: u64,
    /// When that was by the kernel's clock, and when the kernel wrote the message by that clock, if it did: in
    /// microseconds since the boot.
    pub monotonic_usec: u64,
    /// See there.
    pub source_monotonic_usec: Option<u64>,
    /// The boot it is of.
    pub boot_id: u128,
    /// Who wrote it: `SYSLOG_IDENTIFIER`, or else `_COMM`.
    pub identifier: Option<&'a [u8]>,
    /// `_PID`, or else `SYSLOG_PID`.
    pub pid: Option<u32>,
    /// 0 (emergency) to 7 (debug).
    pub priority: Option<u8>,
    /// How journald got it: `kernel`, `syslog`, `journal`, `stdout`, `audit`, `driver`.
    pub transport: &'a [u8],
    /// The host it is of.
    pub hostname: &'a [u8],
    /// The serial of the audit event it tells.
    pub audit: Option<u64>,
    /// The text, at most 64 KiB of it; it may have several lines and any bytes.
    pub message: &'a [u8],
}

impl Entry<'_> {
    /// When it was written.
    pub fn when(&self) -> When {
        let micros = |time| i64::try_from(time).ok();
        let source = self.source_monotonic_usec.filter(|_| self.transport == b"kernel");
        When::of_journal(
            micros(self.realtime_usec),
            micros(self.monotonic_usec),
            source.and_then(micros),
        )
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
}

const FIELDS: [(&[u8], Field); 10] = [
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
];

/// Which field this is, and its value, if it is kept.
pub(super) fn field(payload: &[u8]) -> Option<(Field, &[u8])> {
    FIELDS.iter().find_map(|(name, field)| Some((*field, payload.strip_prefix(*name)?)))
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
        let (there, kept) = &mut self.values[field as usize];
        if !*there {
            *there = true;
            kept.extend_from_slice(&value[..value.len().min(MAX_VALUE)]);
        }
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
        std::str::from_utf8(self.get(field)?).ok()?.parse().ok()
    }

    /// The entry with these fields.
    pub(super) fn entry(&self, head: &super::format::EntryHead) -> Entry<'_> {
        Entry {
            realtime_usec: head.realtime,
            monotonic_usec: head.monotonic,
            source_monotonic_usec: self.number(Field::SourceMonotonic),
            seqnum: head.seqnum,
            boot_id: head.boot,
            identifier: self.get(Field::Identifier).or_else(|| self.get(Field::Comm)),
            pid: self.number(Field::Pid).or_else(|| self.number(Field::SyslogPid)),
            priority: self.number(Field::Priority),
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
    use crate::journal::format::EntryHead;
    use crate::log_line::times::Time;

    #[test]
    fn names_are_whole_and_short_enough() {
        assert!(FIELDS.iter().all(|(name, _)| name.len() <= NAME));
        assert!(FIELDS.iter().enumerate().all(|(at, (_, field))| *field as usize == at));
        assert_eq!(field(b"MESSAGE=a=b"), Some((Field::Message, &b"a=b"[..])));
        assert_eq!(field(b"MESSAGE_ID=x"), None);
        assert_eq!(field(b"MESSAGE"), None);
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
            let entry = Entry { transport, ..fields.entry(&head) };
            assert_eq!(entry.when(), When { header: Some(Time::At(header)), uptime });
            assert_eq!(entry.audit, Some(271));
        }
    }
}
