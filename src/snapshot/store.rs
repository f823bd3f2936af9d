//! What survives a restart: the snapshot in the state directory, and what may be believed of it.
//!
//! A counter that falls by 5 makes `increase()` jump by its whole value, while a restart from 0 does not
//! (measured). So every record has a number; it is written before a scrape shows what is in it, and its
//! number is noted in the [mark](Mark) when that is shown. Values are taken up again only from a record
//! that is at least as new as the mark; else positions alone, and values begin at 0, as a new *epoch*.
//! A record that cannot be written within a second does not keep the scrape from showing what is new:
//! then the mark is ahead of the snapshot, and no later start believes its values.

use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::directory;
use super::mark::{self, Mark, Shown};
use super::slots::{Found, Record, Slots};
use crate::supervised;

/// A scrape waits so long for the snapshot.
const WRITE_BOUND: Duration = Duration::from_secs(1);

/// The start waits so long for a disk that hangs.
const LOAD_BOUND: Duration = Duration::from_secs(5);

/// The state of the exporter, on disk.
pub(crate) struct State {
    epoch: u64,
    sequence: u64,
    /// What the newest record on disk holds, if it is known.
    saved: Option<Vec<u8>>,
    mark: Option<Mark>,
    writer: Option<Writer>,
    /// Snapshots that could not be written.
    errors: u64,
    /// What is wrong, as long as it is.
    failing: Option<String>,
    /// What is wrong for good.
    note: Option<String>,
}

/// What the last run has left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Loaded {
    /// The bytes of the newest record.
    pub payload: Option<Vec<u8>>,
    /// Whether its values are at least what was last shown.
    pub values: bool,
}

/// The thread that alone touches the disk, for a disk may hang.
struct Writer {
    records: SyncSender<Record>,
    done: Receiver<io::Result<()>>,
    /// Records that it was given and has not answered.
    pending: u32,
}

impl State {
    /// Opens the state directory, which is made where there is none.
    ///
    /// # Errors
    /// When another exporter uses it: one line that says what to do. Everything else is a note, for the
    /// exporter is of use without state too.
    pub(crate) fn open(directory: Option<&Path>) -> Result<(Self, Loaded), String> {
        let Some(directory) = directory.map(Path::to_owned).or_else(directory::default) else {
            let note = "no state directory is known: give one with --path.state; without it, counters \
                 begin at 0 at each start, and lines written meanwhile are not read";
            return Ok((Self::without(Some(note.to_owned())), Loaded::default()));
        };
        Self::open_in(&directory, mark::directory())
    }

    fn open_in(directory: &Path, runtime: io::Result<PathBuf>) -> Result<(Self, Loaded), String> {
        let (opened, found) = sync_channel(1);
        let (records, jobs) = sync_channel(1);
        let (answers, done) = sync_channel(2);
        let of_thread = directory.to_owned();
        let spawned = std::thread::Builder::new().name("state".to_owned()).stack_size(256 * 1024);
        let keep = move || {
            supervised::panic_if_asked("state-open");
            let (slots, lock, result) = directory::open(&of_thread);
            let refused = result.is_err();
            // Nobody waits any more when the start was given up for.
            let _ = opened.try_send(result);
            if !refused {
                write_records(slots, &jobs, &answers);
            }
            drop(lock);
        };
        let spawned = spawned.spawn(move || supervised::run("state", |_| {}, keep));
        let shown_at = directory.display();
        let without = |why: &dyn std::fmt::Display| {
            format!("state directory {shown_at}: {why}; counters begin at 0 at the next start")
        };
        if let Err(error) = spawned {
            return Ok((Self::without(Some(without(&error))), Loaded::default()));
        }
        let writer = Writer { records, done, pending: 0 };
        let mut state = Self { writer: Some(writer), ..Self::without(None) };
        let found = match found.recv_timeout(LOAD_BOUND) {
            Ok(found) => Some(found?),
            Err(_) => None,
        };
        let mark = runtime.and_then(|runtime| Mark::open_in(&runtime, directory));
        let (mark, shown) = match mark {
            Ok((mark, shown)) => (Some(mark), shown),
            Err(error) => {
                tracing::warn!(%error, "no runtime directory (RUNTIME_DIRECTORY, XDG_RUNTIME_DIR or \
                    /run): counters begin at 0 at each start");
                (None, None)
            }
        };
        state.mark = mark;
        let Some((found, note)) = found else {
            // Its records are older than any of ours, whatever their number is, and what they hold is
            // behind what we are going to show.
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            state.sequence = u64::try_from(now.as_nanos()).unwrap_or(0);
            state.note = Some(without(&"it did not answer within 5 s"));
            state.note_shown();
            return Ok((state, Loaded::default()));
        };
        state.note = note.map(|why| without(&why));
        Ok(state.take_up(found, shown))
    }

