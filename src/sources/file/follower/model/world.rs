//! The host of the model: its files, its writer, its clock, and the follower that is judged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::{Counted, Host, Inodes, KEPT, Names, Step, line};
use crate::sources::file::content::{self, FileId, SPAN, stamps};
use crate::sources::file::follower::{At, EVIDENCE, Follower, Look, MAX_LINGERING, State};
use crate::sources::file::model_files::{Files, START};
use crate::sources::file::trust::Trust;
use crate::sources::losses::{Effects, Lost};

pub(super) struct World {
    host: Host,
    files: Files,
    born: Instant,
    /// The writer: its file, and what it has to write.
    writer: Option<File>,
    next: u64,
    unfinished: Vec<u8>,
    written: u64,
    rotations: usize,
    /// A copy was made that nobody has looked at.
    copied: bool,
    /// Rotations since the writer opened its file.
    kept_for: usize,
    /// Files that begin in the middle of a line, for they were truncated there.
    split: Vec<FileId>,
    follower: Follower,
    counted: Counted,
    saved: (State, Counted),
}

impl World {
    pub(super) fn new(host: Host) -> Self {
        let recycles = host.inodes == Inodes::Recycled;
        let files = Files::new(host.tick, recycles, host.inodes == Inodes::CopiedUp);
        let log = files.dir.path().join("log");
        fs::write(&log, "before our time\n").unwrap();
        let follower = Follower::new(log, Trust::Named, true, (&[], START));
        let saved = (follower.state(), Counted::default());
        let mut world = Self {
            host,
            files,
            born: Instant::now(),
            writer: None,
            next: 0,
            unfinished: Vec::new(),
            written: 0,
            rotations: 0,
            copied: false,
            kept_for: 0,
            split: Vec::new(),
            follower,
            counted: Counted::default(),
            saved,
        };
        world.files.stamp_new(&world.path(0, false));
        world.follow();
        world.saved = (world.follower.state(), Counted::default());
        world.reopen();
        world
    }

    fn path(&self, number: usize, compressed: bool) -> PathBuf {
        let ending = if compressed { ".gz" } else { "" };
        let nth = (self.rotations + 1).saturating_sub(number);
        self.files.dir.path().join(match (number, self.host.names) {
            (0, _) => "log".to_owned(),
            (number, Names::Down) => format!("log.{number}{ending}"),
            (_, Names::Up) => format!("log.{nth}{ending}"),
            (_, Names::Dates) => format!("log-20261120-{nth:04}{ending}"),
        })
    }

    /// Opens the file under the name, and makes it if it is not there.
    fn open_log(&mut self) -> File {
        self.files.open(&self.path(0, false))
    }

    fn write(&mut self, count: usize) {
        while self.unfinished.len() < count {
            self.unfinished.extend_from_slice(format!("{}\n", line(self.next)).as_bytes());
            self.next += 1;
        }
        let bytes: Vec<u8> = self.unfinished.drain(..count).collect();
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(&bytes).unwrap();
        let inode = writer.metadata().unwrap().ino();
        if count > 0 {
            self.files.stamp_written(inode);
        }
        self.written += bytes.len() as u64;
    }

    fn end_line(&mut self) {
        // What has been made and not written is the rest of the last line, and perhaps more lines.
        self.write(self.unfinished.len());
    }

    fn reopen(&mut self) {
        if self.writer.is_some() {
            self.end_line();
        }
        self.kept_for = 0;
        self.writer = Some(self.open_log());
    }

    /// Whether the writer has this file open.
    fn is_written(&self, path: &Path) -> bool {
        let id = content::id(&self.writer.as_ref().unwrap().metadata().unwrap());
        fs::metadata(path).is_ok_and(|meta| content::id(&meta) == id)
    }

    /// Reads what is there, and saves that.
    fn catch_up(&mut self) {
        self.follow();
        self.saved = (self.follower.state(), self.counted.clone());
        self.copied = false;
    }

