//! Places in plain and compressed files.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn gz(bytes: &[u8]) -> File {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    let mut file = file(&encoder.finish().unwrap());
    std::io::Seek::rewind(&mut file).unwrap();
    file
}

/// Reads on to the end in pieces of this size.
fn rest(content: &mut Content, place: &mut Place, piece: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut buffer = vec![0; SPAN + piece];
    loop {
        let known = place.known();
        match content.read(place, &mut buffer[..known + piece]).unwrap() {
            Chunk::Data(count) => {
                out.extend_from_slice(&buffer[known..known + count]);
                place.advance(&buffer[..known + count]);
            }
            Chunk::End => return out,
            Chunk::Truncated => panic!("truncated"),
        }
    }
}

fn text() -> Vec<u8> {
    (0..1000).flat_map(|nth: u32| format!("line {nth}\n").into_bytes()).collect()
}

#[test]
fn a_place_is_found_again_in_the_file_and_in_its_compressed_copy() {
    let text = text();
    for offset in [0, 1, 500, SPAN, SPAN + 1, 5000, text.len()] {
        let mut place = Place::start(FileId::default());
        rest(&mut Content::Plain(file(&text[..offset])), &mut place, 333);
        assert_eq!(place.offset, offset as u64);
        for (file, compressed) in [(file(&text), false), (gz(&text), true)] {
            let mut content = Content::at(file, compressed, &place).unwrap().unwrap();
            assert_eq!(rest(&mut content, &mut place.clone(), 100), text[offset..], "{offset}");
        }
    }
}

#[test]
fn other_bytes_before_the_position_are_another_file() {
    let text = text();
    let mut place = Place::start(FileId::default());
    rest(&mut Content::Plain(file(&text[..5000])), &mut place, 333);
    for at in [0, SPAN - 1, 5000 - SPAN, 4999] {
        let mut other = text.clone();
        other[at] ^= 1;
        assert!(Content::at(file(&other), false, &place).unwrap().is_none());
        assert!(Content::at(gz(&other), true, &place).unwrap().is_none());
    }
    assert!(Content::at(file(&text[..4999]), false, &place).unwrap().is_none());
    assert!(Content::at(gz(&text[..4999]), true, &place).unwrap().is_none());
    assert!(Content::at(file(b"no gzip"), true, &place).is_err());
}

#[test]
fn a_truncated_file_is_noticed_even_when_it_has_grown_again() {
    let file = file(&text());
    let mut place = Place::start(FileId::default());
    rest(&mut Content::Plain(file.try_clone().unwrap()), &mut place, 4096);
    file.set_len(0).unwrap();
    let mut content = Content::Plain(file.try_clone().unwrap());
    let mut buffer = vec![0; SPAN + 100];
    assert_eq!(content.read(&place, &mut buffer).unwrap(), Chunk::Truncated);
    // A writer without O_APPEND leaves a hole.
    file.write_all_at(b"new\n", place.offset + 10).unwrap();
    assert_eq!(content.read(&place, &mut buffer).unwrap(), Chunk::Truncated);
}

#[test]
fn the_end_is_after_the_last_whole_line() {
    for (text, offset, whole) in [
        (&b""[..], 0, true),
        (b"one\n", 4, true),
        (b"one\ntw", 4, true),
        (b"tw", 0, true),
        (b"a line that is longer than the limit", 36, false),
    ] {
        let file = file(text);
        let (place, found) = Place::end(&file, 10).unwrap();
        assert_eq!((place.offset, found), (offset, whole), "{text:?}");
        assert!(Content::at(file, false, &place).unwrap().is_some());
    }
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    for path in ["/dev/zero", "/proc/version", "/sys/kernel/profiling", "/"] {
        assert!(open(Path::new(path)).is_err(), "{path}");
    }
}
