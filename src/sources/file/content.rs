//! The bytes of one file, plain or compressed, and how a place in them is recognised again.

#[cfg(test)]
pub(super) mod stamps;
#[cfg(test)]
mod tests;

use std::fs::{File, Metadata};
use std::hash::{Hash, Hasher};
use std::io::{self, BufReader};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::decode::{Decoder, Form};

/// How many bytes at its start, and before a position, identify a file.
pub(super) const SPAN: usize = 1024;

/// `SYSFS_MAGIC` of `include/uapi/linux/magic.h`.
const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;

/// From the same file.
const OVERLAYFS_SUPER_MAGIC: rustix::fs::FsWord = 0x794c_7630;

/// Which file it is, under whatever name: its device and inode.
///
/// Inodes are given out again (ext4 does so at once), which the time of birth tells, but not on overlayfs, which changes
/// it when it copies a file up ([`was_given_again`]). Where neither is known the bytes tell ([`Place`]).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
    /// When it was created, in nanoseconds since 1970; 0 where the filesystem does not say.
    pub born: i64,
}

impl PartialEq for FileId {
    fn eq(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl Eq for FileId {}

impl Hash for FileId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.device, self.inode).hash(state);
    }
}

impl FileId {
    /// Whether this device and inode were given to another file since, or copied up by overlayfs.
    pub(crate) fn is_reborn(&self, now: &Self) -> bool {
        self == now && self.born != now.born && self.born > 0 && now.born > 0
    }
}

/// Whether both are the same file, whatever is in it: the one that is at `path` or was there a moment ago.
pub(super) fn is_same_file(before: &FileId, now: &FileId, path: &Path) -> bool {
    before == now && !was_given_again(before, now, path)
}

/// Whether device and inode were given to another file since: the one that is at `path` or was there a moment ago.
/// What overlayfs has copied up is the same file.
pub(super) fn was_given_again(before: &FileId, now: &FileId, path: &Path) -> bool {
    before.is_reborn(now) && !copies_up(path)
}

/// Whether the filesystem copies a file up when it is first written, and with it gives it another time of birth.
fn copies_up(path: &Path) -> bool {
    #[cfg(test)]
    if let Some(copies_up) = stamps::copies_up() {
        return copies_up;
    }
    let directory = path.parent().unwrap_or(path);
    rustix::fs::statfs(directory).is_ok_and(|found| found.f_type == OVERLAYFS_SUPER_MAGIC)
}

/// How far a file was read, and by what it is recognised.
///
/// Inodes are given out again, and two logs may begin alike (`messages` and `syslog` do), so a file is
/// the one we know when its head and what stands before the position are the same bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The file.
    pub id: FileId,
    /// Bytes of the content (of a compressed file: the uncompressed) that were taken in.
    pub offset: u64,
    /// Hash of the first bytes, at most [`SPAN`] and none beyond the offset.
    head: u64,
    /// Hash of the bytes before the offset, at most [`SPAN`].
    tail: u64,
}

impl Place {
    /// The start of a file.
    pub(crate) fn start(id: FileId) -> Self {
        Self { id, offset: 0, head: hash(b""), tail: hash(b"") }
    }

    /// How many bytes before the position are known.
    pub(crate) fn known(&self) -> usize {
        usize::try_from(self.offset).map_or(SPAN, |offset| offset.min(SPAN))
    }

    /// Goes on by what was read: `bytes` begins [`known`](Self::known) bytes before the position.
    pub(crate) fn advance(&mut self, bytes: &[u8]) {
        // Up to here the known bytes are all there are.
        if self.offset < SPAN as u64 {
            self.head = hash(&bytes[..bytes.len().min(SPAN)]);
        }
        self.offset += (bytes.len() - self.known()) as u64;
        self.tail = hash(&bytes[bytes.len() - self.known()..]);
    }

    /// The end of a file that is there before us: after its last whole line, so that the one being
    /// written counts when it is whole. `false`: the line is longer than that.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn end(file: &File, longest: usize) -> io::Result<(Self, bool)> {
        let meta = file.metadata()?;
        let mut bytes =
            vec![0; usize::try_from(meta.len()).map_or(longest, |size| size.min(longest))];
        let start = meta.len() - bytes.len() as u64;
        let count = read_at(file, &mut bytes, start)?;
        bytes.truncate(count);
        let newline = memchr::memrchr(b'\n', &bytes);
        let whole = newline.is_some() || start == 0;
        let end = start + newline.map_or(if whole { 0 } else { count }, |at| at + 1) as u64;
        Ok((Self::of(file, id(&meta), end)?, whole))
    }

    /// This position in a plain file, which must have as many bytes.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn of(file: &File, id: FileId, offset: u64) -> io::Result<Self> {
        let mut place = Self { id, offset, ..Self::default() };
        let mut bytes = vec![0; place.known()];
        for (at, hashed) in [(0, &mut place.head), (offset - bytes.len() as u64, &mut place.tail)] {
            let count = read_at(file, &mut bytes, at)?;
            *hashed = hash(&bytes[..count]);
        }
        Ok(place)
    }

    /// Whether a file that begins with these bytes, at most [`SPAN`], may have this position in it.
    pub(crate) fn may_be_in(&self, head: &[u8]) -> bool {
        head.len() >= self.known() && hash(&head[..self.known()]) == self.head
    }

    /// Whether these are the bytes before the position.
    pub(crate) fn follows(&self, bytes: &[u8]) -> bool {
        hash(bytes) == self.tail
    }
}