    /// Makes room for a new `.1`. What falls off at the end has been read, as everywhere where
    /// logrotate keeps more than the exporter is away.
    fn shift(&mut self) {
        // A writer that keeps a file for longer than that is not followed any more.
        self.kept_for += 1;
        if self.kept_for >= MAX_LINGERING {
            self.reopen();
        }
        for compressed in [false, true] {
            let path = self.path(KEPT, compressed);
            if !path.exists() {
                continue;
            }
            if self.is_written(&path) {
                self.reopen();
            }
            self.catch_up();
            self.files.remove(&path);
        }
        if let Names::Down = self.host.names {
            for number in (1..KEPT).rev() {
                for compressed in [false, true] {
                    let path = self.path(number, compressed);
                    if path.exists() {
                        self.files.rename(&path, &self.path(number + 1, compressed));
                    }
                }
            }
        }
        self.rotations += 1;
    }

    fn rename(&mut self, create: bool) {
        if self.path(0, false).exists() {
            if self.copied {
                self.catch_up();
            }
            self.shift();
            let split =
                self.split.contains(&content::id(&fs::metadata(self.path(0, false)).unwrap()));
            self.files.rename(&self.path(0, false), &self.path(1, false));
            if split {
                // See 7.
                self.reopen();
            }
        }
        if create {
            self.open_log();
        }
    }

    fn copytruncate(&mut self, between: usize) {
        let log = self.path(0, false);
        if !log.exists() {
            return;
        }
        self.pass_tick_of_birth();
        self.shift();
        // See 10.
        let knows_little =
            |state: &State| state.generations.iter().any(|one| (1..32).contains(&one.place.offset));
        if (between > 0 && fs::metadata(&log).unwrap().len() < 2 * EVIDENCE)
            || knows_little(&self.follower.state())
            || knows_little(&self.saved.0)
        {
            self.catch_up();
        }
        let copy = self.path(1, false);
        if between > 0 {
            let bytes = fs::read(&log).unwrap();
            fs::write(&copy, &bytes[..bytes.len() / 2]).unwrap();
            self.files.stamp_new(&copy);
            self.follow();
        }
        fs::copy(&log, &copy).unwrap();
        self.files.stamp_new(&copy);
        if between > 0 {
            self.write(between);
            self.catch_up();
            self.files.wall += self.files.tick;
        }
        self.split.push(content::id(&fs::metadata(&log).unwrap()));
        File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
        self.copied = true;
        self.files.stamp_written(fs::metadata(&log).unwrap().ino());
    }

    /// See 6.
    fn pass_tick_of_birth(&mut self) {
        let (born, _) = stamps::of(fs::metadata(self.path(0, false)).unwrap().ino()).unwrap();
        if born >= self.files.stamp() {
            self.files.wall = born + self.files.tick;
        }
    }

    fn replace(&mut self, more: usize) {
        let log = self.path(0, false);
        if !log.exists() || !self.is_written(&log) {
            return;
        }
        let split = self.split.contains(&content::id(&fs::metadata(&log).unwrap()));
        if split {
            self.catch_up();
        }
        self.pass_tick_of_birth();
        let copy = self.files.dir.path().join(".copy");
        fs::copy(&log, &copy).unwrap();
        self.files.stamp_new(&copy);
        if split {
            self.split.push(content::id(&fs::metadata(&copy).unwrap()));
        }
        self.writer = Some(File::options().append(true).open(&copy).unwrap());
        self.write(more);
        stamps::set_changed(fs::metadata(&log).unwrap().ino(), self.files.stamp());
        self.files.hold_inode(&log);
        self.files.rename(&copy, &log);
        let knows_it = |state: &State| {
            state.generations.last().is_some_and(|one| one.place.offset >= EVIDENCE)
        };
        if !knows_it(&self.follower.state()) || !knows_it(&self.saved.0) {
            self.catch_up();
        }
    }

    fn copy_up(&mut self) {
        if let Ok(meta) = fs::metadata(self.path(0, false)) {
            // What was truncated was written, and so was copied up before.
            if !self.split.contains(&content::id(&meta)) {
                self.pass_tick_of_birth();
                let (_, modified) = stamps::of(meta.ino()).unwrap();
                stamps::set(meta.ino(), (self.files.stamp(), modified));
                self.files.wall += self.files.tick;
            }
        }
    }

