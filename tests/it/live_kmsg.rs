//! With the kernel of this machine: needs root, and writes to its log.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::common::{Need, need};
use telltale_exporter::internals::kmsg::{MAX_RECORDS, Outcome, Position, Reader, Record};

const LIMIT: &str = "/proc/sys/kernel/printk_devkmsg";

/// The log for one test at a time, without the limit of ten records in five seconds.
pub struct Log {
    file: File,
    limit: String,
    _alone: File,
}

impl Log {
    /// `None` where the test is to be skipped.
    pub fn open() -> Option<Self> {
        if !need(&[Need::Root]) {
            return None;
        }
        // Of all processes: the limit is the machine's.
        let alone = File::create(std::env::temp_dir().join("telltale_kmsg_test.lock")).unwrap();
        alone.lock().unwrap();
        let limit = fs::read_to_string(LIMIT).unwrap();
        let file = File::options().write(true).open("/dev/kmsg").unwrap();
        fs::write(LIMIT, "on\n").unwrap();
        Some(Self { file, limit, _alone: alone })
    }

    /// One record, whole at once by its newline.
    pub fn write(&mut self, text: &str) {
        self.file.write_all(format!("<4>{text}\n").as_bytes()).unwrap();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::write(LIMIT, &self.limit);
    }
}

fn open(position: Option<Position>) -> Reader {
    Reader::open(Path::new("/dev/kmsg"), Path::new("/proc"), position).unwrap()
}

/// Reads all there is: what contains the marker, the number of all records, and the outcome of all.
fn read(reader: &mut Reader, marker: &str) -> (Vec<(u64, String)>, u64, Outcome) {
    let (mut found, mut all, mut sum) = (Vec::new(), 0, Outcome::default());
    loop {
        let mut in_call = 0;
        let outcome = reader.read(|record: &Record<'_>| {
            in_call += 1;
            let text = String::from_utf8_lossy(&record.message).into_owned();
            if text.contains(marker) {
                assert_eq!((record.facility, record.level), (1, 4));
                found.push((record.sequence, text));
            }
        });
        let outcome = outcome.unwrap();
        assert!(in_call <= MAX_RECORDS);
        all += in_call as u64;
        sum.lost += outcome.lost;
        sum.damaged += outcome.damaged;
        if !outcome.more {
            return (found, all, sum);
        }
    }
}

/// A text that no other run writes.
fn marker(test: &str) -> String {
    format!("telltale {test} {}", std::process::id())
}

#[test]
fn lines_are_read_once_over_restarts() {
    let Some(mut log) = Log::open() else { return };
    let marker = marker("once");
    log.write(&format!("{marker} before the start"));
    let mut reader = open(None);
    assert_eq!(reader.position(), None);
    assert_eq!(read(&mut reader, &marker), (vec![], 0, Outcome::default()));
    let start = reader.position().unwrap();

    let mut seen = Vec::new();
    for turn in 0..20 {
        assert!(seen.is_empty() || reader.position().unwrap().next > start.next);
        log.write(&format!("{marker} {turn} running é\\"));
        assert!(reader.wait(Duration::from_secs(5)).unwrap());
        seen.extend(read(&mut reader, &marker).0);
        let position = reader.position();
        drop(reader);
        log.write(&format!("{marker} {turn} stopped"));
        reader = open(position);
        let (found, _, outcome) = read(&mut reader, &marker);
        assert_eq!(outcome, Outcome::default());
        seen.extend(found);
    }
    let texts: Vec<_> = seen.iter().map(|(_, text)| text.clone()).collect();
    let expected = (0..20).flat_map(|turn| {
        [format!("{marker} {turn} running é\\"), format!("{marker} {turn} stopped")]
    });
    assert_eq!(texts, expected.collect::<Vec<_>>());

    // To a start that knows another boot, or the beginning, all are new, that before the start too.
    for position in [Position { boot: [7; 16], next: 1 << 40 }, Position { next: 0, ..start }] {
        let (found, all, outcome) = read(&mut open(Some(position)), &marker);
        assert_eq!((found.len(), outcome.damaged), (41, 0));
        assert!(outcome.lost + all > found[40].0);
    }
    // One that is ahead of the kernel begins at the end.
    let mut ahead = open(Some(Position { next: u64::MAX, ..start }));
    assert_eq!(read(&mut ahead, &marker), (vec![], 0, Outcome::default()));
    log.write(&format!("{marker} after all"));
    assert_eq!(read(&mut ahead, &marker).0.len(), 1);
}

#[test]
fn a_record_of_several_lines_and_one_without_newline() {
    let Some(mut log) = Log::open() else { return };
    let marker = marker("lines");
    let mut reader = open(None);
    read(&mut reader, &marker);
    log.file.write_all(format!("<30>app[7]: {marker}\nsecond").as_bytes()).unwrap();
    log.write("end");
    let mut lines = Vec::new();
    reader
        .read(|record| {
            lines.extend(
                record.lines().map(|line| {
                    (line.program.map(<[u8]>::to_vec), line.pid, line.message.to_vec())
                }),
            );
        })
        .unwrap();
    let app = |text: &str| (Some(b"app".to_vec()), Some(7), text.as_bytes().to_vec());
    let at = lines.iter().position(|line| *line == app(&marker)).unwrap();
    assert_eq!(lines[at + 1], app("second"));
}

/// Overwrites the whole ring of this machine.
#[test]
fn what_is_overwritten_is_counted_exactly() {
    let Some(mut log) = Log::open() else { return };
    let marker = marker("overrun");
    let mut old = open(Some(Position { boot: [7; 16], next: 0 }));
    let (_, in_ring, _) = read(&mut old, &marker);
    // A ring has room for at most one record in 32 bytes: enough for 1 MiB.
    let flood = 40_000;
    println!("{in_ring} records in the ring, {flood} to be written");

    for restart in [false, true] {
        let mut reader = open(None);
        read(&mut reader, &marker);
        let start = reader.position().unwrap();
        log.write(&format!("{marker} first"));
        let (first, others, outcome) = read(&mut reader, &marker);
        assert_eq!((first.len(), outcome.lost), (1, 0));
        let position = reader.position().unwrap();
        assert_eq!(position.next, start.next + others);

        for nth in 0..flood {
            log.write(&format!("{marker} {nth}"));
        }
        assert!(reader.wait(Duration::ZERO).unwrap());
        if restart {
            reader = open(Some(position));
        }
        let (found, all, outcome) = read(&mut reader, &marker);
        let end = reader.position().unwrap().next;
        // Every sequence is read or lost, and what is read of ours is all of the end.
        assert_eq!(all + outcome.lost, end - position.next);
        assert_eq!(outcome.damaged, 0);
        assert_eq!(found.last().unwrap().1, format!("{marker} {}", flood - 1));
        let first = flood - found.len();
        let mut numbers = (first..flood).map(|nth| format!("{marker} {nth}"));
        assert!(found.iter().all(|(_, text)| numbers.next().as_ref() == Some(text)));
        // Others may have written as well.
        let written = end - position.next;
        assert!(outcome.lost > 0 && written >= flood as u64, "{outcome:?} {written}");
        println!("{written} written = {all} read + {} lost, restart: {restart}", outcome.lost);
    }
}
