//! Follows one file: from its end, line by line, through a rename.
//!
//! A file that was renamed is read to its end, then the one under its name from the start. One that
//! shrank was truncated and is read from the start. What falls between two looks is the next chapter.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A longer line is cut here; the rest of it is passed over.
pub const MAX_LINE: usize = 64 * 1024;

/// `SYSFS_MAGIC` of `include/uapi/linux/magic.h`.
const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;

/// Bytes read at one time, so that what is published never lies far behind what is read.
const CHUNK: usize = 64 * 1024;

/// Where a file has been read to: with the counts of everything before, this is published together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Which file it is.
    pub device: u64,
    /// Which file it is.
    pub inode: u64,
    /// Bytes taken in, those of an unfinished last line included.
    pub offset: u64,
    /// Bytes of the file that are not read yet.
    pub lag: u64,
}

/// What a look at a file gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes.
    Read(u64),
    /// Nothing, and the next look is at another file or at the start of this one.
    Turned,
    /// Nothing new.
    Idle,
}

/// A file under its name, and how far it is read.
pub struct Follower {
    path: PathBuf,
    open: Option<Open>,
    /// The first look goes to the end; a file that appears later is read from its start.
    from_end: bool,
    buffer: Vec<u8>,
}

struct Open {
    file: File,
    position: Position,
    /// A last line without its newline.
    partial: Vec<u8>,
    /// The line is longer than [`MAX_LINE`] and was handed out: its rest is passed over.
    cut: bool,
}

impl Follower {
    /// Looks at the file for the first time and goes to its end.
    pub fn new(path: PathBuf) -> Self {
        let mut follower = Self { path, open: None, from_end: true, buffer: vec![0; CHUNK] };
        // An error comes back at the next look, and is told then. A file that is there and cannot be
        // opened has lines of before our time: once it can be, it is followed from its end.
        if follower.open_again().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            follower.from_end = false;
        }
        follower
    }

    /// The path that is followed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the next chunk and hands out its whole lines.
    ///
    /// # Errors
    /// Those of opening and reading; the next call tries again.
    pub fn read(&mut self, line: impl FnMut(&[u8])) -> io::Result<Progress> {
        if self.open.is_none() {
            self.open_again()?;
        }
        let Some(open) = &mut self.open else { return Ok(Progress::Idle) };
        let count = open.file.read(&mut self.buffer)?;
        if count > 0 {
            open.take(&self.buffer[..count], line);
            return Ok(Progress::Read(count as u64));
        }
        let size = open.file.metadata()?.len();
        if size < open.position.offset {
            open.restart()?;
            return Ok(Progress::Turned);
        }
        // Read to its end: is another file under the name?
        let there = std::fs::metadata(&self.path)?;
        if (there.dev(), there.ino()) != (open.position.device, open.position.inode) {
            self.open = None;
            return Ok(Progress::Turned);
        }
        Ok(Progress::Idle)
    }

    /// How far it is read; `None` while the file cannot be opened.
    pub fn position(&self) -> Option<Position> {
        let open = self.open.as_ref()?;
        let size = open.file.metadata().map_or(open.position.offset, |file| file.len());
        Some(Position { lag: size.saturating_sub(open.position.offset), ..open.position })
    }

    fn open_again(&mut self) -> io::Result<()> {
        // Opening a FIFO would wait for its writer.
        let mut options = File::options();
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let mut file = options.read(true).custom_flags(nonblocking).open(&self.path)?;
        let there = file.metadata()?;
        if !there.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // Files of procfs look regular, have no size, and some lose what is read from them.
        let magic = rustix::fs::fstatfs(&file)?.f_type;
        if magic == rustix::fs::PROC_SUPER_MAGIC || magic == SYSFS_MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a log but a kernel's file",
            ));
        }
        let offset = if self.from_end { file.seek(SeekFrom::End(0))? } else { 0 };
        let position = Position { device: there.dev(), inode: there.ino(), offset, lag: 0 };
        self.open = Some(Open { file, position, partial: Vec::new(), cut: false });
        self.from_end = false;
        Ok(())
    }
}

