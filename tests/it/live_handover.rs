//! What is carried from one line of a log to the next goes with its file to the name that the file gets.

use std::fs;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;

use super::common::{Scrape, eventually};
use super::live_rotation::Scene;

impl Scene {
    /// With another format than plain lines.
    fn with_format(files: &str, format: &str) -> Self {
        let scene = Self::with(files, &format!("format: {format}"));
        let own = fs::read_to_string(scene.dir.path().join("event.yml")).unwrap();
        // Each event by its number.
        let own = own.replace("\\d+ happened'", "(?P<nth>\\d+) happened'");
        let own = own.replace("verdict: watch}", "verdict: watch, captures: [nth]}");
        fs::write(scene.dir.path().join("event.yml"), own).unwrap();
        scene
    }

    fn line(&self, name: &str, text: &str) {
        super::live_logs::append(&self.path(name), &format!("Nov 20 05:08:30 h {text}\n"));
    }

    /// The event of this number counted so often.
    fn event(&self, nth: u32, times: u32) {
        let series = format!(
            "telltale_log_signature_captures_total{{signature=\"event\",name=\"nth\",value=\"{nth}\"}}"
        );
        eventually(&format!("app: event {nth} counts {times} times"), || {
            let seen = self.scrape().get(&series).unwrap_or(0.0);
            assert!(seen <= f64::from(times), "{nth}: {seen}");
            seen == f64::from(times)
        });
    }

    fn lines(&self, lines: u32) {
        let series = "telltale_log_lines_total{source=\"app\"}";
        eventually(&format!("{lines} lines"), || {
            self.scrape().get(series) == Some(f64::from(lines))
        });
    }

    fn hands_over(&mut self, stopped: bool, change: impl FnOnce(&Self)) {
        if stopped {
            self.kill();
        }
        change(self);
        if stopped {
            self.start();
        }
    }
}

fn rename(scene: &Scene, from: &str, to: &str) {
    fs::rename(scene.path(from), scene.path(to)).unwrap();
}

#[test]
fn a_repetition_counts_for_the_line_before_it_under_the_next_name() {
    for stopped in [false, true] {
        let mut scene = Scene::with_format("app*.log", "syslog");
        scene.start();
        scene.line("app.log", "app: event 1 happened");
        scene.event(1, 1);
        scene.hands_over(stopped, |scene| {
            rename(scene, "app.log", "app-1.log");
            scene.line("app-1.log", "last message repeated 3 times");
            scene.line("app.log", "app: event 2 happened");
        });
        scene.event(2, 1);
        scene.event(1, 4);
        // On to a name that is followed already, and whose own file goes on as well.
        scene.hands_over(stopped, |scene| {
            rename(scene, "app-1.log", "app-2.log");
            rename(scene, "app.log", "app-1.log");
            scene.line("app-1.log", "last message repeated 5 times");
            scene.line("app-2.log", "last message repeated 2 times");
            // It has no line before.
            scene.line("app.log", "last message repeated 7 times");
        });
        scene.lines(6);
        scene.event(2, 6);
        scene.event(1, 6);
    }
}

#[test]
fn a_file_that_was_left_behind_takes_nothing_of_the_log_when_it_gets_a_followed_name() {
    let mut scene = Scene::with_format("app*.log", "syslog");
    scene.start();
    scene.line("app.log", "app: event 1 happened");
    scene.event(1, 1);
    rename(&scene, "app.log", "aside");
    scene.line("app.log", "app: event 2 happened");
    scene.event(2, 1);
    rename(&scene, "aside", "app-9.log");
    scene.line("app-9.log", "app: event 3 happened");
    scene.event(3, 1);
    scene.line("app.log", "last message repeated 3 times");
    scene.line("app-9.log", "last message repeated 5 times");
    for (nth, times) in [(1, 1), (2, 4), (3, 6)] {
        scene.event(nth, times);
    }
}

#[test]
fn a_repetition_counts_for_the_line_before_it_over_a_swap_and_a_ring() {
    for stopped in [false, true] {
        let mut scene = Scene::with_format("*.log", "syslog");
        let names = ["a.log", "b.log", "c.log"];
        for (nth, name) in (1..).zip(names) {
            scene.append(name, 0);
            scene.line(name, &format!("app: event {nth}0 happened"));
        }
        scene.start();
        for (nth, name) in (1..).zip(names) {
            scene.line(name, &format!("app: event {nth} happened"));
            scene.event(nth, 1);
        }
        scene.hands_over(stopped, |scene| {
            let (one, other) = (scene.path("a.log"), scene.path("b.log"));
            renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
            scene.line("a.log", "last message repeated 2 times");
            scene.line("b.log", "last message repeated 3 times");
        });
        for (nth, times) in [(1, 4), (2, 3), (3, 1)] {
            scene.event(nth, times);
        }
        // a has what b had, b what a had.
        scene.hands_over(stopped, |scene| {
            rename(scene, "c.log", "aside");
            rename(scene, "b.log", "c.log");
            rename(scene, "a.log", "b.log");
            rename(scene, "aside", "a.log");
            scene.line("a.log", "last message repeated 10 times");
            scene.line("b.log", "last message repeated 20 times");
            scene.line("c.log", "last message repeated 30 times");
        });
        for (nth, times) in [(1, 34), (2, 23), (3, 11)] {
            scene.event(nth, times);
        }
    }
}

