//! What is no log of lines and stands under a log's name: the source is down, and says why and what to do.

use std::fs;

use super::common::eventually;
use super::common::pack::{gz, xz, zstd};
use super::live_rotation::Scene;

const UP: &str = "telltale_log_source_up{source=\"app\"}";

fn utf16(text: &str, mark: bool, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter().chain(text.encode_utf16()).flat_map(order).collect()
}

/// What each is, and what of it is said.
fn forms() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = "event 1 happened\r\nevent 2 happened\r\n";
    let words = "this is UTF-16, of which no line is understood";
    let packed = "this is compressed, and no log that is being written";
    vec![
        ("little-endian", utf16(text, true, u16::to_le_bytes), words),
        ("big-endian", utf16(text, true, u16::to_be_bytes), words),
        ("little-endian without a mark", utf16(text, false, u16::to_le_bytes), words),
        ("big-endian without a mark", utf16(text, false, u16::to_be_bytes), words),
        (
            "a file of journald",
            [&b"LPKSHHRH"[..], &[0; 256]].concat(),
            "this is a file of journald",
        ),
        ("gzip", gz(text.as_bytes()), packed),
        ("xz", xz(text.as_bytes()), packed),
        ("zstd", zstd(text.as_bytes()), packed),
        ("bzip2", [&b"BZh91AY&SY"[..], &[7; 40]].concat(), packed),
        ("lz4", [&[0x04, 0x22, 0x4d, 0x18][..], &[7; 40]].concat(), packed),
    ]
}

impl Scene {
    /// It is down and says why, now and in its log.
    fn refused(&self, what: &str, said: &str) {
        eventually(what, || self.scrape().value(UP) == 0.0);
        let page = self.exporter().get("/").text();
        assert!(page.contains(said), "{what}: {page}");
        eventually(what, || self.exporter().log().contains(said));
    }
}

#[test]
fn a_log_that_turns_into_something_else_is_down_and_comes_back() {
    let mut scene = Scene::new("log");
    scene.append("log", 0);
    scene.start();
    for (what, bytes, said) in forms() {
        scene.append("log", 3);
        scene.counted();
        fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
        scene.append("log.1", 1);
        fs::write(scene.path("log"), &bytes).unwrap();
        scene.refused(what, said);
        scene.counted_events();
        fs::remove_file(scene.path("log")).unwrap();
        scene.append("log", 1);
        let scrape = scene.counted();
        assert_eq!(scrape.value(UP), 1.0, "{what}");
    }
}

#[test]
fn one_log_of_a_pattern_that_is_no_text_is_told_and_the_others_are_read() {
    let mut scene = Scene::new("*.log");
    scene.append("good.log", 0);
    scene.start();
    for (nth, (what, bytes, said)) in forms().into_iter().enumerate() {
        let path = scene.path(&format!("bad-{nth}.log"));
        fs::write(&path, &bytes).unwrap();
        scene.refused(what, said);
        scene.append("good.log", 2);
        scene.counted_events();
        fs::remove_file(path).unwrap();
        eventually(what, || scene.scrape().value(UP) == 1.0);
    }
    scene.counted();
}
