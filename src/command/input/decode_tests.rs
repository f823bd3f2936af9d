//! What is compressed reads like the plain file, whole, cut off or damaged.

#[path = "../../../tests/it/common/pack.rs"]
#[allow(unreachable_pub, reason = "the live tests use it too")]
mod pack;

use std::sync::Arc;

use super::{Error, Form, Input};
use pack::{gz, xz, zstd};

fn text() -> Vec<u8> {
    (0..60_000u64)
        .flat_map(|n| format!("line {n} {:x}\n", n.wrapping_mul(n) * 7919).into_bytes())
        .collect()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const ALL: [(Form, Encode); 3] = [(Form::Gzip, gz), (Form::Xz, xz), (Form::Zstd, zstd)];

fn read(bytes: Vec<u8>, piece: usize) -> (Vec<u8>, Result<Form, Error>) {
    let from = Box::new(std::io::Cursor::new(bytes));
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
