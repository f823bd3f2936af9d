//! The snapshot file: three slots of one size, overwritten in place, the newest whole one holds.
//!
//! Written in place, because a full disk must not keep us from writing (the slots are allocated when
//! the file is made), and in turns, because a write may be torn: by `kill -9` between two pages, or by
//! a power cut. A slot is valid when its checksum is. Never overwritten are the newest valid slot and
//! the last one that was synced, so there is always a whole one, after a power cut too.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

const MAGIC: [u8; 8] = *b"telltale";

/// Changes with the form of the payload; another one is set aside.
const VERSION: u32 = 4;

const SLOTS: u64 = 3;
const HEADER: usize = 48;

/// The smallest slot: room for a usual host, so that the file seldom has to be made anew.
const SMALLEST: usize = 16 * 1024;

/// More than any number of logs that we follow needs.
const LARGEST: usize = 64 << 20;

/// A sync is part of a write, so it is not done with each; a disk that is slow at it costs the scrape no
/// more than a disk that hangs.
const SYNC_EVERY: Duration = Duration::from_secs(60);

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The line of counters that the values belong to; another one began at 0.
    pub epoch: u64,
    /// Grows with every record.
    pub sequence: u64,
    pub payload: Vec<u8>,
}

pub(super) struct Slots {
    path: PathBuf,
    file: Option<File>,
    slot_size: usize,
    newest: Option<u64>,
    synced: Option<u64>,
    synced_at: Option<Instant>,
}

/// What tests let happen to the next write of a file.
#[cfg(test)]
pub(super) static FAULTS: std::sync::Mutex<std::collections::BTreeMap<PathBuf, Fault>> =
    std::sync::Mutex::new(std::collections::BTreeMap::new());

/// What a test lets happen to a write.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It fails at once.
    Fails,
    /// It ends after so many bytes, and fails or the process dies.
    Torn(usize),
}

/// What was found in a snapshot file.
pub(super) enum Found {
    /// There is none.
    Nothing,
    /// The newest whole record.
    Record(Record),
    /// Why none of it can be used.
    Damaged(String),
    /// Why it cannot be read now.
    Unreadable(String),
}

impl Slots {
    /// Opens what is there.
    pub(super) fn open(directory: &Path) -> (Self, Found) {
        let path = directory.join("snapshot");
        let mut slots =
            Self { path, file: None, slot_size: 0, newest: None, synced: None, synced_at: None };
        let found = slots.load();
        (slots, found)
    }

