//! Schedules of writes, rotations, looks, restarts and kills against what was written.
//!
//! A writer numbers its lines. Rotation goes the ways of logrotate (`.1`, dates, `copytruncate`, gzip) and of log4j2
//! (the highest number is the newest); an editor or rsync replaces the log by a copy; overlayfs copies it up. The
//! writer may keep a renamed file for a while; the follower may be ended at any moment and taken up from any snapshot
//! with the counts of that moment. In the end every line must have been counted once.
//!
//! The clock is the model's, and so are the times of the files, at the resolution of several filesystems (1 ms to 2 s):
//! how quick the machine is decides nothing.
//!
//! No reader can tell these apart, and the model steers round them:
//! 1. A file that is deleted before it was read, or whose last lines are: the model lets the follower read first.
//! 2. What is written between a copy and the truncation, unless it is read in between.
//! 3. A copy that is not whole yet or was made before the last was written, or that took the place of the log and was rotated itself
//!    between two looks, where less than 256 bytes of the log were read.
//! 4. A file that was truncated in the middle of a line and compressed, or replaced by a copy, all between two looks:
//!    that the line goes on in the next file is nowhere to be seen.
//! 5. A copy that is truncated within one tick of the filesystem after its last line.
//! 6. A copy that is made within one tick of the birth of its log: the younger one is the copy, and the other a file
//!    whose inode was given out again.
//! 7. A copy of a file that was renamed itself before anybody looked, or files that are renamed while the writer has
//!    still open what was truncated before: a host rotates in one way, and where that is changed, its writer starts anew.
//! 8. A writer that keeps more renamed files open than are followed at one time.
//! 9. An inode that is given out twice within one tick of the filesystem, or at any time on overlayfs.
//! 10. A file that was truncated and begins again with the very bytes that were read of it, which are few.
//!
//! A failing schedule is shrunk and printed. The long form:
//! `PROPTEST_CASES=10000 PROPTEST_RNG_SEED=$RANDOM cargo test --lib model`.

mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::sources::file::model_files::{config, paces, ticks};
use world::World;

/// Rotated files that are kept.
const KEPT: usize = 5;

#[derive(Debug, Clone)]
enum Step {
    /// The writer writes so many bytes, whole lines or not.
    Write(usize),
    /// The writer ends its line, and opens the file that is under the name.
    Reopen,
    /// logrotate: rename, and with `true` create.
    Rename(bool),
    /// logrotate: copytruncate. Between copy and truncation the writer writes so many bytes, which are read, for
    /// nobody can afterwards; then the copy is seen before it is whole, too.
    Copytruncate(usize),
    /// An editor or rsync: a copy with so many more bytes takes the place of the log.
    Replace(usize),
    /// overlayfs: the log is copied up, and keeps its inode.
    CopyUp,
    /// So many milliseconds go by.
    Wait(u16),
    /// logrotate: compress the rotated file of this number, with `true` before the writer knows.
    Compress(usize),
    /// The follower reads until there is nothing new.
    Follow,
    /// The follower looks once.
    Look,
    /// The snapshot is written.
    Save,
    /// The exporter ends, and goes on where it was.
    Restart,
    /// The exporter is killed, and goes on from the snapshot.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1usize..300).prop_map(Step::Write),
        1 => (1usize..9000).prop_map(Step::Write),
        3 => Just(Step::Reopen),
        2 => any::<bool>().prop_map(Step::Rename),
        2 => Just(Step::Copytruncate(0)),
        2 => (1usize..2000).prop_map(Step::Copytruncate),
        2 => (1..=KEPT).prop_map(Step::Compress),
        2 => (0usize..300).prop_map(Step::Replace),
        1 => Just(Step::CopyUp),
        3 => (0u16..3000).prop_map(Step::Wait),
        4 => Just(Step::Follow),
        4 => Just(Step::Look),
        1 => Just(Step::Save),
        2 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ]
}

/// A line of the writer. Its bytes hardly repeat: a file that was truncated and begins with the very bytes that were
/// read of it looks as if nothing had happened.
fn line(nth: u64) -> String {
    let mut dice = nth.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let letter = |_| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(nth);
        char::from(b'a' + u8::try_from((dice >> 33) % 26).unwrap())
    };
    format!("line {nth} ") + &(0..nth * 7 % 50).map(letter).collect::<String>()
}

/// What the follower has counted.
#[derive(Debug, Clone, Default)]
struct Counted {
    lines: BTreeMap<String, u32>,
    bytes: u64,
    sums: crate::sources::losses::Sums,
}

/// What rotated files are called.
#[derive(Debug, Clone, Copy)]
enum Names {
    /// `log.1` is the newest, and all are renamed.
    Down,
    /// The highest number is the newest, and nothing is renamed.
    Up,
    /// `log-20261120-0001`.
    Dates,
}

/// What a filesystem does with inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inodes {
    /// It gives none out again, as tmpfs.
    Fresh,
    /// It gives them out again at once, if the filesystem of the temporary directory does, as ext4.
    Recycled,
    /// A file that is copied up keeps its inode and is born again, as on overlayfs.
    CopiedUp,
}

/// What is the same in one schedule.
#[derive(Debug, Clone, Copy)]
struct Host {
    names: Names,
    /// Resolution of the filesystem's times, in nanoseconds.
    tick: i64,
    /// How long a step takes, in nanoseconds.
    pace: i64,
    /// Bytes that are read at one time.
    piece: usize,
    /// What its filesystem does with inodes.
    inodes: Inodes,
}

fn host() -> impl Strategy<Value = Host> {
    let names = prop_oneof![2 => Just(Names::Down), 1 => Just(Names::Up), 1 => Just(Names::Dates)];
    let piece = prop_oneof![Just(7usize), Just(100), Just(5000)];
    let inodes = prop_oneof![Just(Inodes::Fresh), Just(Inodes::Recycled), Just(Inodes::CopiedUp)];
    (names, ticks(), paces(), piece, inodes).prop_map(|(names, tick, pace, piece, inodes)| Host {
        names,
        tick,
        pace,
        piece,
        inodes,
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_line_is_counted_once(
        steps in proptest::collection::vec(step(), 1..40),
        host in host(),
    ) {
        let mut world = World::new(host);
        for step in &steps {
            world.apply(step);
        }
        if let Err(error) = world.judge() {
            eprintln!("{steps:?} {host:?}\n{error}");
            return Err(error);
        }
    }
}
