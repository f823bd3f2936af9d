//! The host of the model: its logs, their writers, its clock, and the reader that is judged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use proptest::prelude::*;

use super::{Host, KEPT, LOGS, Names, Step, Writer};
use crate::config::{Format, Source};
use crate::live::lock;
use crate::sources::file::clock;
use crate::sources::file::model_files::Files;
use crate::sources::file::runner::{FileRunner, Look};
use crate::sources::losses::Lost;
use crate::sources::published::{Counts, PublishedTo, Shared};
use crate::sources::sink::{Batch, Carry, Message, Sink};

pub(super) struct World {
    host: Host,
    files: Files,
    born: Instant,
    writers: Vec<Writer>,
    lines: u64,
    bytes: u64,
    reader: Option<FileRunner<Numbers>>,
    published: Shared<Numbers>,
    saved: PublishedTo<Numbers>,
}

/// Counts each line by its number.
struct Numbers;

/// How often each line was counted.
type Times = BTreeMap<u64, u64>;

impl Sink for Numbers {
    type Carry = Nothing;
    type Counts = Times;
    type Batch<'s> = Self;

    fn begin_batch(&self, _: SystemTime) -> Self {
        Self
    }
}

impl Batch for Numbers {
    type Carry = Nothing;
    type Counts = Times;

    fn count(&self, message: Message<'_>, _: &mut Nothing, to: &mut Counts<Times>) {
        let Message::Line(line) = message else { unreachable!("files have lines") };
        let line = std::str::from_utf8(line).unwrap();
        let number = line.strip_prefix("line ").and_then(|rest| rest.split(' ').next());
        *to.sink.entry(number.unwrap().parse().unwrap()).or_default() += 1;
    }

    fn expire(&self, _: &mut Nothing, _: &mut Counts<Times>) {}

    fn join(&self, _: &mut Nothing, _: Nothing, _: &mut Counts<Times>) {}
}

#[derive(Clone, Default)]
struct Nothing;

impl Carry for Nothing {
    fn split_off(&mut self) -> Self {
        Self
    }

    fn waits(&self) -> bool {
        false
    }
}

impl World {
    pub(super) fn new(host: Host) -> Self {
        let mut world = Self {
            host,
            files: Files::new(host.tick, host.recycles, false),
            born: Instant::now(),
            writers: Vec::new(),
            lines: 0,
            bytes: 0,
            reader: None,
            published: Arc::default(),
            saved: PublishedTo::<Numbers>::default(),
        };
        for _ in 0..LOGS {
            world.appear(0);
        }
        world.set_clock();
        world.start(PublishedTo::<Numbers>::default(), false);
        world.follow();
        world.saved = lock(&world.published).clone();
        // See 3.
        world.files.wall += host.tick;
        world
    }

    fn set_clock(&self) {
        clock::model::set(self.born + self.files.elapsed(), self.files.wall);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.dir.path().join(name)
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
            let number = self.lines;
            writeln!(text, "line {number} of {nth}").unwrap();
            self.lines += 1;
        }
        let file = self.writers[nth].file.as_mut().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.bytes += text.len() as u64;
        let inode = file.metadata().unwrap().ino();
        self.files.stamp_written(inode);
    }

    fn reopen(&mut self, nth: usize) {
        self.writers[nth].file = Some(self.files.open(&self.log_path(nth)));
        self.writers[nth].kept_for = 0;
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
        self.files.remove(path);
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
                        self.files.rename(&from, &self.rotated_path(nth, number + 1));
                    }
                }
                1
            }
            Names::Most => {
                let first = self.rotated_path(nth, 1);
                if self.rotated_path(nth, KEPT).exists() {
                    self.delete(&first);
                    for number in 2..=KEPT {
                        self.files.rename(
                            &self.rotated_path(nth, number),
                            &self.rotated_path(nth, number - 1),
                        );
                    }
                }
                (1..=KEPT).find(|number| !self.rotated_path(nth, *number).exists()).unwrap()
            }
        };
        self.files.rename(&log, &self.rotated_path(nth, number));
        self.let_go_in_time(nth);
        if create {
            self.files.open(&log);
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
        self.files.exchange(&one, &other);
    }

    fn appear(&mut self, lines: usize) {
        let log = char::from(b'a' + u8::try_from(self.writers.len() % 26).unwrap());
        let log = format!("{log}{}", self.writers.len() / 26);
        self.writers.push(Writer { log, file: None, rotations: 0, kept_for: 0 });
        self.write(self.writers.len() - 1, lines);
    }

    fn start(&mut self, published: PublishedTo<Numbers>, known: bool) {
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
        self.reader = Some(FileRunner::new(source, known, published, Arc::new(Numbers), 1000));
    }

    fn reader(&mut self) -> &mut FileRunner<Numbers> {
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
        self.files.wall += if let_go { self.files.tick } else { 0 };
        let reader = self.reader();
        let mut more = false;
        for path in reader.followers.keys().cloned().collect::<Vec<_>>() {
            more |= reader.look(&path).is_some_and(|look| look != Look::Idle);
        }
        reader.publish();
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

    pub(super) fn apply(&mut self, step: &Step) {
        self.files.wall += self.host.pace;
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
            Step::Wait(millis) => self.files.wall += i64::from(millis) * 1_000_000,
            Step::Follow => self.follow(),
            Step::Look(nth) => {
                let path = self.log_path(self.writer(nth));
                self.scan();
                self.reader().look(&path);
                self.reader().publish();
            }
            Step::Scan => self.reader().scan(),
            Step::Save => self.saved = lock(&self.published).clone(),
            Step::Restart => {
                let published = lock(&self.published).clone();
                self.set_clock();
                self.start(published, true);
                self.files.wall += self.files.tick;
            }
            Step::Kill => {
                self.set_clock();
                self.start(self.saved.clone(), true);
                self.files.wall += self.files.tick;
            }
        }
    }

    pub(super) fn judge(&mut self) -> Result<(), TestCaseError> {
        self.follow();
        // What only time tells: a name that was missing, a file that nobody writes any more.
        for seconds in [3, 60, 7200] {
            self.files.wall += seconds * 1_000_000_000;
            self.follow();
        }
        let counts = lock(&self.published).counts.clone();
        prop_assert_eq!(
            (counts.read.lines, counts.read.bytes),
            (self.lines, self.bytes),
            "lines, bytes"
        );
        prop_assert_eq!(&counts.sink, &(0..self.lines).map(|number| (number, 1)).collect());
        for (why, reason) in Lost::ALL {
            prop_assert_eq!(counts.read.sums.lost(why), 0, "{}", reason);
        }
        Ok(())
    }
}