    /// What of a record may be believed.
    fn take_up(mut self, found: Found, shown: Option<Shown>) -> (Self, Loaded) {
        let Found::Record(record) = found else { return (self, Loaded::default()) };
        self.sequence = record.sequence;
        let values = shown
            .is_some_and(|shown| shown.epoch == record.epoch && record.sequence >= shown.sequence);
        if values {
            self.epoch = record.epoch;
            self.saved = Some(record.payload.clone());
        }
        (self, Loaded { payload: Some(record.payload), values })
    }

    fn without(note: Option<String>) -> Self {
        // A hasher's keys are the standard library's only random numbers.
        let epoch = std::hash::RandomState::new().build_hasher().finish();
        Self {
            epoch,
            sequence: 0,
            saved: None,
            mark: None,
            writer: None,
            errors: 0,
            failing: None,
            note,
        }
    }

    /// Writes what is about to be shown, if it is new. When this returns it may be shown: whether or not
    /// it was written, no later start will fall back behind it.
    pub(crate) fn save(&mut self, payload: Vec<u8>) {
        if self.saved.as_ref() == Some(&payload) {
            return;
        }
        self.sequence += 1;
        let record = Record { epoch: self.epoch, sequence: self.sequence, payload };
        self.saved = None;
        match self.write(&record) {
            Ok(()) => {
                self.saved = Some(record.payload);
                if self.failing.take().is_some() {
                    tracing::info!("the state is written again");
                }
            }
            Err(error) => {
                self.errors += 1;
                let error = error.to_string();
                if self.failing.as_ref() != Some(&error) {
                    tracing::warn!(error, "the state cannot be written");
                }
                self.failing = Some(error);
            }
        }
        self.note_shown();
    }

    fn note_shown(&mut self) {
        let shown = Shown { epoch: self.epoch, sequence: self.sequence };
        if let Some(mark) = &self.mark
            && let Err(error) = mark.set(shown)
        {
            tracing::warn!(%error, "what was shown cannot be noted in the runtime directory: counters \
                begin at 0 at the next start");
            self.mark = None;
        }
    }

    fn write(&mut self, record: &Record) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no state directory"));
        };
        // Answers to what was given up for.
        while writer.done.try_recv().is_ok() {
            writer.pending -= 1;
        }
        let hangs = || io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer");
        if writer.pending > 0 || writer.records.try_send(record.clone()).is_err() {
            return Err(hangs());
        }
        writer.pending += 1;
        match writer.done.recv_timeout(WRITE_BOUND) {
            Ok(result) => {
                writer.pending -= 1;
                result
            }
            Err(RecvTimeoutError::Timeout) => Err(hangs()),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("its thread has ended")),
        }
    }

    /// Snapshots that could not be written.
    pub(crate) fn errors(&self) -> u64 {
        self.errors
    }

    /// What is wrong, in a sentence.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let failing = self.failing.as_ref().map(|error| {
            format!("the state cannot be written ({error}): counters begin at 0 at the next start")
        });
        // One says the other.
        self.note.clone().or(failing).into_iter()
    }
}

