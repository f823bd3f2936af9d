//! Whose bytes these are: copies that take a log's place, files in other forms than lines of text.

use std::fs;

use rustix::process::Signal;

use super::common::eventually;
use super::common::pack::{gz, xz, zstd};
use super::live_rotation::Scene;

const UP: &str = "telltale_log_source_up{source=\"app\"}";

fn lost(reason: &str) -> String {
    format!("telltale_log_lost_bytes_total{{source=\"app\",reason=\"{reason}\"}}")
}

/// An editor writes a new file and renames it over the old; so does rsync. `--inplace` and `cp` write the old one, which
/// while we look is a truncation.
#[test]
fn a_small_log_is_replaced_by_its_copy_and_more() {
    // Below and above the number of bytes that tell a file from every other one.
    for first in [1, 5, 30] {
        for stopped in [false, true] {
            let mut scene = Scene::new("log");
            scene.append("log", 0);
            scene.start();
            scene.append("log", first);
            scene.counted();
            for in_place in [false, true, false] {
                if stopped {
                    scene.stop();
                }
                fs::copy(scene.path("log"), scene.path(".log.tmp")).unwrap();
                scene.append(".log.tmp", 2);
                if in_place && stopped {
                    fs::copy(scene.path(".log.tmp"), scene.path("log")).unwrap();
                } else {
                    fs::rename(scene.path(".log.tmp"), scene.path("log")).unwrap();
                }
                if stopped {
                    scene.start();
                }
                scene.counted();
            }
        }
    }
}

fn utf16(text: &str, mark: bool, swapped: bool) -> Vec<u8> {
    let units = mark.then_some(0xfeff).into_iter().chain(text.encode_utf16());
    units.flat_map(|unit| if swapped { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
}

/// What is no text of lines never looks like a log in which nothing happens.
#[test]
fn a_file_in_another_form_is_not_up() {
    let text = "event 99 happened and a few words more\n".repeat(20);
    let forms = [
        ("UTF-16", utf16(&text, true, false)),
        ("UTF-16", utf16(&text, true, true)),
        ("UTF-16", utf16(&text, false, false)),
        ("UTF-16", utf16(&text, false, true)),
        ("compressed", gz(text.as_bytes())),
        ("compressed", xz(text.as_bytes())),
        ("compressed", zstd(text.as_bytes())),
        ("journal", [&b"LPKSHHRH"[..], &[0; 400]].concat()),
    ];
    for (form, bytes) in forms {
        // There from the start, and made later.
        for later in [false, true] {
            let mut scene = Scene::new("log");
            if !later {
                fs::write(scene.path("log"), &bytes).unwrap();
            }
            scene.start();
            fs::write(scene.path("log"), &bytes).unwrap();
            eventually(&format!("{form} is told"), || {
                let page = scene.exporter().get("/").text();
                page.contains(form) && scene.scrape().value(UP) == 0.0
            });
            let scrape = scene.scrape();
            assert_eq!(scrape.value("telltale_log_sources"), 0.0, "{form}");
            assert_eq!(scrape.value("telltale_log_lines_total{source=\"app\"}"), 0.0, "{form}");
            // A log of lines in its place is read.
            scene.append("next", 3);
            fs::rename(scene.path("next"), scene.path("log")).unwrap();
            assert_eq!(scene.counted().value(UP), 1.0);
        }
    }
}

/// What is rotated while nobody looks is read in the forms that are known, and told as lost in the others.
#[test]
fn rotated_in_every_form_while_stopped() {
    type Pack = fn(&[u8]) -> Vec<u8>;
    let other: Pack = |bytes| [b"BZh9 or another form that is not read", bytes].concat();
    let forms: [(&str, Option<Pack>); 6] = [
        ("log.1.gz", Some(gz)),
        ("log.1.xz", Some(xz)),
        ("log.1.zst", Some(zstd)),
        ("log-20261120.zst", Some(zstd)),
        ("old/log.1", None),
        ("old/log-20261120.gz", Some(gz)),
    ];
    for (name, pack) in forms {
        let mut scene = Scene::new("log");
        fs::create_dir(scene.path("old")).unwrap();
        scene.append("log", 0);
        scene.start();
        scene.append("log", 30);
        scene.counted();
        scene.exporter.as_mut().unwrap().stop(Signal::KILL);
        scene.append("log", 7);
        let bytes = fs::read(scene.path("log")).unwrap();
        fs::write(scene.path(name), pack.map_or(bytes.clone(), |pack| pack(&bytes))).unwrap();
        fs::remove_file(scene.path("log")).unwrap();
        scene.append("log", 4);
        scene.start();
        scene.counted();
    }
    for name in ["log.1.bz2", "log.1.lz4", "log-20261120.bz2"] {
        let mut scene = Scene::new("log");
        scene.append("log", 0);
        scene.start();
        scene.append("log", 3);
        scene.counted();
        scene.stop();
        let packed = other(b"event 4 happened\n");
        fs::write(scene.path(name), &packed).unwrap();
        fs::remove_file(scene.path("log")).unwrap();
        scene.append("log", 4);
        scene.start();
        let scrape = scene.counted();
        assert_eq!(scrape.value(&lost("unreadable")), packed.len() as f64, "{name}");
    }
}
