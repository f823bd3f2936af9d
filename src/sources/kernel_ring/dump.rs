//! The kernel's log in a file: a copy of what was read from `/dev/kmsg`.

use super::fragments::Fragments;
use super::record::{Record, parse};

/// Whether a file that begins so is a copy of `/dev/kmsg`: its first line is a record.
pub(crate) fn is_dump(head: &[u8]) -> bool {
    parse(head).is_ok()
}

/// Reads a copy of `/dev/kmsg` line by line.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    fragments: Fragments,
    damaged: u64,
}

impl Dump {
    /// Takes a line, without its newline; hands out what has become whole.
    pub(crate) fn take(&mut self, line: &[u8], hand: impl FnMut(&Record<'_>)) {
        match parse(line) {
            Ok(record) => self.fragments.take(record, hand),
            // ` KEY=value` of the record before, or nothing after the last newline.
            Err(_) if line.is_empty() || line.starts_with(b" ") => {}
            Err(_) => self.damaged += 1,
        }
    }

    /// After the last line; returns how many lines were neither record nor part of one.
    pub(crate) fn end(mut self, hand: impl FnMut(&Record<'_>)) -> u64 {
        self.fragments.hand_out(hand);
        self.damaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(file: &[u8]) -> (Vec<Record<'static>>, u64) {
        let (mut dump, mut records) = (Dump::default(), Vec::new());
        let mut hand = |record: &Record<'_>| records.push(record.clone().into_owned());
        for line in file.split(|&byte| byte == b'\n') {
            dump.take(line, &mut hand);
        }
        let damaged = dump.end(hand);
        (records, damaged)
    }

    #[test]
    fn the_recordings_are_whole() {
        for (recording, expected) in [
            (&include_bytes!("../../../tests/fixtures/kmsg/audit_A_no_auditd.kmsg")[..], 15),
            (include_bytes!("../../../tests/fixtures/kmsg/audit_B_no_auditd_wait0.kmsg"), 21),
            (include_bytes!("../../../tests/fixtures/kmsg/audit_C_auditd_stopped.kmsg"), 33),
            (include_bytes!("../../../tests/fixtures/kmsg/audit_D_wait250.kmsg"), 33),
            (include_bytes!("../../../tests/fixtures/kmsg/oom_segv.kmsg"), 95),
        ] {
            assert!(is_dump(&recording[..recording.len().min(512)]));
            let (records, damaged) = read(recording);
            assert_eq!((records.len(), damaged), (expected, 0));
            assert!(records.iter().all(|record| record.facility == 0));
            assert!(records.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
            let times = records.iter().map(|record| record.micros / 1_000_000);
            assert!(times.into_iter().all(|seconds| (1_200..2_200).contains(&seconds)));
        }
    }

    #[test]
    fn dictionaries_fragments_and_damage() {
        let (records, damaged) = read(
            b"6,1,5,-;disk\n SUBSYSTEM=scsi\n DEVICE=b8:0\n6,2,6,c;one \n6,3,7,+;two\nrubbish\n4,4,",
        );
        let messages: Vec<_> = records.iter().map(|record| &record.message[..]).collect();
        assert_eq!((messages, damaged), (vec![&b"disk"[..], b"one two"], 2));
    }

    #[test]
    fn other_files_are_no_dumps() {
        for head in [
            "",
            "[    5.123456] text\n",
            "Nov 20 05:08:30 h kernel: 6,1,5,-;x\n",
            "a;b\n6,1,5,-;x\n",
            " SUBSYSTEM=acpi\n",
            "1,2,3;x\n",
        ] {
            assert!(!is_dump(head.as_bytes()), "{head}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            is_dump(&bytes);
            read(&bytes);
        }
    }
}
