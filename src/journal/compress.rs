//! The beginning of a compressed field: never more than is asked for.

use std::io::Read;

/// How journald marks what it compressed by what.
const XZ: u8 = 1;
const LZ4: u8 = 2;
const ZSTD: u8 = 4;

/// Memory for a dictionary of xz, in KiB; journald's have 8 MiB at most.
const XZ_MEMORY: u32 = 16 * 1024;

/// The first bytes, at most `limit`, of what was compressed; `None` if not even its beginning can be
/// had. `packed` may be cut.
pub(super) fn beginning(
    compression: u8,
    packed: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Option<()> {
    out.clear();
    match compression {
        XZ => read(lzma_rust2::XzReader::new_mem_limit(packed, false, XZ_MEMORY), limit, out),
        // journald puts the size before the block.
        LZ4 => lz4(packed.get(8..)?, limit, out)?,
        ZSTD => read(ruzstd::decoding::StreamingDecoder::new(packed).ok()?, limit, out),
        _ => return None,
    }
    (!out.is_empty()).then_some(())
}

/// What can be read; an error is the end, for the input may be cut.
fn read(from: impl Read, limit: usize, out: &mut Vec<u8>) {
    let _ = from.take(limit as u64).read_to_end(out);
}

/// An LZ4 block (<https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>), up to the limit.
///
/// Of our own, because decoders at hand want room for the whole of it, of which the block alone says
/// how much that is.
fn lz4(mut packed: &[u8], limit: usize, out: &mut Vec<u8>) -> Option<()> {
    while let Some((&token, rest)) = packed.split_first() {
        packed = rest;
        let literals = length(token >> 4, &mut packed)?;
        let (text, rest) = packed.split_at(literals.min(packed.len()));
        out.extend_from_slice(&text[..text.len().min(limit - out.len())]);
        if out.len() == limit || text.len() < literals || rest.is_empty() {
            return Some(());
        }
        let (distance, rest) = rest.split_first_chunk::<2>()?;
        packed = rest;
        let distance = usize::from(u16::from_le_bytes(*distance));
        let matched = length(token & 15, &mut packed)? + 4;
        if distance == 0 {
            return None;
        }
        // It may repeat bytes that it has just made.
        let from = out.len().checked_sub(distance)?;
        for at in from..from + matched.min(limit - out.len()) {
            out.push(out[at]);
        }
        if out.len() == limit {
            return Some(());
        }
    }
    Some(())
}

/// A length of 15 goes on in the bytes that follow, until one is not 255.
fn length(nibble: u8, packed: &mut &[u8]) -> Option<usize> {
    let mut length = usize::from(nibble);
    let mut more = nibble == 15;
    while more {
        let (&byte, rest) = packed.split_first()?;
        *packed = rest;
        length += usize::from(byte);
        more = byte == 255;
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every limit gives the beginning of the whole; the encoder is somebody else's.
        #[test]
        fn lz4_gives_the_beginning(
            word in proptest::collection::vec(any::<u8>(), 1..40), times in 1usize..200, limit in 1usize..5000,
        ) {
            let text = word.repeat(times);
            let mut packed = (text.len() as u64).to_le_bytes().to_vec();
            packed.extend(lz4_flex::block::compress(&text));
            let mut out = Vec::new();
            prop_assert!(beginning(LZ4, &packed, limit, &mut out).is_some());
            prop_assert_eq!(&out[..], &text[..limit.min(text.len())]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), limit in 1usize..100) {
            let mut out = Vec::new();
            for (compression, magic) in [
                (LZ4, &[][..]),
                (ZSTD, &[0x28, 0xb5, 0x2f, 0xfd]),
                (XZ, &[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 0, 0xff, 0x12, 0xd9, 0x41]),
                (3, &[]),
            ] {
                let _ = beginning(compression, &[magic, &bytes].concat(), limit, &mut out);
                prop_assert!(out.len() <= limit);
            }
        }
    }
}
