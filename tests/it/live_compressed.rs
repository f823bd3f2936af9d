//! What is rotated and compressed, or moved away, while nobody looks: counted, or told as lost.

use std::fs;

use super::common::pack::{gz, xz, zstd};
use super::common::{Scrape, eventually};
use super::live_rotation::Scene;

type Encode = fn(&[u8]) -> Vec<u8>;

/// What is read.
const READ: [(&str, Encode); 4] = [("gz", gz), ("xz", xz), ("zst", zstd), ("zstd", zstd)];

/// What is not: these forms begin so.
const NOT_READ: [(&str, &[u8]); 3] =
    [("bz2", b"BZh91AY&SY"), ("lz4", b"\x04\x22\x4d\x18"), ("Z", b"\x1f\x9d\x90")];

fn lost(scrape: &Scrape, reason: &str) -> f64 {
    scrape.value(&format!("telltale_log_lost_bytes_total{{source=\"app\",reason=\"{reason}\"}}"))
}

fn rotations(scrape: &Scrape, method: &str) -> f64 {
    scrape.value(&format!("telltale_log_rotations_total{{source=\"app\",method=\"{method}\"}}"))
}

/// Nothing of it is lost.
fn all_counted(scene: &Scene, what: &str) {
    let scrape = scene.counted();
    for reason in ["cut", "hole", "truncated", "gone", "unreadable"] {
        assert_eq!(lost(&scrape, reason), 0.0, "{what}: {reason}");
    }
}

impl Scene {
    /// A log of which some was read, and more was written since while nobody looks.
    fn with_unread() -> Self {
        let mut scene = Self::new("log");
        scene.append("log", 0);
        scene.start();
        scene.append("log", 2);
        scene.counted();
        scene.kill();
        scene.append("log", 100);
        scene
    }

    /// Compresses a file, as logrotate's program does it.
    fn compress(&self, from: &str, to: &str, encode: Encode) {
        fs::write(self.path(to), encode(&fs::read(self.path(from)).unwrap())).unwrap();
        let times = fs::metadata(self.path(from)).unwrap().modified().unwrap();
        let file = fs::File::options().write(true).open(self.path(to)).unwrap();
        file.set_modified(times).unwrap();
        fs::remove_file(self.path(from)).unwrap();
    }
}

#[test]
fn what_was_compressed_while_nobody_looked_is_read() {
    for (ending, encode) in READ {
        let mut scene = Scene::with_unread();
        scene.compress("log", &format!("log.1.{ending}"), encode);
        scene.append("log", 100);
        scene.start();
        all_counted(&scene, ending);
        // Twice, with a log between of which nothing was read: compressed at once, and delayed.
        for delayed in [false, true] {
            scene.kill();
            for round in 0..2 {
                scene.append("log", 30);
                let name = |number: u32| format!("log.{number}.{ending}");
                for number in (1..8).rev() {
                    let _ = fs::rename(scene.path(&name(number)), scene.path(&name(number + 1)));
                }
                if delayed && round == 1 {
                    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
                } else {
                    scene.compress("log", &name(1), encode);
                }
                scene.append("log", 10);
            }
            scene.start();
            all_counted(&scene, ending);
        }
    }
}

#[test]
fn what_is_compressed_in_a_form_that_is_not_read_is_told_as_lost() {
    for (ending, magic) in NOT_READ {
        let mut scene = Scene::with_unread();
        let bytes = [magic, &[7; 500]].concat();
        fs::write(scene.path(&format!("log.1.{ending}")), &bytes).unwrap();
        fs::remove_file(scene.path("log")).unwrap();
        scene.written = 2;
        scene.append("log", 100);
        scene.start();
        let scrape = scene.counted();
        assert_eq!(lost(&scrape, "unreadable"), bytes.len() as f64, "{ending}");
        assert_eq!(scrape.value("telltale_log_source_up{source=\"app\"}"), 1.0, "{ending}");
        eventually("it is logged", || {
            scene.exporter().log().contains("a rotated file of the log cannot be read")
        });
        // Told once, over another start and another rotation.
        scene.kill();
        scene.start();
        fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
        scene.append("log", 3);
        let scrape = scene.counted();
        assert_eq!(lost(&scrape, "unreadable"), bytes.len() as f64, "{ending}");
    }
}

/// logrotate's `olddir` below the log's directory, plain and compressed.
#[test]
fn what_was_moved_into_olddir_while_nobody_looked_is_read() {
    let same: Encode = |bytes| bytes.to_vec();
    for (ending, encode) in [("", same), (".gz", gz), (".zst", zstd)] {
        let mut scene = Scene::with_unread();
        // More than the least that tells a file by its bytes alone.
        scene.start();
        scene.counted();
        fs::create_dir(scene.path("old")).unwrap();
        for round in 0..3 {
            scene.kill();
            scene.append("log", 20);
            for number in (1..4).rev() {
                let name = |number: u32| scene.path(&format!("old/log.{number}{ending}"));
                let _ = fs::rename(name(number), name(number + 1));
            }
            if ending.is_empty() {
                fs::rename(scene.path("log"), scene.path("old/log.1")).unwrap();
            } else {
                scene.compress("log", &format!("old/log.1{ending}"), encode);
            }
            scene.append("log", 20 + round);
            scene.start();
            all_counted(&scene, ending);
        }
    }
}

/// Nobody could find it: that it was there is told by a log that was made anew.
#[test]
fn what_was_moved_far_away_while_nobody_looked_is_told() {
    let mut scene = Scene::with_unread();
    let far = tempfile::tempdir().unwrap();
    fs::copy(scene.path("log"), far.path().join("log.1")).unwrap();
    fs::remove_file(scene.path("log")).unwrap();
    scene.written = 2;
    scene.append("log", 5);
    scene.start();
    let scrape = scene.counted();
    assert_eq!(rotations(&scrape, "recreated"), 1.0);
    eventually("it is logged", || scene.exporter().log().contains("cannot be found"));
}
