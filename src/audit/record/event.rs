//! An event: all records of one system call, or the one record of a program.

use serde::{Deserialize, Serialize};

use super::{Record, Stamp};
use crate::audit::record::kind::Kind;

/// Parts the keys of a rule that has several.
const KEY_SEPARATOR: u8 = 1;

/// Which event: in a log that several hosts write to, serial numbers alone are not enough.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Id {
    /// Time and serial number.
    pub stamp: Stamp,
    /// The host, where the log says so; else empty.
    pub node: Box<[u8]>,
}

impl Id {
    /// That of a record.
    pub fn of(record: &Record<'_>) -> Self {
        Self { stamp: record.stamp, node: record.node.into() }
    }

    /// Whether a record belongs to it.
    pub fn is(&self, record: &Record<'_>) -> bool {
        self.stamp == record.stamp && *self.node == *record.node
    }
}

/// The records of one event, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: Id,
    /// Its first records were handed out before and did not say who did it: not another event, but
    /// its key and its signals are told only here.
    pub continued: bool,
    /// Records there was no room for.
    pub left_out: u64,
    bytes: Vec<u8>,
    /// Where each line ends, and the number of its type where it has one: most questions are about
    /// one type, and an event may have thousands of lines.
    lines: Vec<(usize, Option<u16>)>,
}

impl Event {
    /// One without records yet.
    pub(super) fn new(id: Id, continued: bool) -> Self {
        let (bytes, lines) = (Vec::new(), Vec::new());
        Self { id, continued, left_out: 0, bytes, lines }
    }

    /// Adds the line of a record.
    pub(super) fn push(&mut self, line: &[u8], kind: Kind<'_>) {
        self.bytes.extend_from_slice(line);
        let number = if let Kind::Number(number) = kind { Some(number) } else { None };
        self.lines.push((self.bytes.len(), number));
    }

    /// Bytes of its lines.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    fn numbered(&self) -> impl Iterator<Item = (Option<u16>, &[u8])> {
        let mut from = 0;
        self.lines.iter().map(move |&(end, number)| {
            (number, &self.bytes[std::mem::replace(&mut from, end)..end])
        })
    }

    /// Its lines, in the order of the log.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.numbered().map(|(_, line)| line)
    }

    /// Its records, in the order of the log.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        // Only lines that are records were let in.
        self.lines().filter_map(Record::parse)
    }

    /// Its records of some types, by their numbers.
    pub fn of_type(&self, wanted: impl Fn(u16) -> bool) -> impl Iterator<Item = Record<'_>> {
        let lines = self.numbered().filter(move |(number, _)| number.is_some_and(&wanted));
        lines.filter_map(|(_, line)| Record::parse(line))
    }

    /// The first record of a type.
    pub fn record(&self, wanted: Kind<'_>) -> Option<Record<'_>> {
        self.of_type(|number| Kind::Number(number) == wanted).next()
    }

    /// What kind of event: that of its first record.
    pub fn kind(&self) -> Option<Kind<'_>> {
        self.records().next().map(|record| record.kind)
    }

    /// The keys of the rule that wanted it, each once.
    ///
    /// Only the system call has the key of a rule that fired. `add_rule` and `remove_rule` carry
    /// the key of the rule they speak of, and are no event of that key.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for record in self.of_type(|number| Kind::Number(number).is_call()) {
            let Some(all) = record.text("key") else { continue };
            for key in all.split(|&byte| byte == KEY_SEPARATOR).filter(|key| !key.is_empty()) {
                let key = String::from_utf8_lossy(key).into_owned();
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::event;

    #[test]
    fn lines_come_back_as_they_came() {
        let lines = ["type=SYSCALL msg=audit(1.2:3): a=b", "type=PROCTITLE msg=audit(1.2:3): c=d"];
        let event = event(&lines.join("\n"));
        assert!(event.lines().eq(lines.map(str::as_bytes)));
        assert_eq!(event.kind(), Some(Kind::SYSCALL));
        assert!(event.record(Kind::PROCTITLE).unwrap().get("c").is_some());
        assert!(event.record(Kind::OBJ_PID).is_none());
    }

    #[test]
    fn keys_are_those_of_the_rule_that_fired() {
        let of = |line: &str| event(line).keys();
        assert_eq!(of("type=SYSCALL msg=audit(1.2:3): key=\"telltale_kill\""), ["telltale_kill"]);
        // "one", 0x01, "two", 0x01, "one"
        let several = "type=SYSCALL msg=audit(1.2:3): key=6F6E650174776F016F6E65";
        assert_eq!(of(several), ["one", "two"]);
        assert_eq!(of("type=URINGOP msg=audit(1.2:3): uring_op=18 key=\"k\""), ["k"]);
        for none in [
            "type=SYSCALL msg=audit(1.2:3): key=(null)",
            "type=SYSCALL msg=audit(1.2:3): key=\"\"",
            "type=CONFIG_CHANGE msg=audit(1.2:3): op=remove_rule key=\"k\" list=4 res=1",
        ] {
            assert!(of(none).is_empty(), "{none}");
        }
    }
}