    fn load(&mut self) -> Found {
        // For reading alone where the disk has become read-only.
        let mut options = File::options();
        let file = match options.read(true).write(true).open(&self.path).or_else(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                Err(error)
            } else {
                File::open(&self.path)
            }
        }) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Unreadable(error.to_string()),
        };
        let size = match file.metadata() {
            Ok(meta) if meta.is_file() => meta.len() / SLOTS,
            Ok(_) => return Found::Damaged("it is no regular file".to_owned()),
            Err(error) => return Found::Unreadable(error.to_string()),
        };
        let Some(size) =
            usize::try_from(size).ok().filter(|size| (HEADER..=LARGEST).contains(size))
        else {
            return Found::Damaged(format!("no slot has {size} bytes"));
        };
        let mut bytes = vec![0; size];
        let (mut best, mut why): (Option<(u64, Record)>, _) =
            (None, "nothing in it is whole".to_owned());
        for slot in 0..SLOTS {
            if let Err(error) = file.read_exact_at(&mut bytes, slot * size as u64) {
                why = error.to_string();
                continue;
            }
            match decode(&bytes) {
                Ok(record)
                    if best.as_ref().is_none_or(|(_, best)| record.sequence > best.sequence) =>
                {
                    best = Some((slot, record));
                }
                Err(Some(error)) => why = error,
                _ => {}
            }
        }
        let Some((slot, record)) = best else { return Found::Damaged(why) };
        (self.file, self.slot_size, self.newest) = (Some(file), size, Some(slot));
        // Where nothing is known to be synced, what was read is held to be.
        self.synced = Some(slot);
        Found::Record(record)
    }

    /// Takes a file that cannot be used out of the way.
    pub(super) fn set_aside(&mut self) -> io::Result<PathBuf> {
        let aside = self.path.with_extension("damaged");
        self.file = None;
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    /// Writes a record; it holds against `kill -9` when this returns, and against a power cut within
    /// [`SYNC_EVERY`].
    ///
    /// # Errors
    /// Those of the disk; what was there before holds.
    pub(super) fn write(&mut self, record: &Record) -> io::Result<()> {
        let bytes = encode(record);
        // Somebody may have taken the directory away.
        if self
            .file
            .as_ref()
            .is_some_and(|file| file.metadata().is_ok_and(|meta| meta.nlink() == 0))
        {
            self.file = None;
            if let Some(directory) = self.path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
            }
        }
        if self.file.is_none() || bytes.len() > self.slot_size {
            return self.make(&bytes);
        }
        let taken = [self.newest, self.synced];
        let slot = (0..SLOTS).find(|slot| !taken.contains(&Some(*slot))).unwrap_or(0);
        let at = slot * self.slot_size as u64;
        self.put(&bytes, at)?;
        self.newest = Some(slot);
        if self.synced_at.is_none_or(|at| at.elapsed() >= SYNC_EVERY) {
            self.sync()?;
        }
        Ok(())
    }

    /// Brings the newest record to the disk.
    ///
    /// # Errors
    /// Those of the disk.
    fn sync(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        (self.synced, self.synced_at) = (self.newest, Some(Instant::now()));
        Ok(())
    }

    /// Makes the file, or one with larger slots in its place.
    fn make(&mut self, bytes: &[u8]) -> io::Result<()> {
        let slot_size = (bytes.len() * 2).next_power_of_two().max(SMALLEST);
        if slot_size > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the snapshot is too large"));
        }
        let new = self.path.with_extension("new");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        // Written, not only reserved: then overwriting it needs no room on any usual filesystem.
        let zeros = vec![0; slot_size];
        for slot in 0..SLOTS {
            file.write_all_at(&zeros, slot * slot_size as u64)?;
        }
        let before = (self.file.replace(file), self.slot_size);
        let made = self.put(bytes, 0).and_then(|()| {
            if let Some(file) = &self.file {
                file.sync_data()?;
            }
            fs::rename(&new, &self.path)
        });
        if let Err(error) = made {
            (self.file, self.slot_size) = before;
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        self.slot_size = slot_size;
        (self.newest, self.synced, self.synced_at) = (Some(0), Some(0), Some(Instant::now()));
        Ok(())
    }

    fn put(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        #[cfg(test)]
        let fault = FAULTS.lock().unwrap().remove(&self.path);
        #[cfg(test)]
        match fault {
            Some(Fault::Fails) => return Err(io::ErrorKind::StorageFull.into()),
            Some(Fault::Torn(count)) => {
                file.write_all_at(&bytes[..count.min(bytes.len())], at)?;
                return Err(io::ErrorKind::Interrupted.into());
            }
            None => {}
        }
        file.write_all_at(bytes, at)
    }
}

