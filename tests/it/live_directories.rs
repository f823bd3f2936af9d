//! Logs of a pattern in directories that come, go and come back.

use std::fs;
use std::path::Path;

use super::live_rotation::Scene;

/// Makes the directories of a log and writes to it.
fn append_below(scene: &mut Scene, name: &str, count: u32) {
    fs::create_dir_all(scene.path(name).parent().unwrap()).unwrap();
    scene.append(name, count);
}

fn rename(scene: &Scene, from: &str, to: &str) {
    fs::rename(scene.path(from), scene.path(to)).unwrap();
}

fn remove(path: &Path) {
    fs::remove_dir_all(path).unwrap();
}

#[test]
fn a_log_appears_in_directories_of_every_level() {
    let mut scene = Scene::new("pods/*/*/*.log");
    append_below(&mut scene, "pods/one/web/0.log", 1);
    scene.start();
    scene.written = 0;
    append_below(&mut scene, "pods/one/web/0.log", 2);
    scene.counted();
    // Each level is seen to be empty before the next is made.
    for level in ["pods/two", "pods/two/web"] {
        fs::create_dir(scene.path(level)).unwrap();
        scene.counted_events();
    }
    scene.append("pods/two/web/0.log", 3);
    scene.counted();
    // Where another directory of the level has logs already.
    append_below(&mut scene, "pods/one/sidecar/0.log", 3);
    scene.counted();
    // All levels at once, and with the log in it by one rename.
    append_below(&mut scene, "pods/three/web/0.log", 2);
    append_below(&mut scene, "staged/db/0.log", 4);
    rename(&scene, "staged", "pods/four");
    scene.counted();
    // Too low and too high for the pattern.
    let event = "event 999 happened\n";
    fs::write(scene.path("pods/0.log"), event).unwrap();
    fs::write(scene.path("pods/one/0.log"), event).unwrap();
    fs::create_dir(scene.path("pods/one/web/below")).unwrap();
    fs::write(scene.path("pods/one/web/below/0.log"), event).unwrap();
    scene.append("pods/four/db/0.log", 1);
    scene.counted();
}

#[test]
fn the_directory_before_the_first_star_appears_later() {
    let mut scene = Scene::new("later/now/*/app-?.log");
    scene.start();
    scene.counted_events();
    append_below(&mut scene, "later/now/a/app-1.log", 2);
    scene.counted();
    // It goes with all that is in it, and comes again.
    remove(&scene.path("later"));
    scene.counted_events();
    append_below(&mut scene, "later/now/a/app-1.log", 3);
    append_below(&mut scene, "later/now/b/app-2.log", 1);
    scene.counted();
}

#[test]
fn all_logs_of_a_directory_vanish_and_others_come() {
    let mut scene = Scene::new("pods/*/*.log");
    scene.start();
    for round in 0..3 {
        append_below(&mut scene, "pods/a/0.log", 2 + round);
        append_below(&mut scene, "pods/a/1.log", 1);
        scene.counted();
        if round == 1 {
            remove(&scene.path("pods/a"));
        } else {
            fs::remove_file(scene.path("pods/a/0.log")).unwrap();
            fs::remove_file(scene.path("pods/a/1.log")).unwrap();
        }
        scene.counted_events();
    }
    // The same with a restart between.
    append_below(&mut scene, "pods/a/0.log", 2);
    scene.counted();
    remove(&scene.path("pods"));
    scene.kill();
    append_below(&mut scene, "pods/a/0.log", 3);
    append_below(&mut scene, "pods/c/0.log", 1);
    scene.start();
    scene.counted();
}

#[test]
fn a_directory_is_moved_away_and_back() {
    let mut scene = Scene::new("pods/*/*.log");
    append_below(&mut scene, "pods/a/0.log", 0);
    scene.start();
    scene.append("pods/a/0.log", 3);
    append_below(&mut scene, "pods/a/1.log", 3);
    scene.counted();
    rename(&scene, "pods/a", "away");
    scene.append("away/0.log", 2);
    scene.counted_events();
    rename(&scene, "away", "pods/a");
    scene.append("pods/a/0.log", 1);
    scene.append("pods/a/1.log", 1);
    scene.counted();
    // Under another name that the pattern has as well, running and stopped.
    rename(&scene, "pods/a", "pods/b");
    scene.append("pods/b/0.log", 2);
    scene.counted();
    scene.kill();
    rename(&scene, "pods/b", "pods/c");
    scene.append("pods/c/1.log", 2);
    scene.start();
    scene.counted();
}
