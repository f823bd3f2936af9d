//! Which logs a source has: patterns, directories, links, and what is not to be followed.

use std::fs;
use std::os::unix::fs::symlink;

use telltale_exporter::internals::FAULTS;

use super::common::eventually;
use super::live_rotation::Scene;

const UP: &str = "telltale_log_source_up{source=\"app\"}";

#[test]
fn logs_of_a_pattern_come_and_go_and_are_renamed() {
    let mut scene = Scene::new("*.log");
    fs::write(scene.path("old.log"), "event 0 happened before our time\n").unwrap();
    scene.start();
    // A new one is read from its start, whatever it is called afterwards.
    scene.append("new.log", 3);
    scene.counted();
    fs::rename(scene.path("new.log"), scene.path("renamed.log")).unwrap();
    scene.append("renamed.log", 2);
    scene.append("new.log", 2);
    scene.counted();
    // Two names of one file are one log.
    fs::hard_link(scene.path("new.log"), scene.path("same.log")).unwrap();
    scene.append("same.log", 2);
    scene.counted();
    // Neither rotated files nor compressed ones are logs.
    fs::copy(scene.path("new.log"), scene.path("new.log.1")).unwrap();
    fs::copy(scene.path("new.log"), scene.path("new-20261120.log")).unwrap();
    fs::copy(scene.path("new.log"), scene.path("other.log.gz")).unwrap();
    fs::remove_file(scene.path("old.log")).unwrap();
    scene.append("new.log", 1);
    scene.counted();
    // One that came while nobody looked is new as well.
    scene.kill();
    scene.append("late.log", 4);
    scene.start();
    scene.counted();
}

#[test]
fn a_directory_is_all_its_files() {
    let mut scene = Scene::new("");
    scene.append("one", 2);
    scene.start();
    scene.written = 0;
    scene.append("one", 2);
    scene.append("two.txt", 2);
    fs::create_dir(scene.path("below")).unwrap();
    fs::write(scene.path("below/three"), "event 1 happened\n").unwrap();
    fs::write(scene.path(".hidden"), "event 1 happened\n").unwrap();
    scene.counted();
}

#[test]
fn five_thousand_logs_are_one_thread() {
    let mut scene = Scene::new("*.log");
    for nth in 0..5000 {
        fs::write(scene.path(&format!("{nth}.log")), "event 0 happened before our time\n").unwrap();
    }
    scene.start();
    // The start waits for a slow machine only so long, and what is written before a log was seen is not new.
    eventually("it knows where each stands", || scene.scrape().get(UP) == Some(1.0));
    for nth in (0..5000).step_by(5) {
        scene.append(&format!("{nth}.log"), 1);
    }
    let scrape = scene.counted();
    assert_eq!(scrape.value(UP), 1.0);
    let pid = scene.exporter().pid();
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap());
    assert_eq!(threads.filter(|name| name == "log-app\n").count(), 1);
    // And with fewer descriptors than logs.
    scene.kill();
    let home = scene.home.path().to_owned();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -n 1024; exec \"$@\"", "sh"]);
    command.arg(super::common::exporter_command().get_program()).args(&scene.flags);
    command.arg("--web.listen-address=127.0.0.1:0");
    for nth in (0..5000).step_by(7) {
        scene.append(&format!("{nth}.log"), 1);
    }
    scene.exporter = Some(super::common::Exporter::run_in(&home, command));
    for nth in (0..5000).step_by(3) {
        scene.append(&format!("{nth}.log"), 1);
    }
    for nth in (0..5000).step_by(1000) {
        let name = format!("{nth}.log");
        fs::rename(scene.path(&name), scene.path(&format!("{name}.1"))).unwrap();
        scene.append(&name, 1);
    }
    assert_eq!(scene.counted().value(UP), 1.0);
}

#[test]
fn a_link_is_switched() {
    let mut scene = Scene::new("current");
    for name in ["a", "b"] {
        fs::write(scene.path(name), "").unwrap();
    }
    symlink("a", scene.path("current")).unwrap();
    scene.start();
    scene.append("a", 2);
    scene.counted();
    let switch = |scene: &Scene, to: &str| {
        symlink(to, scene.path("next")).unwrap();
        fs::rename(scene.path("next"), scene.path("current")).unwrap();
    };
    switch(&scene, "b");
    scene.append("b", 3);
    scene.counted();
    switch(&scene, "a");
    scene.append("a", 1);
    scene.append("b", 1);
    scene.counted();
}

#[test]
fn a_log_is_missing_for_long_and_comes() {
    let mut scene = Scene::new("log");
    scene.start();
    eventually("it is down", || scene.scrape().value(UP) == 0.0);
    scene.append("log", 3);
    scene.counted();
    fs::remove_file(scene.path("log")).unwrap();
    eventually("it is down again", || scene.scrape().value(UP) == 0.0);
    scene.append("log", 2);
    let scrape = scene.counted();
    assert_eq!(scrape.value(UP), 1.0);
    let recreated = "telltale_log_rotations_total{source=\"app\",method=\"recreated\"}";
    assert_eq!(scrape.value(recreated), 1.0);
}

