//! Files that systemd-journal-remote makes, of older formats and damaged ones.

use super::common::journald::{Follower, REMOTE, Seen, assert_same, oracle};
use super::common::{Exporter, Need, need};
use proptest::test_runner::{Config, TestRunner};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Entries in the export format, as many.
fn export(count: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..count {
        let repeat = [0, 3, 40, 900][usize::try_from(number % 4).unwrap()];
        let message = format!("number {number}: {}", "words that repeat, and ".repeat(repeat));
        writeln!(
            out,
            "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={}\n_BOOT_ID=7c4f5a0f5a914fe8b7a1e0d6b1f7b0aa\n\
             _TRANSPORT=syslog\nPRIORITY={}\nSYSLOG_IDENTIFIER=sshd\n_PID={}\n_HOSTNAME=host\n\
             _CMDLINE={}\nMESSAGE={message}\n",
            1_700_000_000_000_000 + number * 1000,
            1_000_000 + number * 1000,
            number % 8,
            number % 100,
            "unwanted ".repeat(repeat),
        )
        .unwrap();
    }
    out
}

fn make(path: &Path, count: u64, settings: &[(&str, &str)]) {
    let mut child = Command::new(REMOTE)
        .arg(format!("--output={}", path.display()))
        .arg("-")
        .envs(settings.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&export(count)).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn every_format_is_read_as_journalctl_reads_it() {
    if !need(&[Need::Root, Need::Tool(REMOTE)]) {
        return;
    }
    for (keyed, compact) in [("0", "0"), ("1", "0"), ("1", "1")] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("remote.journal");
        let settings =
            [("SYSTEMD_JOURNAL_KEYED_HASH", keyed), ("SYSTEMD_JOURNAL_COMPACT", compact)];
        make(&path, 300, &settings);
        let flags = std::fs::read(&path).unwrap()[12];
        let zstd = 8;
        let expected =
            zstd | if keyed == "1" { 4 } else { 0 } | if compact == "1" { 16 } else { 0 };
        assert_eq!(flags, expected, "{settings:?}");
        let mut follower = Follower::new(&[dir.path().to_owned()], true);
        follower.all();
        assert_eq!((follower.seen.len(), follower.lost), (300, 0), "{settings:?}");
        assert_same(follower.seen, oracle(&["--file", path.to_str().unwrap()]));
    }
}

