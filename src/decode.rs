//! Decompression in pure Rust, with bounded memory whatever a file claims.

use std::error::Error as StdError;
use std::io::{self, BufRead, Read as _};

use flate2::bufread::GzDecoder;
use lzma_rust2::{Action, Status, XzStream};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The most memory that a file may ask for to be decompressed, in bytes: `xz -9` takes 64 MiB, `zstd -19`
/// 8 MiB, `zstd --long` 128 MiB.
pub(crate) const MAX_WINDOW: u64 = 128 << 20;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// RFC 8878.
    Zstd,
}

impl Form {
    /// So many bytes tell it.
    pub(crate) const MAGIC: usize = 6;

    /// Told by the first [`MAGIC`](Self::MAGIC) bytes.
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // The second is a frame to skip, with which pzstd begins.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// The bytes of a file as they were before it was compressed.
pub(crate) enum Decoder<R: BufRead> {
    /// As it stands.
    Plain(R),
    /// `None` only while a member ends.
    Gzip(Option<Box<GzDecoder<R>>>),
    /// A stream, or several.
    Xz(Box<XzStream>, R),
    /// Frames.
    Zstd(Box<Zstd<R>>),
}

impl<R: BufRead> Decoder<R> {
    /// Decompresses what `source` has from here on.
    pub(crate) fn new(form: Form, source: R) -> Self {
        match form {
            Form::Plain => Self::Plain(source),
            Form::Gzip => Self::Gzip(Some(Box::new(GzDecoder::new(source)))),
            Form::Xz => {
                // In KiB, with what the decoder itself takes.
                let limit = u32::try_from((MAX_WINDOW + (1 << 20)) / 1024).unwrap_or(u32::MAX);
                Self::Xz(Box::new(XzStream::new_mem_limit(true, limit)), source)
            }
            Form::Zstd => {
                let mut decoder = FrameDecoder::new();
                decoder.set_max_window_size(MAX_WINDOW);
                Self::Zstd(Box::new(Zstd { decoder, source, within: false, error: None }))
            }
        }
    }

    /// How it is compressed.
    pub(crate) fn form(&self) -> Form {
        match self {
            Self::Plain(_) => Form::Plain,
            Self::Gzip(_) => Form::Gzip,
            Self::Xz(..) => Form::Xz,
            Self::Zstd(_) => Form::Zstd,
        }
    }

    /// Where the bytes come from.
    pub(crate) fn source(&self) -> Option<&R> {
        match self {
            Self::Plain(source) | Self::Xz(_, source) => Some(source),
            Self::Gzip(decoder) => decoder.as_ref().map(|decoder| decoder.get_ref()),
            Self::Zstd(zstd) => Some(&zstd.source),
        }
    }

    /// The next bytes; 0 at the end. Not to be called again after an error.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(source) => return source.read(buffer),
            Self::Gzip(decoder) => gzip(decoder, buffer),
            Self::Xz(stream, source) => xz(stream, source, buffer),
            Self::Zstd(zstd) => zstd.read(buffer),
        };
        read.map_err(|error| io::Error::new(error.kind(), self.explain(&error)))
    }

    fn explain(&self, error: &io::Error) -> String {
        let name = self.form().name();
        match error.kind() {
            io::ErrorKind::OutOfMemory => format!(
                "refused: it wants more than {} MiB of memory to be decompressed; \
                 decompress it with {name} -dc and feed it in",
                MAX_WINDOW >> 20
            ),
            io::ErrorKind::UnexpectedEof => format!("cut off: the {name} data goes on"),
            _ => format!("damaged {name} data: {error}"),
        }
    }
}

/// One member after the other; zeros after the last are the padding of tapes and of block devices.
fn gzip<R: BufRead>(slot: &mut Option<Box<GzDecoder<R>>>, buffer: &mut [u8]) -> io::Result<usize> {
    while let Some(decoder) = slot {
        let count = decoder.read(buffer)?;
        if count > 0 {
            return Ok(count);
        }
        let source = decoder.get_mut();
        loop {
            let bytes = source.fill_buf()?;
            if bytes.is_empty() {
                return Ok(0);
            }
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            let end = zeros < bytes.len();
            source.consume(zeros);
            if end {
                break;
            }
        }
        if let Some(decoder) = slot.take() {
            *slot = Some(Box::new(GzDecoder::new(decoder.into_inner())));
        }
    }
    Ok(0)
}

fn xz(stream: &mut XzStream, source: &mut impl BufRead, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let input = source.fill_buf()?;
        let action = if input.is_empty() { Action::Finish } else { Action::Run };
        let result = stream.process(input, buffer, action)?;
        source.consume(result.bytes_consumed);
        if result.bytes_produced > 0 || result.status == Status::StreamEnd || buffer.is_empty() {
            return Ok(result.bytes_produced);
        }
        if action == Action::Finish && result.bytes_consumed == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Frames of zstd, one after the other.
pub(crate) struct Zstd<R> {
    decoder: FrameDecoder,
    source: R,
    /// Within a frame.
    within: bool,
    /// What comes after the bytes that are decoded already.
    error: Option<io::Error>,
}

impl<R: BufRead> Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if let Some(error) = self.error.take() {
                return Err(error);
            }
            if self.within && self.decoder.is_finished() {
                self.within = false;
                let told = self.decoder.get_checksum_from_data();
                if told.is_some() && told != self.decoder.get_calculated_checksum() {
                    return Err(io::Error::other("the checksum does not match"));
                }
            }
            if self.within {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                if let Err(error) = self.decoder.decode_blocks(&mut self.source, one) {
                    self.give_up(&error);
                }
            } else if self.source.fill_buf()?.is_empty() {
                return Ok(0);
            } else {
                self.begin()?;
            }
        }
    }

    /// The head of the next frame.
    fn begin(&mut self) -> io::Result<()> {
        match self.decoder.init(&mut self.source) {
            Ok(()) => self.within = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                if skipped < length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(error) => return Err(as_io(&error)),
        }
        Ok(())
    }

    /// The decoder holds back a window, up to 128 MiB of text: an empty last block lets it go.
    fn give_up(&mut self, error: &FrameDecoderError) {
        self.error = Some(as_io(error));
        let last = [1, 0, 0, 0, 0, 0, 0];
        let _ = self.decoder.decode_blocks(&last[..], BlockDecodingStrategy::UptoBlocks(1));
        self.within = false;
    }
}

/// With the kind that tells a cut from damage.
fn as_io(error: &FrameDecoderError) -> io::Error {
    if let FrameDecoderError::WindowSizeTooBig { .. } = error {
        return io::ErrorKind::OutOfMemory.into();
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
            return io::ErrorKind::UnexpectedEof.into();
        }
        cause = inner.source();
    }
    io::Error::other(error.to_string())
}