    fn compress(&mut self, number: usize) {
        let (from, to) = (self.path(number, false), self.path(number, true));
        if !from.exists() || self.is_written(&from) {
            return;
        }
        let ends = fs::read(&from).unwrap().last().is_none_or(|&byte| byte == b'\n');
        if !ends || self.split.contains(&content::id(&fs::metadata(&from).unwrap())) {
            self.catch_up();
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&fs::read(&from).unwrap()).unwrap();
        fs::write(&to, encoder.finish().unwrap()).unwrap();
        let (_, modified) = stamps::of(fs::metadata(&from).unwrap().ino()).unwrap();
        self.files.stamp_new(&to);
        stamps::set(fs::metadata(&to).unwrap().ino(), (self.files.stamp(), modified));
        self.files.remove(&from);
    }

    fn look(&mut self) -> Look {
        let (mut effects, counted) = (Effects::default(), &mut self.counted);
        let mut buffer = vec![0; SPAN + self.host.piece];
        let now = self.born + self.files.elapsed();
        let at = At { now, wall: self.files.wall, is_of_another: &|_| false };
        let look = self.follower.look(&at, &mut buffer, &mut effects);
        let look = look.unwrap_or(Look::Idle);
        let mut line = |line: &[u8]| {
            *counted.lines.entry(String::from_utf8_lossy(line).into_owned()).or_default() += 1;
        };
        if let Look::Data(nth, count) = look {
            counted.bytes += count as u64;
            self.follower.accept((nth, count), &buffer, &mut effects, &mut line);
        }
        effects.lines.iter().for_each(|bytes| line(bytes));
        counted.sums.add(&effects.sums);
        look
    }

    fn follow(&mut self) {
        for _ in 0..5_000 {
            if self.look() == Look::Idle {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn restart(&mut self, (state, counted): (State, Counted)) {
        self.follower = Follower::resume(self.path(0, false), Trust::Named, state);
        self.counted = counted;
    }

    pub(super) fn apply(&mut self, step: &Step) {
        self.files.wall += self.host.pace;
        match step {
            Step::Write(count) => self.write(*count),
            Step::Reopen => self.reopen(),
            // log4j2 renames its log and goes on in a new one: there is no other writer.
            Step::Rename(_) | Step::Copytruncate(_) if matches!(self.host.names, Names::Up) => {
                self.end_line();
                self.rename(false);
                self.reopen();
            }
            Step::Rename(create) => self.rename(*create),
            Step::Copytruncate(between) => self.copytruncate(*between),
            Step::Replace(more) => self.replace(*more),
            Step::CopyUp if self.host.inodes == Inodes::CopiedUp => self.copy_up(),
            Step::CopyUp => {}
            Step::Wait(millis) => self.files.wall += i64::from(*millis) * 1_000_000,
            Step::Compress(number) => self.compress(*number),
            Step::Follow => self.follow(),
            Step::Look => drop(self.look()),
            Step::Save => self.saved = (self.follower.state(), self.counted.clone()),
            Step::Restart => self.restart((self.follower.state(), self.counted.clone())),
            Step::Kill => self.restart(self.saved.clone()),
        }
    }

    /// Every line was counted once, and every byte.
    pub(super) fn judge(&mut self) -> Result<(), TestCaseError> {
        self.end_line();
        self.follow();
        self.files.wall += 7_200_000_000_000;
        self.follow();
        let expected: BTreeMap<String, u32> = (0..self.next).map(|nth| (line(nth), 1)).collect();
        let missing: Vec<_> =
            expected.keys().filter(|line| !self.counted.lines.contains_key(*line)).collect();
        let wrong: Vec<_> = self
            .counted
            .lines
            .iter()
            .filter(|(line, times)| expected.get(*line) != Some(times))
            .collect();
        prop_assert!(
            missing.is_empty() && wrong.is_empty(),
            "missing {missing:?}, wrong {wrong:?}"
        );
        prop_assert_eq!(self.counted.bytes, self.written);
        for (why, reason) in Lost::ALL {
            prop_assert_eq!(self.counted.sums.lost(why), 0, "{}", reason);
        }
        Ok(())
    }
}
