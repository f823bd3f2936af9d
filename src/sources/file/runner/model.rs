//! Schedules of the logs of one pattern against what was written: rotated files with dated names inside the pattern,
//! log4j2's numbers in either direction, two names that are swapped, logs that appear and go.
//!
//! Every writer numbers its lines, and each line is counted by its number, so that one which is lost and
//! one which is counted twice do not make up for each other. What one log may go through is the matter of the
//! follower's model; here it is which file belongs to which log. Clock and times are the model's here too.
//!
//! No reader can tell these apart, and the model steers round them:
//! 1. A file that is deleted before it was read: the model lets the reader read first.
//! 2. An inode that is given out twice within one tick of the filesystem (`model_files.rs`).
//! 3. A log that appears and is rotated within the tick in which the exporter began, or let go of its name.
//! 4. A file that got another log's name and is rotated as that: a host rotates in one way.
//! 5. A writer that keeps more files open than are followed at one time.

mod world;

use std::fs::File;

use proptest::prelude::*;

use crate::sources::file::model_files::{config, paces, ticks};
use world::World;

/// Logs that are there from the start; others appear.
const LOGS: usize = 3;

/// Rotated files of one log that are kept.
const KEPT: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    /// The writer of this log writes so many lines.
    Write(usize, usize),
    /// The writer of this log opens the file that is under the name, and makes it if there is none.
    Reopen(usize),
    /// This log is rotated, and with `true` made anew.
    Rotate(usize, bool),
    /// The names of two logs are swapped: their writers go on in the files that they have open.
    Swap(usize, usize),
    /// A log that was not there before, with so many lines.
    Appear(usize),
    /// A log is deleted after it was read.
    Vanish(usize),
    /// So many milliseconds go by.
    Wait(u16),
    /// The reader looks until there is nothing new.
    Follow,
    /// It looks once at this log.
    Look(usize),
    /// It looks which logs there are.
    Scan,
    /// The snapshot is written.
    Save,
    /// The exporter ends, and goes on where it was.
    Restart,
    /// It is killed, and goes on from the snapshot.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let log = || 0usize..LOGS + 2;
    prop_oneof![
        8 => (log(), 1usize..30).prop_map(|(log, count)| Step::Write(log, count)),
        3 => log().prop_map(Step::Reopen),
        4 => (log(), any::<bool>()).prop_map(|(log, create)| Step::Rotate(log, create)),
        2 => (log(), log()).prop_map(|(one, other)| Step::Swap(one, other)),
        1 => (0usize..20).prop_map(Step::Appear),
        1 => log().prop_map(Step::Vanish),
        3 => (0u16..3000).prop_map(Step::Wait),
        4 => Just(Step::Follow),
        3 => log().prop_map(Step::Look),
        2 => Just(Step::Scan),
        1 => Just(Step::Save),
        2 => Just(Step::Restart),
        1 => Just(Step::Kill),
    ]
}

/// What rotated files are called.
#[derive(Debug, Clone, Copy)]
enum Names {
    /// logrotate's `extension .log` with `dateext`: `a-20261120-0001.log`.
    Dates,
    /// log4j2's `app-%i.log` with `fileIndex="min"`: `a-1.log` is the newest, and all are renamed.
    Least,
    /// log4j2's default: the highest number is the newest, and beyond [`KEPT`] all are renamed.
    Most,
    /// There are none: two names are swapped. See 4.
    Swapped,
}

#[derive(Debug, Clone, Copy)]
struct Host {
    names: Names,
    /// Resolution of the filesystem's times, in nanoseconds.
    tick: i64,
    /// How long a step takes, in nanoseconds.
    pace: i64,
    /// The filesystem gives inodes out again, if that of the temporary directory does.
    recycles: bool,
}

fn host() -> impl Strategy<Value = Host> {
    use Names::{Dates, Least, Most, Swapped};
    let names = prop_oneof![Just(Dates), Just(Least), Just(Most), Just(Swapped)];
    (names, ticks(), paces(), any::<bool>()).prop_map(|(names, tick, pace, recycles)| Host {
        names,
        tick,
        pace,
        recycles,
    })
}

struct Writer {
    log: String,
    file: Option<File>,
    /// Rotations of this log so far.
    rotations: usize,
    /// Files that have gone from under its name since it opened its own.
    kept_for: usize,
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_line_of_every_log_is_counted_once(
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
