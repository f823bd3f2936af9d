//! What is read: a file or standard input as a stream of bytes, plain or decompressed.
//!
//! The form is told by how the bytes begin, not by a name: `messages.1` is often compressed, and
//! standard input has no name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

#[cfg(test)]
mod decode_tests;

use crate::decode::Decoder;
pub(super) use crate::decode::Form;
use crate::sys::open::open_regular_file;

/// The byte order mark, as UTF-8 has it.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// How much is asked of the system at once.
const PIECE: usize = 128 * 1024;

/// How far reading is, in bytes as they stand in the files (of a compressed one: the compressed);
/// shared with whoever draws the bar.
#[derive(Debug, Default)]
pub(super) struct Progress {
    read: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Bytes read of all files so far.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Sizes of all files opened so far; standard input counts as 0 when it is a pipe.
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

/// Why a file was not read, or not to its end.
#[derive(Debug)]
pub(super) struct Error {
    /// The file as it was named, `standard input` for `-`.
    pub name: String,
    /// Where it happened, in bytes of the file as it stands; `None`: it was not opened.
    pub offset: Option<u64>,
    /// What happened, and the cure where there is one.
    pub why: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{}: at byte {offset}: {}", self.name, self.why),
            None => write!(f, "{}: {}", self.name, self.why),
        }
    }
}

impl std::error::Error for Error {}

/// An open file or standard input.
pub(super) struct Input {
    name: String,
    modified: Option<SystemTime>,
    decoder: Decoder<Source>,
    /// Its text was begun with: a byte order mark was looked for.
    begun: bool,
    /// What was read of the text for that, and is no mark.
    start: Vec<u8>,
    /// What came of that reading, when it ended there.
    failed: Option<Error>,
    /// After an error or the end there is nothing more to ask for.
    over: bool,
}

/// The bytes as they stand in the file; the first are read ahead, to tell the form.
type Source = BufReader<io::Chain<io::Cursor<Vec<u8>>, Counted>>;

/// Counts what the system gave.
struct Counted {
    from: Box<dyn Read + Send>,
    read: u64,
    /// What the system refused: not the file's damage.
    failed: Option<String>,
    progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.from.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed = Some(message(&error));
                    return Err(error);
                }
                Ok(count) => {
                    self.read += count as u64;
                    self.progress.read.fetch_add(count as u64, Ordering::Relaxed);
                    return Ok(count);
                }
            }
        }
    }
}

impl Input {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// What is missing, unreadable, or not a file with lines in it.
    pub(super) fn open(path: &Path, progress: &Arc<Progress>) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Self::stdin(progress);
        }
        let name = path.display().to_string();
        let (file, meta) = open(path).map_err(|error| Error {
            name: name.clone(),
            offset: None,
            why: message(&error),
        })?;
        progress.total.fetch_add(meta.len(), Ordering::Relaxed);
        Self::new(name, Box::new(file), meta.modified().ok(), progress)
    }

    fn stdin(progress: &Arc<Progress>) -> Result<Self, Error> {
        // A file behind `<` has a size and a time of its own.
        let meta = rustix::fs::fstat(io::stdin()).ok();
        let file = meta.filter(|meta| {
            rustix::fs::FileType::from_raw_mode(meta.st_mode) == rustix::fs::FileType::RegularFile
        });
        let modified = file.and_then(|meta| {
            progress.total.fetch_add(u64::try_from(meta.st_size).unwrap_or(0), Ordering::Relaxed);
            let seconds = u64::try_from(meta.st_mtime).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds))
        });
        Self::new("standard input".to_owned(), Box::new(io::stdin()), modified, progress)
    }

    /// A stream of any origin.
    ///
    /// # Errors
    /// Those of reading its first bytes.
    pub(super) fn new(
        name: String,
        from: Box<dyn Read + Send>,
        modified: Option<SystemTime>,
        progress: &Arc<Progress>,
    ) -> Result<Self, Error> {
        let counted = Counted { from, read: 0, failed: None, progress: Arc::clone(progress) };
        let (start, counted) = start(counted).map_err(|error| Error {
            name: name.clone(),
            offset: Some(0),
            why: format!("reading: {}", message(&error)),
        })?;
        let form = Form::of(&start);
        let source = BufReader::with_capacity(PIECE, io::Cursor::new(start).chain(counted));
        let decoder = Decoder::new(form, source);
        let (begun, start, failed, over) = (false, Vec::new(), None, false);
        Ok(Self { name, modified, decoder, begun, start, failed, over })
    }

    /// What it is called in its directory.
    pub(super) fn file_name(&self) -> &[u8] {
        let name = Path::new(&self.name).file_name();
        name.map_or(&[], |name| name.as_encoded_bytes())
    }

    /// The file as it was named.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How it is compressed.
    #[cfg(test)]
    pub(super) fn form(&self) -> Form {
        self.decoder.form()
    }

    /// When the file was last written: what tells the year of lines without one.
    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// The next bytes, as many as are there at once; 0 at the end.
    ///
    /// # Errors
    /// Damage, or what the system refused. It comes once, after all that could be read before it; the
    /// next call says 0.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if !self.begun {
            self.begun = true;
            self.pass_mark();
        }
        if !self.start.is_empty() {
            let count = buffer.len().min(self.start.len());
            buffer[..count].copy_from_slice(&self.start[..count]);
            self.start.drain(..count);
            return Ok(count);
        }
        self.failed.take().map_or_else(|| self.decoded(buffer), Err)
    }

    /// A byte order mark is no part of the text: with it, the first line would be none that anybody knows.
    fn pass_mark(&mut self) {
        let mut start = Vec::new();
        // No more than needed: who writes into a pipe may take its time.
        while start.len() < MARK.len() && MARK.starts_with(&start) {
            let mut buffer = [0; MARK.len()];
            match self.decoded(&mut buffer[start.len()..]) {
                Ok(0) => break,
                Ok(count) => {
                    let before = start.len();
                    start.extend_from_slice(&buffer[before..before + count]);
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        if start != MARK {
            self.start = start;
        }
    }

    fn decoded(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        if self.over || buffer.is_empty() {
            return Ok(0);
        }
        match self.decoder.read(buffer) {
            Ok(count) => {
                self.over = count == 0;
                Ok(count)
            }
            Err(error) => {
                self.over = true;
                let source = self.decoder.source();
                let (offset, failed) = source.map_or((0, None), |source| {
                    let counted = source.get_ref().get_ref().1;
                    (counted.read - source.buffer().len() as u64, counted.failed.clone())
                });
                let why = failed.map_or_else(|| error.to_string(), |why| format!("reading: {why}"));
                Err(Error { name: self.name.clone(), offset: Some(offset), why })
            }
        }
    }
}

/// Opens what is a regular file and stays one, or a pipe, such as `<(…)` of a shell.
fn open(path: &Path) -> io::Result<(File, std::fs::Metadata)> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return refuse("it is a directory; name the files in it");
    }
    if kind.is_fifo() {
        // Whoever names it wants what is written into it, and waits for that.
        let file = File::open(path)?;
        let meta = file.metadata()?;
        return Ok((file, meta));
    }
    if !kind.is_file() {
        return refuse("it is not a regular file; feed it in: cat … | telltale_exporter … -");
    }
    open_regular_file(path)
}