fn hash(bytes: &[u8]) -> u64 {
    SipHasher13::new().hash(bytes)
}

/// An open file.
pub(super) enum Content {
    /// As it stands.
    Plain(File),
    /// Compressed; it stands at the place that it was found for, after these bytes.
    Compressed(Box<Decoder<BufReader<File>>>, Vec<u8>),
}

/// What is at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// So many bytes, after the known ones.
    Data(usize),
    /// The end, for now.
    End,
    /// Other bytes than those that were there.
    Truncated,
}

/// Opens a file, if it is a regular one with lines in it.
///
/// # Errors
/// Those of the system; a directory, FIFO, device or file of procfs or sysfs is `InvalidInput`.
pub(super) fn open(path: &Path) -> io::Result<(File, FileId)> {
    let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    // Looked at first: opening a device can have effects of its own.
    if !std::fs::metadata(path)?.is_file() {
        return refuse("not a regular file");
    }
    // And it may be a FIFO by now, whose writer open would wait for.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return refuse("not a regular file");
    }
    // Files of procfs look regular, have no size, and some lose what is read from them.
    let magic = rustix::fs::fstatfs(&file)?.f_type;
    if magic == rustix::fs::PROC_SUPER_MAGIC || magic == SYSFS_MAGIC {
        return refuse("not a log but a kernel's file");
    }
    Ok((file, id(&meta)))
}

/// Whether a file that was found or opened by this path lies below the directory. A link may lead out of
/// it, and whoever may write there could name any file.
///
/// # Errors
/// Those of following the path.
pub(super) fn lies_below(path: &Path, directory: &Path, file: FileId) -> io::Result<bool> {
    // The very file, not what the name may lead to by now.
    if path.parent() == Some(directory) && id(&std::fs::symlink_metadata(path)?) == file {
        return Ok(true);
    }
    let real = std::fs::canonicalize(path)?;
    let below = real.starts_with(std::fs::canonicalize(directory)?);
    Ok(below && id(&std::fs::metadata(&real)?) == file)
}

/// Which file this is.
pub(super) fn id(meta: &Metadata) -> FileId {
    let (device, inode) = (meta.dev(), meta.ino());
    #[cfg(test)]
    if let Some((born, _)) = stamps::of(inode) {
        return FileId { device, inode, born };
    }
    FileId { device, inode, born: meta.created().map_or(0, nanos) }
}

/// When it was last written, in nanoseconds since 1970.
pub(super) fn modified(meta: &Metadata) -> i64 {
    #[cfg(test)]
    if let Some((_, modified)) = stamps::of(meta.ino()) {
        return modified;
    }
    meta.modified().map_or(0, nanos)
}

/// When anything about it was last changed, such as its number of names, in nanoseconds since 1970.
pub(super) fn changed(meta: &Metadata) -> i64 {
    #[cfg(test)]
    if let Some(changed) = stamps::changed(meta.ino()) {
        return changed;
    }
    meta.ctime() * 1_000_000_000 + meta.ctime_nsec()
}

/// Nanoseconds since 1970.
pub(super) fn nanos(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(0))
}

impl Content {
    /// A plain or a compressed file, if it has `place` in it; compressed, it stands there.
    ///
    /// # Errors
    /// Those of reading; what is not compressed whole, or in a form that is not read, is `InvalidData`.
    pub(super) fn at(file: File, compressed: bool, place: &Place) -> io::Result<Option<Self>> {
        if compressed {
            let mut decoder = decoder(file)?;
            let (seen, known) = passes(&mut decoder, place)?;
            return Ok((seen == *place).then(|| Self::Compressed(Box::new(decoder), known)));
        }
        let found = file.metadata()?.len() >= place.offset
            && Place::of(&file, place.id, place.offset)? == *place;
        Ok(found.then_some(Self::Plain(file)))
    }

