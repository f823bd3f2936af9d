//! Schedules of the logs of one pattern against what was written: rotated files with dated names inside the pattern,
//! log4j2's numbers in either direction, two names that are swapped, logs that appear and go.
//!
//! Every writer numbers its lines, and each line is counted by the digits of its number, so that one which is lost and
//! one which is counted twice do not make up for each other. What one log may go through is the matter of the
//! follower's model; here it is which file belongs to which log. Clock and times are the model's here too.
//!
//! No reader can tell these apart, and the model steers round them:
//! 1. A file that is deleted before it was read: the model lets the reader read first.
//! 2. An inode that is given out twice within one tick of the filesystem.
//! 3. A log that appears and is rotated within the tick in which the exporter began, or let go of its name.
//! 4. A file that got another log's name and is rotated as that: a host rotates in one way.
//! 5. A writer that keeps more files open than are followed at one time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tempfile::TempDir;

use super::{Look, Reader};
use crate::config::{Format, Source};
use crate::live::{Live, lock};
use crate::logs::clock;
use crate::logs::content::stamps;
use crate::logs::counts::{Published, Shared};
use crate::logs::effects::Lost;
use crate::logs::matcher::Matcher;

const SIGNATURE: &str = r"
- {id: line, title: A line, pattern: '^line \d*(?P<hundred>\d)(?P<ten>\d)(?P<one>\d) of \d$', severity: info,
   verdict: watch, captures: [hundred, ten, one]}";

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
    const MILLI: i64 = 1_000_000;
    use Names::{Dates, Least, Most, Swapped};
    let names = prop_oneof![Just(Dates), Just(Least), Just(Most), Just(Swapped)];
    let tick = prop_oneof![Just(MILLI), Just(4 * MILLI), Just(1000 * MILLI), Just(2000 * MILLI)];
    let pace = prop_oneof![Just(10_000), Just(MILLI), Just(30 * MILLI), Just(700 * MILLI)];
    (names, tick, pace, any::<bool>()).prop_map(|(names, tick, pace, recycles)| Host {
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

struct World {
    host: Host,
    dir: TempDir,
    wall: i64,
    born: Instant,
    writers: Vec<Writer>,
    lines: u64,
    bytes: u64,
    digits: BTreeMap<(&'static str, String), u64>,
    /// Files without a name whose inode must not be given out again.
    held: Vec<File>,
    reader: Option<Reader>,
    published: Arc<Mutex<Published>>,
    saved: Published,
}

/// When the model begins: after every time that the filesystem itself gives.
const START: i64 = 1_900_000_000_000_000_000;

fn shared() -> Arc<Shared> {
    let matcher = Live::new(Matcher::new(serde_saphyr::from_str(SIGNATURE).unwrap()));
    let (values, unknown, recent) = Default::default();
    Arc::new(Shared { matcher, values, unknown, recent, zone: TimeZone::UTC })
}

impl World {
    fn new(host: Host) -> Self {
        stamps::clear();
        stamps::set_copies_up(false);
        let mut world = Self {
            host,
            dir: tempfile::tempdir().unwrap(),
            wall: START,
            born: Instant::now(),
            writers: Vec::new(),
            lines: 0,
            bytes: 0,
            digits: BTreeMap::new(),
            held: Vec::new(),
            reader: None,
            published: Arc::default(),
            saved: Published::default(),
        };
        for _ in 0..LOGS {
            world.appear(0);
        }
        world.set_clock();
        world.start(Published::default(), false);
        world.follow();
        world.saved = lock(&world.published).clone();
        // See 3.
        world.wall += host.tick;
        world
    }

    fn set_clock(&self) {
        let since = Duration::from_nanos(u64::try_from(self.wall - START).unwrap());
        clock::model::set(self.born + since, self.wall);
    }

    fn stamp(&self) -> i64 {
        self.wall - self.wall % self.host.tick
    }

    fn stamp_new(&mut self, path: &Path) {
        let inode = fs::metadata(path).unwrap().ino();
        if stamps::of(inode).is_some_and(|(born, _)| born == self.stamp()) {
            // See 2.
            self.wall += self.host.tick;
        }
        stamps::set(inode, (self.stamp(), self.stamp()));
        self.stamp_directory();
    }

    fn stamp_directory(&self) {
        stamps::set(fs::metadata(self.dir.path()).unwrap().ino(), (0, self.stamp()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The log of this number, of those that there are.
    fn writer(&self, nth: usize) -> usize {
        nth % self.writers.len()
    }

    fn log_path(&self, nth: usize) -> PathBuf {
        self.path(&format!("{}.log", self.writers[nth].log))
    }

    fn rotated_path(&self, nth: usize, number: usize) -> PathBuf {
        let log = &self.writers[nth].log;
        self.path(&match self.host.names {
            Names::Dates => format!("{log}-20261120-{number:04}.log"),
            Names::Least | Names::Most | Names::Swapped => format!("{log}-{number}.log"),
        })
    }

    fn write(&mut self, nth: usize, count: usize) {
        if self.writers[nth].file.is_none() {
            self.reopen(nth);
        }
        let mut text = String::new();
        for _ in 0..count {
            let number = self.lines + 1000;
            writeln!(text, "line {number} of {nth}").unwrap();
            let digits = number.to_string();
            let digits = digits[digits.len() - 3..].chars();
            for (name, digit) in ["hundred", "ten", "one"].into_iter().zip(digits) {
                *self.digits.entry((name, digit.to_string())).or_default() += 1;
            }
            self.lines += 1;
        }
        let file = self.writers[nth].file.as_mut().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.bytes += text.len() as u64;
        let inode = file.metadata().unwrap().ino();
        let (born, _) = stamps::of(inode).unwrap();
        stamps::set(inode, (born, self.stamp()));
    }

    fn reopen(&mut self, nth: usize) {
        self.writers[nth].file = Some(self.open(&self.log_path(nth)));
        self.writers[nth].kept_for = 0;
    }

    fn open(&mut self, path: &Path) -> File {
        let is_new = !path.exists();
        let file = File::options().append(true).create(true).open(path).unwrap();
        if is_new {
            self.stamp_new(path);
        }
        file
    }

    fn rename(&self, from: &Path, to: &Path) {
        fs::rename(from, to).unwrap();
        self.stamp_directory();
    }

    /// A file goes; who writes it has let go of it before, and what was written was read.
    fn delete(&mut self, path: &Path) {
        let inode = fs::metadata(path).unwrap().ino();
        for nth in 0..self.writers.len() {
            let file = self.writers[nth].file.as_ref();
            if file.is_some_and(|file| file.metadata().unwrap().ino() == inode) {
                self.writers[nth].file = None;
            }
        }
        self.catch_up();
        if !self.host.recycles {
            self.held.push(File::open(path).unwrap());
        }
        fs::remove_file(path).unwrap();
        self.stamp_directory();
    }

    fn rotate(&mut self, nth: usize, create: bool) {
        let log = self.log_path(nth);
        if !log.exists() || matches!(self.host.names, Names::Swapped) {
            return;
        }
        self.writers[nth].rotations += 1;
        let number = match self.host.names {
            Names::Dates => {
                let number = self.writers[nth].rotations;
                let old = self.rotated_path(nth, number.saturating_sub(KEPT));
                if old.exists() {
                    self.delete(&old);
                }
                number
            }
            Names::Least | Names::Swapped => {
                let last = self.rotated_path(nth, KEPT);
                if last.exists() {
                    self.delete(&last);
                }
                for number in (1..KEPT).rev() {
                    let from = self.rotated_path(nth, number);
                    if from.exists() {
                        self.rename(&from, &self.rotated_path(nth, number + 1));
                    }
                }
                1
            }
            Names::Most => {
                let first = self.rotated_path(nth, 1);
                if self.rotated_path(nth, KEPT).exists() {
                    self.delete(&first);
                    for number in 2..=KEPT {
                        self.rename(
                            &self.rotated_path(nth, number),
                            &self.rotated_path(nth, number - 1),
                        );
                    }
                }
                (1..=KEPT).find(|number| !self.rotated_path(nth, *number).exists()).unwrap()
            }
        };
        self.rename(&log, &self.rotated_path(nth, number));
        self.let_go_in_time(nth);
        if create {
            self.open(&log);
        }
    }

    /// See 5.
    fn let_go_in_time(&mut self, nth: usize) {
        self.writers[nth].kept_for += 1;
        if self.writers[nth].kept_for >= 3 {
            self.writers[nth].file = None;
        }
    }

    fn swap(&mut self, one: usize, other: usize) {
        let (one, other) = (self.log_path(one), self.log_path(other));
        let swaps = matches!(self.host.names, Names::Swapped);
        if !swaps || one == other || !one.exists() || !other.exists() {
            return;
        }
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, &one, rustix::fs::CWD, &other, flags).unwrap();
        self.stamp_directory();
    }

    fn appear(&mut self, lines: usize) {
        let log = char::from(b'a' + u8::try_from(self.writers.len() % 26).unwrap());
        let log = format!("{log}{}", self.writers.len() / 26);
        self.writers.push(Writer { log, file: None, rotations: 0, kept_for: 0 });
        self.write(self.writers.len() - 1, lines);
    }

    fn start(&mut self, published: Published, known: bool) {
        let source = Source {
            name: "app".to_owned(),
            files: vec![self.path("*.log")],
            format: Format::Plain,
            follow_links: false,
            kmsg: false,
            journal: false,
            audit_multicast: false,
            directories: Vec::new(),
        };
        self.published = Arc::new(Mutex::new(published));
        let published = Arc::clone(&self.published);
        self.reader = Some(Reader::new(source, known, published, shared(), 1000));
    }

    fn reader(&mut self) -> &mut Reader {
        self.set_clock();
        self.reader.as_mut().unwrap()
    }

    /// As the reader's thread does when inotify tells of a name.
    fn scan(&mut self) {
        let reader = self.reader();
        if reader.directories_changed() {
            reader.scan();
        }
    }

    /// As the reader's thread does at each sweep.
    fn sweep(&mut self) -> bool {
        self.scan();
        let reader = self.reader();
        let before = reader.followers.len();
        reader.let_go();
        // See 3.
        let let_go = reader.followers.len() < before;
        self.wall += if let_go { self.host.tick } else { 0 };
        let reader = self.reader();
        let mut more = false;
        for path in reader.followers.keys().cloned().collect::<Vec<_>>() {
            more |= reader.look(&path).is_some_and(|look| look != Look::Idle);
        }
        more
    }

    fn follow(&mut self) {
        for _ in 0..2_000 {
            if !self.sweep() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn catch_up(&mut self) {
        self.follow();
        self.saved = lock(&self.published).clone();
    }

    fn apply(&mut self, step: &Step) {
        self.wall += self.host.pace;
        match *step {
            Step::Write(nth, count) => self.write(self.writer(nth), count),
            Step::Reopen(nth) => self.reopen(self.writer(nth)),
            Step::Rotate(nth, create) => self.rotate(self.writer(nth), create),
            Step::Swap(one, other) => self.swap(self.writer(one), self.writer(other)),
            Step::Appear(lines) => self.appear(lines),
            Step::Vanish(nth) => {
                let path = self.log_path(self.writer(nth));
                if path.exists() {
                    self.delete(&path);
                    self.let_go_in_time(self.writer(nth));
                }
            }
            Step::Wait(millis) => self.wall += i64::from(millis) * 1_000_000,
            Step::Follow => self.follow(),
            Step::Look(nth) => {
                let path = self.log_path(self.writer(nth));
                self.scan();
                self.reader().look(&path);
            }
            Step::Scan => self.reader().scan(),
            Step::Save => self.saved = lock(&self.published).clone(),
            Step::Restart => {
                let published = lock(&self.published).clone();
                self.set_clock();
                self.start(published, true);
                self.wall += self.host.tick;
            }
            Step::Kill => {
                self.set_clock();
                self.start(self.saved.clone(), true);
                self.wall += self.host.tick;
            }
        }
    }

    fn judge(&mut self) -> Result<(), TestCaseError> {
        self.follow();
        // What only time tells: a name that was missing, a file that nobody writes any more.
        for seconds in [3, 60, 7200] {
            self.wall += seconds * 1_000_000_000;
            self.follow();
        }
        let counts = lock(&self.published).counts.clone();
        let counted = counts.signatures.get("line");
        let captures = counted.map(|line| line.captures.clone()).unwrap_or_default();
        let counted: BTreeMap<_, _> = ["hundred", "ten", "one"]
            .into_iter()
            .flat_map(|name| {
                let values = captures.get(name).cloned().unwrap_or_default();
                values.into_iter().map(move |(digit, count)| ((name, digit), count))
            })
            .collect();
        prop_assert_eq!((counts.lines, counts.bytes), (self.lines, self.bytes), "lines, bytes");
        prop_assert_eq!(&counted, &self.digits);
        for (why, reason) in Lost::ALL {
            prop_assert_eq!(counts.sums.lost(why), 0, "{}", reason);
        }
        Ok(())
    }
}

fn setting<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: setting("PROPTEST_CASES").unwrap_or(200),
        // As in the follower's model.
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(setting("PROPTEST_RNG_SEED").unwrap_or(1)),
        ..ProptestConfig::default()
    })]

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
