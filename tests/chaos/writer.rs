//! Writers that number their lines.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Dice;

/// The number of the next line of any writer: no two write the same.
static NEXT: AtomicU32 = AtomicU32::new(100_000);

/// Which rotated file has which number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Numbers {
    /// log4j2's `fileIndex="max"`.
    HighestIsNewest,
    /// `fileIndex="min"`.
    LowestIsNewest,
}

/// A writer on its thread.
pub(crate) struct Writer {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Vec<u32>>,
}

impl Writer {
    /// Like a daemon with a log of its own: after a rotation it keeps the old file for a while.
    pub(crate) fn to_file(path: &Path, word: &'static str, seed: u64) -> Self {
        let mut log = Log::open(path);
        let mut renamed: Option<Instant> = None;
        let mut dice = Dice(seed.max(1));
        Self::spawn(word, seed, move |line| {
            match renamed {
                None if log.is_elsewhere() => {
                    renamed = Some(Instant::now() + Duration::from_millis(dice.below(1500)));
                }
                Some(until) if Instant::now() >= until => {
                    log = Log::open(&log.path);
                    renamed = None;
                }
                _ => {}
            }
            log.file.write_all(line.as_bytes()).unwrap();
        })
    }

    /// Like a program whose output was redirected with `>>`.
    pub(crate) fn in_place(path: &Path, word: &'static str, seed: u64) -> Self {
        let mut log = Log::open(path);
        Self::spawn(word, seed, move |line| log.file.write_all(line.as_bytes()).unwrap())
    }

    /// Like log4j2 with `app-%i.log`: it renames its log itself, to a name that is followed, too.
    pub(crate) fn rotating(path: &Path, word: &'static str, seed: u64, numbers: Numbers) -> Self {
        let mut log = Log::open(path);
        let mut dice = Dice(seed.max(1));
        let mut rotations = 0;
        Self::spawn(word, seed, move |line| {
            if dice.below(1500) == 0 {
                rotations += 1;
                let stem = log.path.with_extension("");
                let rotated =
                    |number: u32| PathBuf::from(format!("{}-{number}.log", stem.display()));
                let first = match numbers {
                    Numbers::HighestIsNewest => rotations,
                    Numbers::LowestIsNewest => {
                        for number in (1..rotations).rev() {
                            std::fs::rename(rotated(number), rotated(number + 1)).unwrap();
                        }
                        1
                    }
                };
                std::fs::rename(&log.path, rotated(first)).unwrap();
                log = Log::open(&log.path);
            }
            log.file.write_all(line.as_bytes()).unwrap();
        })
    }

    /// Through syslog.
    pub(crate) fn to_socket(path: &Path, word: &'static str, seed: u64) -> Self {
        let socket = UnixDatagram::unbound().unwrap();
        socket.connect(path).unwrap();
        Self::spawn(word, seed, move |line| {
            socket
                .send(format!("<13>Nov 20 05:08:31 app: {}", line.trim_end()).as_bytes())
                .unwrap();
        })
    }

    fn spawn(word: &'static str, seed: u64, mut write: impl FnMut(&str) + Send + 'static) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let (mut written, mut dice) = (Vec::new(), Dice(seed.max(1)));
            while !told.load(Ordering::Relaxed) {
                for _ in 0..=dice.below(20) {
                    let number = NEXT.fetch_add(1, Ordering::Relaxed);
                    write(&format!("{word} {number} of a writer\n"));
                    written.push(number);
                }
                std::thread::sleep(Duration::from_millis(dice.below(20)));
            }
            written
        });
        Self { ends, thread }
    }

    /// Ends it; what it has written.
    pub(crate) fn stop(self) -> Vec<u32> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        // For the script that waits until we have let go of the old one.
        let name = format!("{}.inode", path.file_name().unwrap().to_string_lossy());
        let note = path.parent().unwrap().parent().unwrap().join(name);
        std::fs::write(note, file.metadata().unwrap().ino().to_string()).unwrap();
        Self { path: path.to_owned(), file }
    }

    fn is_elsewhere(&self) -> bool {
        let mine = self.file.metadata().unwrap().ino();
        std::fs::metadata(&self.path).map_or(true, |meta| meta.ino() != mine)
    }
}
