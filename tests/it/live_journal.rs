//! What systemd-journald writes, followed live and compared with what `journalctl` reads.

use super::common::journald::{Follower, JOURNALD, Scene, assert_same, oracle};
use super::common::{Need, eventually, need};
use rustix::process::Signal;
use std::time::Duration;

fn text(path: &std::path::Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn every_entry_comes_once_over_flush_rotation_kill_and_restart() {
    if !need(&[Need::Root, Need::Tool(JOURNALD)]) {
        return;
    }
    let mut scene = Scene::new("Storage=persistent", None);
    let directories = scene.directories();
    let mut follower = Follower::new(&directories, true);
    scene.flushed("in run");
    follower.all();
    assert_eq!(follower.count("in run"), 1);
    scene.flushed("in run, not read before the flush");
    scene.signal(Signal::USR1);
    eventually("the flush", || directories[1].join("system.journal").exists());
    scene.flushed("in var");
    follower.all();
    let long = "a line that is long enough to be compressed, again and again; ".repeat(1700);
    for round in 0..12u32 {
        for number in 0..20 {
            scene.send(format!("{round} {number}").as_bytes());
            if number % 5 == 0 {
                scene.log_as(1234 + round % 2, &format!("of a user, {round} {number}"));
            }
            if number == 7 {
                follower.once(1000);
            }
        }
        scene.send(b"");
        scene.send(b"several\nlines\n\nof one message\n");
        scene.send(&[0, 255, b'\n', 0xc3, 0x28, 0]);
        scene.send(format!("{round} {long}").as_bytes());
        scene.flushed(&format!("end of {round}"));
        match round % 6 {
            0 => scene.signal(Signal::USR2),
            1 => {
                scene.stop(Signal::KILL);
                scene.start();
            }
            2 => follower.restart(),
            3 => {
                scene.stop(Signal::TERM);
                follower.once(5000);
                scene.start();
            }
            4 => {
                scene.signal(Signal::USR2);
                follower.restart();
            }
            _ => follower.all(),
        }
    }
    scene.flushed("the end");
    follower.all();
    assert_eq!(follower.lost, 0);
    assert_eq!(follower.count("in run, not read before the flush"), 1);
    assert_eq!(follower.reader.unreadable().count(), 0);
    let expected = oracle(&["-D", text(&directories[1])]);
    assert!(expected.iter().any(|seen| seen.message.len() == 64 * 1024));
    assert!(expected.iter().any(|seen| seen.message.is_empty()));
    assert_same(follower.seen, expected);
}

#[test]
fn a_first_start_begins_at_the_end() {
    if !need(&[Need::Root, Need::Tool(JOURNALD)]) {
        return;
    }
    let scene = Scene::new("Storage=persistent", None);
    scene.signal(Signal::USR1);
    scene.flushed("before");
    scene.log_as(1234, "of a user, before");
    scene.flushed("still before");
    let mut follower = Follower::new(&scene.directories(), false);
    follower.all();
    assert!(follower.seen.is_empty());
    scene.log_as(1234, "of a user, after");
    scene.log_as(1235, "of a new user");
    scene.flushed("after");
    follower.all();
    assert_eq!((follower.seen.len(), follower.lost), (3, 0));
}

#[test]
fn what_is_vacuumed_before_it_is_read_is_counted() {
    if !need(&[Need::Root, Need::Tool(JOURNALD)]) {
        return;
    }
    let scene = Scene::new("Storage=persistent", None);
    scene.signal(Signal::USR1);
    scene.flushed("first");
    let directories = scene.directories();
    let mut follower = Follower::new(&directories, false);
    scene.flushed("read");
    follower.all();
    let known = follower.seen.len();
    follower.restart();
    for number in 0..30 {
        scene.send(format!("{number}").as_bytes());
        if number % 3 == 0 {
            scene.log_as(1234, "of a user");
        }
    }
    scene.flushed("rotated");
    scene.signal(Signal::USR2);
    scene.flushed("in the next file");
    let archived: Vec<_> = std::fs::read_dir(&directories[1])
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| text(path).contains("/system@"))
        .collect();
    assert_eq!(archived.len(), 1);
    let all = oracle(&["-D", text(&directories[1])]);
    let read = all.iter().position(|seen| seen.message == b"read").unwrap();
    let unread =
        oracle(&["--file", text(&archived[0])]).iter().filter(|seen| **seen > all[read]).count();
    std::fs::remove_file(&archived[0]).unwrap();
    follower.all();
    assert!(unread >= 31);
    assert_eq!(follower.lost, unread as u64);
    assert_eq!(follower.seen.len() - known, all.len() - read - 1 - unread);
    // Deleted while it is open: nothing is lost.
    for number in 0..500 {
        scene.send(format!("held {number}").as_bytes());
    }
    scene.flushed("held");
    follower.once(1);
    scene.signal(Signal::USR2);
    scene.flushed("after held");
    for entry in std::fs::read_dir(&directories[1]).unwrap() {
        let path = entry.unwrap().path();
        if text(&path).contains('@') {
            std::fs::remove_file(path).unwrap();
        }
    }
    let lost = follower.lost;
    follower.all();
    assert_eq!((follower.count("held 499"), follower.count("after held")), (1, 1));
    assert_eq!(follower.lost, lost);
}

#[test]
fn a_namespace_of_journald_has_its_own_numbers() {
    if !need(&[Need::Root, Need::Tool(JOURNALD)]) {
        return;
    }
    let scene = Scene::new("Storage=persistent", Some("apart"));
    let directories = scene.directories();
    let mut follower = Follower::new(&directories, true);
    for round in 0..3 {
        scene.flushed(&format!("apart {round}"));
        follower.all();
        scene.signal(Signal::USR2);
        std::thread::sleep(Duration::from_millis(100));
    }
    scene.flushed("last");
    follower.all();
    let directory = directories.iter().find(|one| one.exists()).unwrap();
    assert_eq!(follower.lost, 0);
    assert_same(follower.seen, oracle(&["-D", text(directory)]));
}

/// What is written while it is read, as fast as it goes.
#[test]
fn nothing_is_missing_under_load() {
    if !need(&[Need::Root, Need::Tool(JOURNALD)]) {
        return;
    }
    let scene = Scene::new(
        "Storage=persistent\nSystemMaxFileSize=1M\nSystemMaxUse=600M\nSystemMaxFiles=10000",
        None,
    );
    scene.signal(Signal::USR1);
    scene.flushed("begin");
    let directories = scene.directories();
    let mut follower = Follower::new(&directories, true);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..20_000u32 {
                scene.send(format!("{number} {}", "x".repeat(number as usize % 300)).as_bytes());
                if number % 500 == 0 {
                    scene.log_as(1234, "of a user");
                }
            }
        });
        while !writer.is_finished() {
            follower.once(1 << 20);
        }
    });
    scene.flushed("end");
    follower.all();
    assert_eq!(follower.lost, 0);
    let files = std::fs::read_dir(&directories[1]).unwrap().count();
    assert!(files > 5, "{files} files");
    assert_same(follower.seen, oracle(&["-D", text(&directories[1])]));
}