/// Header and payload: magic, version, length, epoch, sequence, checksum over all of it, padding.
fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + record.payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(record.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&record.epoch.to_le_bytes());
    bytes.extend_from_slice(&record.sequence.to_le_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend_from_slice(&record.payload);
    let checksum = SipHasher13::new().hash(&bytes);
    bytes[32..40].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// A record; `Err(None)`: the slot is empty or torn, `Err(Some)`: it is not ours to read.
fn decode(bytes: &[u8]) -> Result<Record, Option<String>> {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
    let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap_or_default());
    if bytes.len() < HEADER || bytes[..8] == [0; 8] {
        return Err(None);
    }
    if bytes[..8] != MAGIC {
        return Err(Some("it is not a snapshot of telltale_exporter".to_owned()));
    }
    if half(8) != VERSION {
        return Err(Some(format!("it has version {}, this exporter writes {VERSION}", half(8))));
    }
    let end = usize::try_from(half(12)).ok().and_then(|length| length.checked_add(HEADER));
    let Some(used) = end.and_then(|end| bytes.get(..end)) else { return Err(None) };
    let mut blank = used.to_vec();
    blank[32..40].fill(0);
    if SipHasher13::new().hash(&blank) != number(32) {
        return Err(None);
    }
    Ok(Record { epoch: number(16), sequence: number(24), payload: used[HEADER..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(sequence: u64, size: usize) -> Record {
        let payload = (0..size).map(|at| (at as u64 ^ sequence).to_le_bytes()[0]).collect();
        Record { epoch: 7, sequence, payload }
    }

    fn load(directory: &Path) -> Option<Record> {
        match Slots::open(directory).1 {
            Found::Record(record) => Some(record),
            _ => None,
        }
    }

    #[test]
    fn the_newest_holds_and_the_file_keeps_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let (mut slots, found) = Slots::open(dir.path());
        assert!(matches!(found, Found::Nothing));
        for sequence in 1..10 {
            slots.write(&record(sequence, 100)).unwrap();
            assert_eq!(load(dir.path()), Some(record(sequence, 100)));
        }
        assert_eq!(fs::metadata(dir.path().join("snapshot")).unwrap().len(), 3 * SMALLEST as u64);
        slots.write(&record(10, 100_000)).unwrap();
        assert_eq!(load(dir.path()), Some(record(10, 100_000)));
        assert!(slots.write(&record(11, LARGEST)).is_err());
        assert_eq!(load(dir.path()), Some(record(10, 100_000)));
    }

    #[test]
    fn a_directory_that_was_removed_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        let (mut slots, _) = Slots::open(&state);
        slots.write(&record(1, 10)).unwrap();
        fs::remove_dir_all(&state).unwrap();
        slots.write(&record(2, 10)).unwrap();
        assert_eq!(load(&state), Some(record(2, 10)));
    }

    #[test]
    fn what_is_not_ours_is_told_and_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("snapshot");
        let mut newer = encode(&record(1, 10));
        newer[8] = 99;
        newer.resize(3 * SMALLEST, 0);
        for (bytes, says) in [
            (b"a diary".repeat(100), "not a snapshot"),
            (newer, "version 99"),
            (vec![0; 3 * SMALLEST], "nothing in it is whole"),
            (Vec::new(), "no slot has 0 bytes"),
        ] {
            fs::write(&path, bytes).unwrap();
            let (mut slots, found) = Slots::open(dir.path());
            let Found::Damaged(why) = found else { panic!("{says}: taken") };
            assert!(why.contains(says), "{why}");
            assert!(slots.set_aside().unwrap().exists() && !path.exists());
            slots.write(&record(3, 10)).unwrap();
            assert_eq!(load(dir.path()), Some(record(3, 10)));
        }
    }

    /// Writes records of these sizes, each torn after so many bytes or not and followed by a restart or not: however a
    /// write is torn, the record before it holds.
    fn write_and_tear(writes: &[(usize, Option<usize>, bool)]) -> Result<(), TestCaseError> {
        let dir = tempfile::tempdir().unwrap();
        let (mut slots, _) = Slots::open(dir.path());
        let (mut held, mut sizes) = (0, Vec::new());
        for (sequence, &(size, torn, restart)) in (1..).zip(writes) {
            sizes.push(size);
            if let Some(count) = torn {
                FAULTS.lock().unwrap().insert(dir.path().join("snapshot"), Fault::Torn(count));
            }
            let written = slots.write(&record(sequence, size)).is_ok();
            prop_assert_eq!(written, torn.is_none());
            if written {
                held = sequence;
            }
            // A write that failed may be whole; what was written before it holds in any case.
            let found = load(dir.path());
            let newest = found.as_ref().map_or(0, |found| found.sequence);
            prop_assert!(newest >= held);
            let last = usize::try_from(newest).unwrap().checked_sub(1);
            prop_assert_eq!(found, last.map(|at| record(newest, sizes[at])));
            if restart {
                slots = Slots::open(dir.path()).0;
            }
        }
        Ok(())
    }

    #[test]
    fn two_torn_writes_after_a_whole_one() {
        write_and_tear(&[(1, None, false), (1, Some(49), false), (1, Some(0), false)]).unwrap();
    }

    proptest! {
        #[test]
        fn a_torn_write_leaves_the_record_before(
            writes in proptest::collection::vec((1usize..3000, proptest::option::of(0usize..3100), any::<bool>()), 1..20),
        ) {
            write_and_tear(&writes)?;
        }

        /// Whatever bytes are in the file, they are refused or were written by us.
        #[test]
        fn damage_is_noticed(at in 0usize..200, bit in 0u8..8) {
            let mut bytes = encode(&record(5, 150));
            bytes[at % 198] ^= 1 << bit;
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