    /// A file that begins like that of `place` and ends before it, at its end. A beginning of less than
    /// [`SPAN`] bytes tells nothing.
    ///
    /// # Errors
    /// Those of [`at`](Self::at).
    pub(super) fn before(
        file: File,
        compressed: bool,
        place: &Place,
    ) -> io::Result<Option<(Self, Place)>> {
        let (content, seen) = if compressed {
            let mut decoder = decoder(file)?;
            let (seen, known) = passes(&mut decoder, place)?;
            (Self::Compressed(Box::new(decoder), known), seen)
        } else {
            let size = file.metadata()?.len();
            let seen = Place::of(&file, place.id, size)?;
            (Self::Plain(file), seen)
        };
        let alike = seen.offset < SPAN as u64 || seen.head == place.head;
        Ok((seen.offset < place.offset && alike).then_some((content, seen)))
    }

    /// Reads on from `place`: `buffer` then begins with the known bytes before it. What it returns was
    /// in the file together: the known bytes are looked at again after the read, so nothing was
    /// truncated between.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) fn read(&mut self, place: &Place, buffer: &mut [u8]) -> io::Result<Chunk> {
        let known = place.known();
        match self {
            Self::Plain(file) => {
                let start = place.offset - known as u64;
                let count = read_at(file, buffer, start)?;
                if count < known || !place.follows(&buffer[..known]) {
                    return Ok(Chunk::Truncated);
                }
                if count == known {
                    return Ok(Chunk::End);
                }
                let mut again = [0; SPAN];
                let again = &mut again[..known];
                let same = read_at(file, again, start)? == known && *again == buffer[..known];
                Ok(if same { Chunk::Data(count - known) } else { Chunk::Truncated })
            }
            Self::Compressed(decoder, before) => {
                buffer[..known].copy_from_slice(before);
                let count = decoder.read(&mut buffer[known..])?;
                let end = known + count;
                *before = buffer[end.saturating_sub(SPAN)..end].to_vec();
                Ok(if count == 0 { Chunk::End } else { Chunk::Data(count) })
            }
        }
    }

    /// Size, how many names the file has, and when that or anything else about it last changed, in nanoseconds since
    /// 1970; `None` for a compressed one.
    pub(super) fn size(&self) -> Option<(u64, u64, i64)> {
        let Self::Plain(file) = self else { return None };
        let meta = file.metadata().ok()?;
        Some((meta.len(), meta.nlink(), changed(&meta)))
    }

    /// When a plain file was last written.
    pub(super) fn modified(&self) -> Option<i64> {
        let Self::Plain(file) = self else { return None };
        file.metadata().ok().map(|meta| modified(&meta))
    }

    /// Whether more may come.
    pub(super) fn grows(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

/// The first bytes of a file, at most [`SPAN`]; of a compressed one as they were before.
///
/// # Errors
/// Those of reading, and of [`Content::at`].
pub(super) fn head(file: File, compressed: bool) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SPAN];
    let mut count = 0;
    if compressed {
        let mut decoder = decoder(file)?;
        while count < SPAN {
            match decoder.read(&mut bytes[count..])? {
                0 => break,
                more => count += more,
            }
        }
    } else {
        count = read_at(&file, &mut bytes, 0)?;
    }
    bytes.truncate(count);
    Ok(bytes)
}

/// Reads until the buffer is full or the file ends.
pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read_at(&mut buffer[count..], offset + count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// The decompressed bytes of a file.
fn decoder(file: File) -> io::Result<Decoder<BufReader<File>>> {
    let mut magic = [0; Form::MAGIC];
    let count = read_at(&file, &mut magic, 0)?;
    match Form::of(&magic[..count]) {
        Form::Plain => {
            let why = "it is compressed in a form that is not read (gzip, xz and zstd are)";
            Err(io::Error::new(io::ErrorKind::InvalidData, why))
        }
        form => Ok(Decoder::new(form, BufReader::new(file))),
    }
}

/// Reads up to the place, or to the end, or as far as it is plain that this is another file: where that is,
/// and the known bytes before it.
fn passes(reader: &mut Decoder<BufReader<File>>, place: &Place) -> io::Result<(Place, Vec<u8>)> {
    let mut seen = Place::start(place.id);
    let (mut buffer, mut known) = (vec![0; SPAN + 64 * 1024], 0);
    while seen.offset < place.offset {
        let left = place.offset - seen.offset;
        let room = usize::try_from(left).map_or(64 * 1024, |left| left.min(64 * 1024));
        let count = reader.read(&mut buffer[known..known + room])?;
        if count == 0 {
            break;
        }
        seen.advance(&buffer[..known + count]);
        let end = known + count;
        known = seen.known();
        buffer.copy_within(end - known..end, 0);
        // The head tells most strangers apart at once.
        if seen.offset >= SPAN as u64 && seen.head != place.head {
            break;
        }
    }
    buffer.truncate(known);
    Ok((seen, buffer))
}
