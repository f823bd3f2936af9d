//! Decompression in pure Rust, with bounded memory whatever a file claims.

use std::error::Error as StdError;
use std::io::{self, BufRead as _, Read as _};

use flate2::bufread::GzDecoder;
use lzma_rust2::{Action, Status, XzStream};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::Source;

/// The most memory that a file may ask for to be decompressed, in bytes: `xz -9` takes 64 MiB, `zstd -19`
/// 8 MiB, `zstd --long` 128 MiB.
pub const MAX_WINDOW: u64 = 128 << 20;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
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
    pub(super) const MAGIC: u64 = 6;

    pub(super) fn of(start: &[u8]) -> Self {
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

pub(super) enum Decoder {
    Plain(Source),
    /// `None` only while a member ends.
    Gzip(Option<Box<GzDecoder<Source>>>),
    Xz(Box<XzStream>, Source),
    Zstd(Box<Zstd>),
}

impl Decoder {
    pub(super) fn new(form: Form, source: Source) -> Self {
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

    pub(super) fn form(&self) -> Form {
        match self {
            Self::Plain(_) => Form::Plain,
            Self::Gzip(_) => Form::Gzip,
            Self::Xz(..) => Form::Xz,
            Self::Zstd(_) => Form::Zstd,
        }
    }

    /// Where the bytes come from.
    pub(super) fn source(&self) -> Option<&Source> {
        match self {
            Self::Plain(source) | Self::Xz(_, source) => Some(source),
            Self::Gzip(decoder) => decoder.as_ref().map(|decoder| decoder.get_ref()),
            Self::Zstd(zstd) => Some(&zstd.source),
        }
    }

    /// The next bytes; 0 at the end. Not to be called again after an error.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
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
fn gzip(slot: &mut Option<Box<GzDecoder<Source>>>, buffer: &mut [u8]) -> io::Result<usize> {
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

fn xz(stream: &mut XzStream, source: &mut Source, buffer: &mut [u8]) -> io::Result<usize> {
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

/// Frames one after the other.
pub(super) struct Zstd {
    decoder: FrameDecoder,
    source: Source,
    /// Within a frame.
    within: bool,
    /// What comes after the bytes that are decoded already.
    error: Option<io::Error>,
}

impl Zstd {
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

#[cfg(test)]
mod tests {
    use super::super::{Error, Input};
    use super::*;
    use std::io::Write as _;
    use std::sync::Arc;

    fn text() -> Vec<u8> {
        (0..60_000u64)
            .flat_map(|n| format!("line {n} {:x}\n", n.wrapping_mul(n) * 7919).into_bytes())
            .collect()
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(1);
        let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    type Encode = fn(&[u8]) -> Vec<u8>;

    const ALL: [(Form, Encode); 3] = [(Form::Gzip, gz), (Form::Xz, xz), (Form::Zstd, zstd)];

    fn read(bytes: Vec<u8>, piece: usize) -> (Vec<u8>, Result<Form, Error>) {
        let from = Box::new(io::Cursor::new(bytes));
        let mut input = Input::new("log".to_owned(), from, None, &Arc::default()).unwrap();
        let (mut all, mut buffer) = (Vec::new(), vec![0; piece]);
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return (all, Ok(input.form())),
                Ok(count) => all.extend_from_slice(&buffer[..count]),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    #[test]
    fn one_stream_or_several_and_pieces_of_any_size() {
        let text = text();
        for (form, encode) in ALL {
            let (first, second) = text.split_at(300_000);
            for bytes in [encode(&text), [encode(first), encode(b""), encode(second)].concat()] {
                for piece in [777, 65536] {
                    let (all, end) = read(bytes.clone(), piece);
                    assert_eq!(end.unwrap(), form);
                    assert!(all == text, "{form:?}");
                }
            }
        }
        for short in [&b""[..], b"x", b"\x1f\x8b", b"\xfd7zX"] {
            let (all, end) = read(short.to_vec(), 10);
            assert_eq!((&all[..], end.unwrap()), (short, Form::Plain));
        }
    }

    #[test]
    fn padding_and_skippable_frames_are_passed_over() {
        let zeros = [0; 4096];
        let padded = [gz(b"one\n"), zeros.to_vec(), gz(b"two\n"), zeros.to_vec()].concat();
        assert_eq!(read(padded, 100).0, b"one\ntwo\n");
        assert_eq!(read([xz(b"one\n"), vec![0; 8], xz(b"two\n")].concat(), 100).0, b"one\ntwo\n");
        let skip = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        let framed = [&skip[..], &zstd(b"one\n"), skip, &zstd(b"two\n")].concat();
        let (all, end) = read(framed.clone(), 100);
        assert_eq!((&all[..], end.unwrap()), (&b"one\ntwo\n"[..], Form::Zstd));
        let (all, end) = read([&framed[..], &skip[..9]].concat(), 100);
        assert_eq!(all, b"one\ntwo\n");
        assert!(end.unwrap_err().why.starts_with("cut off"));
    }

    #[test]
    fn of_a_cut_file_comes_what_is_there_and_then_the_place() {
        let text = text();
        for (form, encode) in ALL {
            let mut bytes = encode(&text);
            let whole = bytes.len();
            bytes.truncate(whole / 2);
            let (all, end) = read(bytes, 65536);
            let error = end.unwrap_err();
            assert!(text.starts_with(&all), "{form:?}");
            // Half of the file is about half of the text.
            assert!(all.len() > text.len() * 45 / 100, "{form:?} {} {}", all.len(), text.len());
            assert_eq!(error.offset, Some(whole as u64 / 2), "{form:?}");
            assert!(error.to_string().contains("cut off"), "{error}");
        }
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let text = text();
        let mut random = 1u64;
        for (form, encode) in ALL {
            let good = encode(&text[..50_000]);
            for _ in 0..60 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let mut bytes = good.clone();
                // Never the magic number.
                let at = 6 + usize::try_from(random >> 33).unwrap() % (bytes.len() - 6);
                bytes[at] ^= 1 << (random >> 30 & 7);
                let (all, end) = read(bytes, 65536);
                assert!(all.len() < 2 * text.len());
                // A few bits, such as the time in the head of gzip, mean nothing.
                assert!(end.is_err() || all == text[..50_000] || form == Form::Zstd);
            }
        }
        let (all, end) = read([gz(b"one\n"), b"garbage after it".to_vec()].concat(), 100);
        assert_eq!(all, b"one\n");
        assert!(end.unwrap_err().to_string().contains("damaged gzip data"));
    }

    #[test]
    fn a_file_that_claims_gigabytes_is_refused_at_once() {
        // A frame with a window of 2 GiB.
        let zstd = b"\x28\xb5\x2f\xfd\x00\xa8\x01\0\0".to_vec();
        // A dictionary of 1.5 GiB: the size is a byte of the block's head, guarded by a CRC.
        let mut xz = xz(b"one\n");
        assert_eq!(xz[14..16], [0x21, 1]);
        xz[16] = 37;
        let mut crc = flate2::Crc::new();
        let end = 12 + (usize::from(xz[12]) + 1) * 4 - 4;
        crc.update(&xz[12..end]);
        xz[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
        for bytes in [zstd, xz] {
            let (all, end) = read(bytes, 100);
            let error = end.unwrap_err().to_string();
            assert!(all.is_empty() && error.contains("more than 128 MiB"), "{error}");
        }
    }
}