/// Records of one event; the serial is the event's.
fn record(kind: &str, serial: u32, text: &str) -> String {
    format!("type={kind} msg=audit(1795151143.337:{serial}): {text}\n")
}

fn call(serial: u32) -> String {
    record(
        "SYSCALL",
        serial,
        "arch=c000003e syscall=62 success=yes exit=0 a0=1b8 a1=9 a2=0 a3=1b8 items=0 ppid=1 pid=430 \
         auid=1000 uid=1000 gid=1000 euid=1000 suid=1000 fsuid=1000 egid=1000 sgid=1000 fsgid=1000 tty=pts0 ses=1 \
         comm=\"bash\" exe=\"/usr/bin/bash\" subj=unconfined key=\"telltale_kill\"",
    )
}

fn target(serial: u32) -> String {
    let text = "opid=440 oauid=1000 ouid=1000 oses=1 obj=unconfined ocomm=\"sleep\"";
    record("OBJ_PID", serial, text)
}

fn title(serial: u32) -> String {
    record("PROCTITLE", serial, "proctitle=\"bash\"")
}

/// Value of a series that is there once something was counted for it.
fn value(scrape: &Scrape, series: &str) -> f64 {
    scrape.get(series).unwrap_or(0.0)
}

#[test]
fn an_audit_event_whose_records_come_under_two_names_is_one() {
    let mut scene = Scene::with_format("audit*.log", "audit");
    let append =
        |scene: &Scene, name: &str, text: &str| super::live_logs::append(&scene.path(name), text);
    scene.start();
    let mut round = 0;
    eventually("records came before their event was given up", || {
        let (before, began) = (scene.scrape(), Instant::now());
        let serial = 3 * round + 1;
        round += 1;
        // Open under both names, before and after the renames.
        append(&scene, "audit.log", &(call(serial) + &target(serial)));
        append(&scene, "audit-1.log", &call(serial + 1));
        scene.lines(9 * round - 6);
        rename(&scene, "audit-1.log", "audit-2.log");
        rename(&scene, "audit.log", "audit-1.log");
        append(&scene, "audit-1.log", &title(serial));
        append(&scene, "audit-2.log", &(target(serial + 1) + &title(serial + 1)));
        let last = serial + 2;
        append(&scene, "audit.log", &(call(last) + &target(last) + &title(last)));
        scene.lines(9 * round);
        // An event is given up after two seconds without a record.
        if began.elapsed() > Duration::from_millis(1500) {
            return false;
        }
        let after = scene.scrape();
        let more = |series: &str| value(&after, series) - value(&before, series);
        assert_eq!(
            more("telltale_log_lost_messages_total{source=\"app\",reason=\"unjoined\"}"),
            0.0
        );
        assert_eq!(more("telltale_audit_keyed_events_total{key=\"telltale_kill\"}"), 3.0);
        // Each with its target: of an event in two pieces one has none.
        let told = after.series().filter(|name| name.starts_with("telltale_audit_signals_total"));
        let told: Vec<_> = told.collect();
        assert!(told.iter().all(|name| name.contains("target=\"sleep\"")), "{told:?}");
        assert_eq!(told.iter().map(|name| more(name)).sum::<f64>(), 3.0);
        true
    });
}

/// The exporter is kept from reading for longer than an event waits for records.
#[test]
fn an_audit_event_whose_records_were_there_in_time_is_one_however_late_they_are_read() {
    let mut scene = Scene::with_format("audit.log", "audit");
    let append = |scene: &Scene, text: &str| {
        super::live_logs::append(&scene.path("audit.log"), text);
    };
    append(&scene, "");
    scene.start();
    let mut round = 0;
    eventually("it is held up before the event is given up", || {
        round += 1;
        let began = Instant::now();
        append(&scene, &(call(round) + &target(round)));
        scene.lines(3 * round - 1);
        scene.signal(Signal::STOP);
        let in_time = began.elapsed() < Duration::from_millis(1500);
        append(&scene, &title(round));
        std::thread::sleep(Duration::from_secs(3));
        scene.signal(Signal::CONT);
        scene.lines(3 * round);
        let unjoined = "telltale_log_lost_messages_total{source=\"app\",reason=\"unjoined\"}";
        assert!(!in_time || scene.scrape().value(unjoined) == 0.0);
        in_time
    });
}