impl Open {
    fn take(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        self.position.offset += bytes.len() as u64;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if !self.cut {
                let room = MAX_LINE.saturating_sub(self.partial.len());
                self.partial.extend_from_slice(&text[..text.len().min(room)]);
                if ended || text.len() > room {
                    line(self.partial.strip_suffix(b"\r").unwrap_or(&self.partial));
                    self.partial.clear();
                    self.cut = !ended;
                }
            } else if ended {
                self.cut = false;
            }
        }
    }

    /// The file was truncated: begins at its start.
    fn restart(&mut self) -> io::Result<()> {
        self.position.offset = self.file.seek(SeekFrom::Start(0))?;
        self.partial.clear();
        self.cut = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::io::Write as _;

    struct Log {
        dir: tempfile::TempDir,
        follower: Follower,
    }

    impl Log {
        fn new(before: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("log"), before).unwrap();
            let follower = Follower::new(dir.path().join("log"));
            Self { dir, follower }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("log")
        }

        fn append(&self, bytes: &[u8]) {
            let mut file = File::options().append(true).create(true).open(self.path()).unwrap();
            file.write_all(bytes).unwrap();
        }

        fn lines(&mut self) -> Vec<String> {
            let mut lines = Vec::new();
            let mut line = |bytes: &[u8]| lines.push(String::from_utf8_lossy(bytes).into_owned());
            while self.follower.read(&mut line).is_ok_and(|progress| progress != Progress::Idle) {}
            lines
        }
    }

    #[test]
    fn starts_at_the_end_and_waits_for_whole_lines() {
        let mut log = Log::new("old\n");
        assert!(log.lines().is_empty());
        log.append(b"one\ntw");
        assert_eq!(log.lines(), ["one"]);
        log.append(b"o\r\n\nthree\n");
        assert_eq!(log.lines(), ["two", "", "three"]);
        assert_eq!(log.follower.position().unwrap().offset, 4 + 4 + 5 + 1 + 6);
        assert_eq!(log.follower.position().unwrap().lag, 0);
    }

    #[test]
    fn a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_start() {
        let mut log = Log::new("");
        log.append(b"one\n");
        fs::rename(log.path(), log.dir.path().join("log.1")).unwrap();
        log.append(b"two\n");
        assert_eq!(log.lines(), ["one", "two"]);
    }

    #[test]
    fn a_file_that_is_missing_and_comes_is_read_from_its_start() {
        let mut log = Log::new("");
        fs::remove_file(log.path()).unwrap();
        assert!(log.lines().is_empty());
        log.append(b"one\n");
        assert_eq!(log.lines(), ["one"]);

        let mut late = Follower::new(log.dir.path().join("late"));
        assert!(late.read(|_| ()).is_err() && late.position().is_none());
        fs::write(log.dir.path().join("late"), "a\n").unwrap();
        let mut count = 0;
        while late.read(|_| count += 1).unwrap() != Progress::Idle {}
        assert_eq!(count, 1);
    }

    #[test]
    fn a_truncated_file_is_read_from_its_start() {
        let mut log = Log::new("something long\n");
        fs::write(log.path(), "one\n").unwrap();
        assert_eq!(log.lines(), ["one"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_its_rest_passed_over() {
        let mut log = Log::new("");
        log.append(&vec![b'x'; 3 * MAX_LINE]);
        log.append(b"tail\nnext\n");
        let lines = log.lines();
        assert_eq!((lines.len(), lines[0].len(), &*lines[1]), (2, MAX_LINE, "next"));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        for path in ["/dev/zero", "/proc/version", "/sys/kernel/profiling", "/"] {
            let mut follower = Follower::new(path.into());
            assert!(follower.read(|_| ()).is_err(), "{path}");
        }
    }

    proptest! {
        /// However the bytes arrive, the lines are those of the whole.
        #[test]
        fn any_split_gives_the_same_lines(
            text in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in proptest::collection::vec(1usize..40, 1..20),
        ) {
            let mut open = Open {
                file: File::open("/dev/null").unwrap(),
                position: Position::default(),
                partial: Vec::new(),
                cut: false,
            };
            let (mut lines, mut rest) = (Vec::new(), &text[..]);
            for cut in cuts.iter().cycle() {
                let (piece, tail) = rest.split_at(rest.len().min(*cut));
                open.take(piece, |line| lines.push(line.to_vec()));
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(&[][..], |end| &text[..end]);
            let mut expected: Vec<_> = whole.split(|&byte| byte == b'\n')
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec()).collect();
            if !text.contains(&b'\n') {
                expected.clear();
            }
            prop_assert_eq!(lines, expected);
        }
    }
}
