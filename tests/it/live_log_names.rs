//! Which file belongs to which name: logs that appear, names that get each other's files.

use std::fs;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::common::eventually;
use super::live_rotation::Scene;

const UP: &str = "telltale_log_source_up{source=\"app\"}";

/// The pattern of Kubernetes' pods, and others with `*` where a directory is.
#[test]
fn a_log_appears_in_a_directory_that_had_none() {
    for (pattern, logs) in [
        ("pods/*/*/*.log", ["pods/old/app/0.log", "pods/old/late/0.log", "pods/new/app/0.log"]),
        ("*/log", ["old/log", "late/log", "new/log"]),
        ("x/*/y/*/z.log", ["x/old/y/app/z.log", "x/old/y/new/z.log", "x/new/y/app/z.log"]),
        ("deep/**/*.log", ["deep/old/a.log", "deep/old/b/c/d.log", "deep/0.log"]),
    ] {
        let mut scene = Scene::new(pattern);
        // The first log's directory is there, and empty.
        fs::create_dir_all(scene.path(logs[0]).parent().unwrap()).unwrap();
        scene.start();
        for log in logs {
            fs::create_dir_all(scene.path(log).parent().unwrap()).unwrap();
            scene.append(log, 3);
            scene.counted();
        }
        assert_eq!(scene.scrape().value(UP), 1.0, "{pattern}");
        // All go, with their directories, and come again.
        let top = logs[0].split('/').next().unwrap();
        fs::remove_dir_all(scene.path(top)).unwrap();
        eventually("they are let go of", || !scene.exporter().get("/").text().contains(logs[0]));
        for log in logs {
            fs::create_dir_all(scene.path(log).parent().unwrap()).unwrap();
            scene.append(log, 2);
        }
        scene.counted();
    }
}

/// log4j2's `app-%i.log` with `fileIndex="min"`: `app-1.log` is written, and all are renamed.
fn shift(scene: &mut Scene, kept: usize) {
    for number in (1..=kept).rev() {
        let from = scene.path(&format!("app-{number}.log"));
        if from.exists() {
            fs::rename(from, scene.path(&format!("app-{}.log", number + 1))).unwrap();
        }
    }
    scene.append("app-1.log", 4);
}

#[test]
fn a_followed_name_gets_the_file_of_another() {
    let mut scene = Scene::new("app-*.log");
    scene.append("app-1.log", 0);
    scene.start();
    scene.append("app-1.log", 3);
    scene.counted();
    for round in 0..12 {
        // Seen each time, or only after several; running, ended and killed.
        match round % 4 {
            1 => scene.stop(),
            3 => drop(scene.exporter.as_mut().unwrap().stop(rustix::process::Signal::KILL)),
            _ => {}
        }
        shift(&mut scene, 15);
        match round % 4 {
            0 => drop(scene.counted()),
            1 | 3 => scene.start(),
            _ => {}
        }
    }
    scene.counted();
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

#[test]
fn followed_names_are_swapped_and_go_round() {
    let mut scene = Scene::new("*.log");
    let names = ["a.log", "b.log", "c.log"];
    for name in names {
        scene.append(name, 0);
    }
    scene.start();
    for round in 0..9_u32 {
        for (nth, name) in (0..).zip(names) {
            // Of a few bytes too, and one is left empty at first.
            scene.append(name, (round + nth) % 3 * 5);
        }
        if round % 3 == 0 {
            scene.counted();
        }
        if round % 3 == 1 {
            scene.stop();
        }
        exchange(&scene.path("a.log"), &scene.path("b.log"));
        if round % 2 == 0 {
            exchange(&scene.path("b.log"), &scene.path("c.log"));
        }
        if round % 3 == 1 {
            scene.start();
        }
    }
    scene.counted();
}

/// log4j2's default: the highest number is the newest; when there are too many, all are renamed.
#[test]
fn the_highest_number_is_the_newest() {
    for outside in [true, false] {
        let rotated = |number: usize| {
            if outside { format!("app.log.{number}") } else { format!("app-{number}.log") }
        };
        let mut scene = Scene::new(if outside { "app.log" } else { "app*.log" });
        scene.append("app.log", 0);
        scene.start();
        let mut number = 0;
        for round in 0..14 {
            scene.append("app.log", 20);
            if round % 3 == 0 {
                // So that what goes below was read.
                scene.counted();
            }
            if round % 4 == 1 {
                scene.stop();
            }
            number += 1;
            if number > 5 {
                fs::remove_file(scene.path(&rotated(1))).unwrap();
                for number in 2..=5 {
                    fs::rename(scene.path(&rotated(number)), scene.path(&rotated(number - 1)))
                        .unwrap();
                }
                number = 5;
            }
            fs::rename(scene.path("app.log"), scene.path(&rotated(number))).unwrap();
            scene.append("app.log", 1);
            if round % 4 == 1 {
                scene.start();
            }
            if round % 4 == 2 {
                scene.kill_and_start();
            }
        }
        scene.counted();
    }
}