fn write_records(mut slots: Slots, jobs: &Receiver<Record>, answers: &SyncSender<io::Result<()>>) {
    while let Ok(record) = jobs.recv() {
        // Who waits for the record is told; the next one comes with the next scrape.
        let written = supervised::catch("state", || {
            supervised::panic_if_asked("state");
            slots.write(&record)
        });
        if answers.send(written.unwrap_or_else(|text| Err(io::Error::other(text)))).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::slots::{FAULTS, Fault};
    use proptest::prelude::*;
    use tempfile::TempDir;

    /// Where a run keeps its state.
    struct Home {
        state: TempDir,
        runtime: TempDir,
    }

    impl Home {
        fn new() -> Self {
            Self { state: tempfile::tempdir().unwrap(), runtime: tempfile::tempdir().unwrap() }
        }

        fn open(&self) -> (State, Loaded) {
            let runtime = Ok(self.runtime.path().to_owned());
            State::open_in(self.state.path(), runtime).unwrap()
        }

        /// The next start, when the last run is gone and its thread with it.
        fn open_again(&self, last: State) -> (State, Loaded) {
            drop(last);
            loop {
                let runtime = Ok(self.runtime.path().to_owned());
                match State::open_in(self.state.path(), runtime) {
                    Ok(opened) => return opened,
                    Err(refusal) => {
                        assert!(refusal.contains("another telltale_exporter"), "{refusal}");
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }

        fn fault(&self, fault: Fault) {
            FAULTS.lock().unwrap().insert(self.state.path().join("snapshot"), fault);
        }
    }

    #[test]
    fn values_are_taken_up_where_they_are_what_was_shown() {
        let home = Home::new();
        let (mut state, loaded) = home.open();
        assert_eq!(loaded, Loaded::default());
        state.save(b"one".to_vec());
        state.save(b"two".to_vec());
        assert!(State::open_in(home.state.path(), Ok(home.runtime.path().to_owned())).is_err());
        let (mut state, loaded) = home.open_again(state);
        assert_eq!(loaded, Loaded { payload: Some(b"two".to_vec()), values: true });
        // Shown, and not written: the next start has the position alone.
        home.fault(Fault::Fails);
        state.save(b"three".to_vec());
        assert_eq!((state.errors(), state.warnings().count()), (1, 1));
        let (state, loaded) = home.open_again(state);
        assert_eq!(loaded, Loaded { payload: Some(b"two".to_vec()), values: false });
        // Nothing was shown since: still not.
        let (mut state, loaded) = home.open_again(state);
        assert!(!loaded.values);
        state.save(b"four".to_vec());
        let (state, loaded) = home.open_again(state);
        assert_eq!(loaded, Loaded { payload: Some(b"four".to_vec()), values: true });
        // After a reboot /run is empty.
        for entry in std::fs::read_dir(&home.runtime).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let (_state, loaded) = home.open_again(state);
        assert_eq!(loaded, Loaded { payload: Some(b"four".to_vec()), values: false });
    }

    #[test]
    fn what_failed_is_written_again_and_what_is_equal_is_not() {
        let home = Home::new();
        let (mut state, _) = home.open();
        home.fault(Fault::Fails);
        state.save(b"one".to_vec());
        state.save(b"one".to_vec());
        assert_eq!((state.errors(), state.sequence, state.warnings().count()), (1, 2, 0));
        state.save(b"one".to_vec());
        assert_eq!(state.sequence, 2);
        assert!(home.open_again(state).1.values);
    }

    #[test]
    fn a_directory_that_cannot_be_is_a_note() {
        let (mut state, loaded) =
            State::open_in(Path::new("/proc/telltale"), Err(io::ErrorKind::NotFound.into()))
                .unwrap();
        assert_eq!(loaded, Loaded::default());
        assert!(state.warnings().next().unwrap().contains("/proc/telltale"));
        state.save(b"one".to_vec());
        assert_eq!(state.errors(), 1);
    }

    #[derive(Debug, Clone)]
    enum Step {
        /// Events are counted.
        Count(u64),
        /// A scrape, with what happens to its write.
        Scrape(Option<Fault>),
        /// A scrape that dies between its write and what is shown.
        DieWriting(Option<Fault>),
        /// The end of the run, however it comes.
        Die,
        /// The same, and the machine starts anew.
        Reboot,
    }

    fn step() -> impl Strategy<Value = Step> {
        let fault = || {
            prop_oneof![
                4 => Just(None),
                1 => Just(Some(Fault::Fails)),
                1 => (0usize..70).prop_map(|count| Some(Fault::Torn(count))),
            ]
        };
        prop_oneof![
            4 => (1u64..100).prop_map(Step::Count),
            6 => fault().prop_map(Step::Scrape),
            1 => fault().prop_map(Step::DieWriting),
            3 => Just(Step::Die),
            1 => Just(Step::Reboot),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// In no order of kills, failed writes and starts does a counter fall, but to 0; and what was
        /// counted at 0 again never comes back from an older snapshot.
        #[test]
        fn no_counter_ever_falls(steps in proptest::collection::vec(step(), 1..40)) {
            let home = Home::new();
            let (mut state, _) = home.open();
            let (mut value, mut shown, mut line) = (0u64, 0u64, 0u32);
            let taken = |loaded: &Loaded| {
                let bytes = loaded.payload.as_ref().filter(|_| loaded.values);
                bytes.map(|bytes| u64::from_le_bytes(bytes[..8].try_into().unwrap()))
            };
            for step in steps {
                let mut ended = false;
                match step {
                    Step::Count(more) => value += more,
                    Step::Scrape(fault) => {
                        if let Some(fault) = fault {
                            home.fault(fault);
                        }
                        state.save([value.to_le_bytes(), u64::from(line).to_le_bytes()].concat());
                        prop_assert!(value >= shown);
                        shown = value;
                    }
                    Step::DieWriting(fault) => {
                        if let Some(fault) = fault {
                            home.fault(fault);
                        }
                        state.sequence += 1;
                        let payload = [value.to_le_bytes(), u64::from(line).to_le_bytes()].concat();
                        let record = Record { epoch: state.epoch, sequence: state.sequence, payload };
                        let _ = state.write(&record);
                        ended = true;
                    }
                    Step::Die => ended = true,
                    Step::Reboot => {
                        ended = true;
                        for entry in std::fs::read_dir(&home.runtime).unwrap() {
                            std::fs::remove_file(entry.unwrap().path()).unwrap();
                        }
                    }
                }
                FAULTS.lock().unwrap().remove(&home.state.path().join("snapshot"));
                if ended {
                    let (next, loaded) = home.open_again(state);
                    state = next;
                    if let Some(restored) = taken(&loaded) {
                            let of = loaded.payload.as_ref().unwrap()[8..16].try_into().unwrap();
                            prop_assert_eq!(u64::from_le_bytes(of), u64::from(line), "another line");
                            prop_assert!(restored >= shown, "{restored} after {shown}");
                            value = restored;
                    } else {
                        (value, shown) = (0, 0);
                        line += 1;
                    }
                }
            }
        }
    }
}