/// The first bytes, which a pipe may give one by one.
fn start(mut counted: Counted) -> io::Result<(Vec<u8>, Counted)> {
    let mut start = Vec::new();
    counted.by_ref().take(Form::MAGIC as u64).read_to_end(&mut start)?;
    Ok((start, counted))
}

/// What the system says, without its number.
fn message(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(text, _)| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path) -> String {
        Input::open(path, &Arc::default()).err().unwrap().to_string()
    }

    #[test]
    fn what_is_no_file_is_refused_with_the_cure() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refusal(dir.path()).ends_with("it is a directory; name the files in it"));
        let missing = dir.path().join("missing.log");
        let expected = format!("{}: No such file or directory", missing.display());
        assert_eq!(refusal(&missing), expected);
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let writer = fifo.clone();
        let writer = std::thread::spawn(move || std::fs::write(writer, "a line\n").unwrap());
        let (mut pipe, mut buffer) = (Input::open(&fifo, &Arc::default()).unwrap(), [0; 64]);
        assert!(
            matches!(pipe.read(&mut buffer), Ok(count) if b"a line\n".starts_with(&buffer[..count]))
        );
        writer.join().unwrap();
        assert!(refusal(Path::new("/dev/null")).contains("feed it in"));
        assert!(refusal(Path::new("/dev/null")).contains("not a regular file"));
        assert!(refusal(Path::new("/proc/self/status")).contains("a kernel's file"));
    }

    #[test]
    fn a_file_is_read_whole_and_progress_tells_how_far() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log.gz");
        let text = b"line\n".repeat(100_000);
        // Plain, whatever its name.
        std::fs::write(&path, &text).unwrap();
        let progress = Arc::default();
        let mut input = Input::open(&path, &progress).unwrap();
        assert!(input.modified().is_some() && input.form() == Form::Plain);
        assert_eq!(progress.total(), text.len() as u64);
        let (mut all, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            match input.read(&mut buffer).unwrap() {
                0 => break,
                count => all.extend_from_slice(&buffer[..count]),
            }
            assert!(progress.read() >= all.len() as u64);
        }
        assert!(all == text && progress.read() == text.len() as u64);
    }

    #[test]
    fn a_byte_order_mark_is_no_text_and_its_beginning_alone_is() {
        for (bytes, text) in [
            (&b"\xef\xbb\xbfa line\n"[..], &b"a line\n"[..]),
            (b"\xef\xbb\xbf", b""),
            (b"\xef\xbb\xbf\xef\xbb\xbf", b"\xef\xbb\xbf"),
            (b"\xef\xbb", b"\xef\xbb"),
            (b"\xefa\n", b"\xefa\n"),
            (b"", b""),
        ] {
            for piece in [1, 2, 100] {
                let from = Box::new(io::Cursor::new(bytes.to_vec()));
                let mut input = Input::new("log".to_owned(), from, None, &Arc::default()).unwrap();
                let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
                while let count @ 1.. = input.read(&mut buffer).unwrap() {
                    all.extend_from_slice(&buffer[..count]);
                }
                assert_eq!(all, text, "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_the_system_refuses_is_not_called_damage() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(5))
            }
        }
        let from = Box::new(io::Cursor::new(b"a line\n").chain(Failing));
        let mut input = Input::new("log".to_owned(), from, None, &Arc::default()).unwrap();
        let (mut buffer, mut all) = ([0; 100], Vec::new());
        let error = loop {
            match input.read(&mut buffer) {
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(all, b"a line\n");
        assert_eq!(error, "log: at byte 7: reading: Input/output error");
        assert_eq!(input.read(&mut buffer).unwrap(), 0);
    }
}
