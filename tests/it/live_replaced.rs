//! A log that is replaced by its copy with more in it, as rsync and editors do: what was counted counts once.

use std::fs;

use super::live_rotation::Scene;

/// Lines of the log when it is replaced: far below 256 bytes, just above, and a few pages.
const SIZES: [u32; 4] = [1, 5, 20, 900];

impl Scene {
    /// Takes the place of the log by a copy that has so many lines more.
    fn replace(&mut self, copy: &str, more: u32) {
        fs::copy(self.path("log"), self.path(copy)).unwrap();
        self.append(copy, more);
        fs::rename(self.path(copy), self.path("log")).unwrap();
    }
}

/// The copy has a name that the pattern has as well.
#[test]
fn a_log_is_replaced_by_a_followed_name_while_nobody_looks() {
    for lines in SIZES {
        let mut scene = Scene::new("log*");
        scene.append("log", 0);
        scene.start();
        scene.append("log", lines);
        scene.counted();
        for _ in 0..2 {
            scene.kill();
            scene.append("log", 1);
            scene.replace("log-new", 2);
            scene.start();
            scene.append("log", 1);
            scene.counted();
        }
    }
}

/// A small log that is followed from its start, whose first lines are those of every one of its files.
#[test]
fn small_logs_that_begin_alike_are_told_apart_over_rotations() {
    let mut scene = Scene::new("log");
    scene.append("log", 0);
    scene.start();
    for round in 0..6 {
        if round % 2 == 1 {
            scene.kill();
        }
        let _ = fs::rename(scene.path("log.1"), scene.path("log.2"));
        fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
        // The number is another one; all else of the line is the same.
        scene.append("log", 1);
        if round % 2 == 1 {
            scene.start();
        }
        scene.counted();
        scene.replace("new", 1);
        scene.counted();
    }
}

/// `log~` and the like are names of no rotated file, and keep the old one.
#[test]
fn a_log_is_saved_by_an_editor_that_keeps_a_backup() {
    for backup in ["log~", "log.bak"] {
        let mut scene = Scene::new("log");
        scene.append("log", 0);
        scene.start();
        scene.append("log", 40);
        scene.counted();
        for stopped in [false, true] {
            if stopped {
                scene.stop();
            }
            let _ = fs::remove_file(scene.path(backup));
            fs::hard_link(scene.path("log"), scene.path(backup)).unwrap();
            fs::copy(scene.path("log"), scene.path(".new")).unwrap();
            scene.append(".new", 2);
            fs::rename(scene.path(".new"), scene.path("log")).unwrap();
            if stopped {
                scene.start();
            }
            scene.counted();
            scene.append("log", 1);
            scene.counted();
        }
    }
}