#[test]
fn a_restart_anywhere_goes_on_there() {
    if !need(&[Need::Root, Need::Tool(REMOTE)]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make(&dir.path().join("remote.journal"), 700, &[]);
    let mut follower = Follower::new(&[dir.path().to_owned()], true);
    for _ in 0..701 {
        follower.reader.read(1, std::time::Instant::now(), |entry| {
            follower.seen.push(Seen {
                realtime: entry.realtime_usec.unwrap(),
                message: entry.message.to_vec(),
                identifier: entry.identifier.map(<[u8]>::to_vec),
                pid: entry.pid,
                priority: entry.priority,
                transport: entry.transport.to_vec(),
                hostname: entry.hostname.to_vec(),
                boot: entry.boot_id.unwrap(),
            });
        });
        follower.restart();
    }
    assert_same(follower.seen, oracle(&["-D", dir.path().to_str().unwrap()]));
}

/// A host that uploads late: what it wrote is older than our start, and in a file that was not there.
#[test]
fn a_file_that_appears_later_counts_whole_whatever_its_times() {
    if !need(&[Need::Root, Need::Tool(REMOTE)]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    make(&dir.path().join("early.journal"), 300, &[]);
    let mut follower = Follower::new(&[dir.path().to_owned()], false);
    follower.all();
    assert!(follower.seen.is_empty(), "it was there before us");
    for (name, count) in [("late.journal", 5), ("later.journal", 400)] {
        let made = tempfile::tempdir_in(dir.path()).unwrap();
        make(&made.path().join(name), count, &[]);
        let (path, known) = (dir.path().join(name), follower.seen.len());
        std::fs::rename(made.path().join(name), &path).unwrap();
        follower.all();
        follower.restart();
        follower.all();
        assert_eq!(follower.lost, 0, "{name}");
        assert_same(follower.seen[known..].to_vec(), oracle(&["--file", path.to_str().unwrap()]));
    }
}

/// As `journalctl -D /var/log/journal`: the directory's own files, and those in directories of machines.
#[test]
fn directories_of_machines_are_found_whenever_they_appear() {
    if !need(&[Need::Root, Need::Tool(REMOTE)]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("journal");
    let [early, late] =
        ["7c4f5a0f5a914fe8b7a1e0d6b1f7b0aa", "8c4f5a0f5a914fe8b7a1e0d6b1f7b0aa.apart"];
    let mut follower = Follower::new(std::slice::from_ref(&root), true);
    follower.all();
    assert!(!follower.reader.has_files());
    assert_eq!(follower.reader.places().collect::<Vec<_>>(), [(&*root, false)]);
    let mut expected = Vec::new();
    for (at, count) in [("", 3), (early, 10), (late, 20), ("notes", 40), (early, 80)] {
        let directory = root.join(at);
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join(format!("{count}.journal"));
        make(&file, count, &[]);
        follower.all();
        if at != "notes" {
            expected.extend(oracle(&["--file", file.to_str().unwrap()]));
        }
    }
    follower.restart();
    follower.all();
    // journalctl -D shows entries that are the same in two files once: these are.
    let most = oracle(&["-D", root.to_str().unwrap()]);
    assert_eq!((follower.lost, expected.len(), most.len()), (0, 3 + 10 + 20 + 80, 80));
    assert_same(follower.seen, expected);
}

#[test]
fn where_no_journal_is_the_error_says_what_was_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("telltale.yml");
    let text = format!(
        "logs:\n  sources: [{{name: j, journal: true, directories: [{0}, {0}/none]}}]\n",
        dir.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let exporter =
        Exporter::start_in(dir.path(), &[&format!("--config.file={}", config.display())]);
    let page = exporter.get("/").text();
    let place = dir.path().display();
    let says = format!(
        "there is no journal file in {place}, {place}/none (not there), nor in directories of machines"
    );
    assert!(page.contains(&says), "{page}");
}

#[test]
fn what_a_truncated_file_has_lost_is_counted() {
    if !need(&[Need::Root, Need::Tool(REMOTE)]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (whole, path) = (dir.path().join("whole"), dir.path().join("remote@1.journal"));
    make(&dir.path().join("made.journal"), 700, &[]);
    std::fs::rename(dir.path().join("made.journal"), &whole).unwrap();
    let bytes = std::fs::read(&whole).unwrap();
    for eighth in 1..8 {
        std::fs::write(&path, &bytes[..bytes.len() * eighth / 8]).unwrap();
        let mut follower = Follower::new(&[dir.path().to_owned()], true);
        follower.all();
        let refused = follower.reader.unreadable().count() as u64;
        assert!(refused == 1 || follower.seen.len() as u64 + follower.lost == 700, "{eighth}");
    }
}

/// Flipped bytes: no panic, no endless loop, and what is not handed out is told.
#[test]
fn damaged_files_are_read_as_far_as_they_can_be() {
    if !need(&[Need::Root, Need::Tool(REMOTE)]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("remote@1.journal");
    let made = dir.path().join("made.journal");
    make(&made, 200, &[]);
    let bytes = std::fs::read(&made).unwrap();
    std::fs::remove_file(&made).unwrap();
    // Behind the last object there is nothing.
    let used = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let flips = proptest::collection::vec((0..used, 1..=255u8), 1..200);
    let header = proptest::collection::vec((0..272usize, 1..=255u8), 1..3);
    let mut runner =
        TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    runner
        .run(&proptest::prop_oneof![flips, header], |flips| {
            std::fs::write(&path, &bytes).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            for (at, flip) in flips {
                file.write_all_at(&[bytes[at] ^ flip], at as u64).unwrap();
            }
            let mut follower = Follower::new(&[dir.path().to_owned()], true);
            follower.all();
            let told = follower.seen.len() as u64 + follower.lost;
            let refused = follower.reader.unreadable().count();
            // The header's count may be among what was flipped.
            let counted =
                u64::from_le_bytes(std::fs::read(&path).unwrap()[152..160].try_into().unwrap());
            assert!(refused == 1 || told >= counted.min(200), "{told} of {counted}");
            Ok(())
        })
        .unwrap();
}

/// The file with its compressed fields compressed otherwise, as older versions of journald did: each is
/// appended, and the entries refer to it there.
fn recompressed(bytes: &[u8], flag: u8, bit: u8, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let word = |bytes: &[u8], at: usize| {
        usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap()
    };
    let mut out = bytes.to_vec();
    let (start, last) = (word(bytes, 88), word(bytes, 136));
    let (mut moved, mut entries, mut tail) = (std::collections::HashMap::new(), Vec::new(), last);
    let mut at = start;
    while at <= last {
        let size = word(bytes, at + 8);
        if bytes[at] == 1 && bytes[at + 1] == 4 {
            let mut plain = Vec::new();
            let packed = &bytes[at + 64..at + size];
            ruzstd::decoding::StreamingDecoder::new(packed)
                .unwrap()
                .read_to_end(&mut plain)
                .unwrap();
            tail = out.len().next_multiple_of(8);
            out.resize(tail, 0);
            moved.insert(at, tail as u64);
            let packed = pack(&plain);
            out.extend_from_slice(&bytes[at..at + 64]);
            out[tail + 1] = flag;
            out[tail + 8..tail + 16].copy_from_slice(&(64 + packed.len() as u64).to_le_bytes());
            out.extend(packed);
        } else if bytes[at] == 3 {
            entries.extend((at + 64..at + size).step_by(16));
        }
        at += size.next_multiple_of(8);
    }
    for item in entries {
        if let Some(to) = moved.get(&word(bytes, item)) {
            out[item..item + 8].copy_from_slice(&to.to_le_bytes());
        }
    }
    let end = out.len().next_multiple_of(8);
    out.resize(end, 0);
    assert!(!moved.is_empty());
    out[12] = out[12] & !8 | bit;
    out[96..104].copy_from_slice(&((end - start) as u64).to_le_bytes());
    out[136..144].copy_from_slice(&(tail as u64).to_le_bytes());
    out
}

fn xz(plain: &[u8]) -> Vec<u8> {
    let mut child = Command::new("xz")
        .args(["--check=none", "-c"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(plain).unwrap();
    child.wait_with_output().unwrap().stdout
}

fn lz4(plain: &[u8]) -> Vec<u8> {
    let size = (plain.len() as u64).to_le_bytes();
    [&size[..], &lz4_flex::block::compress(plain)].concat()
}

#[test]
fn older_compressions_are_read_as_journalctl_reads_them() {
    if !need(&[Need::Root, Need::Tool(REMOTE), Need::Tool("xz")]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("remote.journal");
    make(&path, 200, &[("SYSTEMD_JOURNAL_COMPACT", "0"), ("SYSTEMD_JOURNAL_KEYED_HASH", "0")]);
    let bytes = std::fs::read(&path).unwrap();
    let all = oracle(&["--file", path.to_str().unwrap()]);
    assert_eq!((bytes[12], all.len()), (8, 200));
    for bytes in [recompressed(&bytes, 1, 1, xz), recompressed(&bytes, 2, 2, lz4)] {
        std::fs::write(&path, bytes).unwrap();
        let mut follower = Follower::new(&[dir.path().to_owned()], true);
        follower.all();
        assert_eq!(follower.lost, 0);
        assert_same(oracle(&["--file", path.to_str().unwrap()]), all.clone());
        assert_same(follower.seen, all.clone());
    }
}