#[test]
fn what_is_no_log_holds_nothing_up() {
    let mut scene = Scene::new("*");
    let fifo = std::process::Command::new("mkfifo").arg(scene.path("fifo")).status().unwrap();
    assert!(fifo.success());
    symlink("/etc/passwd", scene.path("link-out")).unwrap();
    symlink("/dev/zero", scene.path("device")).unwrap();
    symlink("nothing", scene.path("dangling")).unwrap();
    fs::write(scene.path("log"), "").unwrap();
    scene.start();
    scene.append("log", 3);
    let scrape = scene.counted();
    assert_eq!(scrape.value(UP), 1.0);
    let page = scene.exporter().get("/").text();
    assert!(
        page.contains("link-out: a link out of the directory of its pattern is not followed"),
        "{page}"
    );
    // Named by itself a FIFO is refused, and said.
    let mut scene = Scene::new("fifo");
    assert!(
        std::process::Command::new("mkfifo").arg(scene.path("fifo")).status().unwrap().success()
    );
    scene.start();
    assert_eq!(scene.scrape().value(UP), 0.0);
    assert!(scene.exporter().get("/").text().contains("not a regular file"));
}

#[test]
fn a_link_that_anybody_can_turn_is_told_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut scene = Scene::new("log");
    let open = tempfile::tempdir().unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(open.path().join("real"), "").unwrap();
    symlink(open.path().join("real"), scene.path("log")).unwrap();
    scene.start();
    assert!(scene.exporter().get("/").text().contains("everybody may write to"));
    scene.append("log", 2);
    scene.counted();
}

#[test]
fn a_source_that_is_taken_out_takes_nothing_from_the_sum() {
    let mut scene = Scene::new("one");
    scene.append("one", 0);
    scene.append("two", 0);
    let both = fs::read_to_string(scene.dir.path().join("telltale.yml")).unwrap();
    let second = format!(
        "    - {{name: other, files: ['{}'], format: plain}}\n",
        scene.path("two").display()
    );
    fs::write(scene.dir.path().join("telltale.yml"), both.clone() + &second).unwrap();
    scene.start();
    scene.append("two", 3);
    let events = "telltale_log_signature_matches_total{signature=\"event\",severity=\"info\",verdict=\"watch\"}";
    eventually("they are counted", || scene.scrape().value(events) == 3.0);
    scene.exporter.as_mut().unwrap().stop(rustix::process::Signal::TERM);
    fs::write(scene.dir.path().join("telltale.yml"), both).unwrap();
    scene.start();
    assert_eq!(scene.scrape().value(events), 3.0);
    scene.append("one", 2);
    eventually("the sum goes on", || scene.scrape().value(events) == 5.0);
}

#[test]
fn what_only_looks_like_a_rotated_file_is_a_log_of_its_own() {
    let mut scene = Scene::new("*.log");
    fs::write(scene.path("worker.log"), "").unwrap();
    scene.start();
    scene.append("worker-1.log", 3);
    scene.append("worker.log", 2);
    scene.counted();
    fs::rename(scene.path("worker.log"), scene.path("worker.log.1")).unwrap();
    scene.append("worker.log", 2);
    scene.append("worker-1.log", 1);
    scene.counted();
}

#[test]
fn two_names_of_one_file_are_one_log_from_the_start() {
    let mut scene = Scene::new("*.log");
    fs::write(scene.path("a.log"), "").unwrap();
    fs::hard_link(scene.path("a.log"), scene.path("b.log")).unwrap();
    symlink("a.log", scene.path("current.log")).unwrap();
    scene.start();
    scene.append("a.log", 3);
    scene.append("b.log", 2);
    scene.counted();
}

#[test]
fn a_followed_log_that_becomes_a_link_out_is_not_read() {
    let mut scene = Scene::new("*.log");
    fs::write(scene.path("a.log"), "").unwrap();
    scene.start();
    scene.append("a.log", 2);
    scene.counted();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("secret"), "event 99 happened\n").unwrap();
    fs::remove_file(scene.path("a.log")).unwrap();
    symlink(elsewhere.path().join("secret"), scene.path("a.log")).unwrap();
    eventually("it is told", || {
        scene.exporter().get("/").text().contains("a link out of the directory")
    });
    scene.counted_events();
}

#[test]
fn a_compressed_file_that_is_damaged_holds_nothing_up() {
    let mut scene = Scene::new("log");
    scene.append("log", 0);
    scene.start();
    scene.append("log", 3);
    scene.counted();
    scene.kill();
    fs::rename(scene.path("log"), scene.path("log.2")).unwrap();
    fs::write(scene.path("log.1.gz"), b"\x1f\x8b\x08\0\0\0\0\0\0\x03 and then nothing of gzip")
        .unwrap();
    scene.append("log", 2);
    scene.start();
    let lost = scene
        .counted()
        .value("telltale_log_lost_bytes_total{source=\"app\",reason=\"unreadable\"}");
    assert_eq!(lost, 35.0);
}

#[test]
fn a_backlog_keeps_neither_the_start_nor_the_other_logs_waiting() {
    let mut scene = Scene::new("*");
    scene.append("a", 0);
    scene.start();
    scene.kill();
    // More than is read of one log before the others have their turn; then its thread waits for us.
    let long = format!("happened {}\n", "x".repeat(240));
    let text = scene.events(16_000).replace("happened\n", &long);
    fs::write(scene.path("a"), text).unwrap();
    let faults = scene.dir.path().join("faults");
    let hold = faults.join("hold-log-app");
    fs::create_dir(&faults).unwrap();
    fs::write(&hold, "").unwrap();
    scene.starter = vec!["env".to_owned(), format!("{FAULTS}={}", faults.display())];
    scene.start();
    assert_eq!(scene.exporter().get("/-/healthy").status, 200);
    let lag = "telltale_log_lag_bytes{source=\"app\"}";
    eventually("it serves while there is more to read", || scene.scrape().value(lag) > 0.0);
    assert_eq!(scene.scrape().value(UP), 1.0);
    scene.append("b", 1);
    fs::remove_file(hold).unwrap();
    scene.counted();
}
