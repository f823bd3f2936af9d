//! Rotations that make others lose lines, each against the real binary: every line is counted once.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::common::{Exporter, Need, Scrape, eventually, exporter_command, need};

/// A signature of our own: what is counted are events, and they have numbers.
const SIGNATURE: &str = "- {id: event, title: An event, pattern: '^event \\d+ happened', severity: info, \
                         verdict: watch}\n";

/// A log with its writer, and an exporter that follows it.
pub struct Scene {
    pub dir: TempDir,
    pub home: TempDir,
    pub flags: Vec<String>,
    pub exporter: Option<Exporter>,
    /// What the exporter is started by.
    pub starter: Vec<String>,
    /// Events that were written.
    pub written: u32,
}

/// A series of this source.
fn of(name: &str, label: &str) -> String {
    let label = if label.is_empty() { String::new() } else { format!(",{label}") };
    format!("{name}{{source=\"app\"{label}}}")
}

impl Scene {
    /// Follows `log`, or what else the configuration names in the directory.
    pub fn new(files: &str) -> Self {
        Self::with(files, "format: plain")
    }

    /// The same with other keys of the source.
    pub fn with(files: &str, keys: &str) -> Self {
        let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("event.yml"), SIGNATURE).unwrap();
        let config = format!(
            "logs:\n  signatures: ['{0}/event.yml']\n  sources:\n    - {{name: app, files: ['{0}/logs/{files}'], \
             {keys}}}\n",
            dir.path().display()
        );
        fs::write(dir.path().join("telltale.yml"), config).unwrap();
        let flags = vec![format!("--config.file={}/telltale.yml", dir.path().display())];
        Self { dir, home, flags, exporter: None, starter: Vec::new(), written: 0 }
    }

    /// The same with an exporter that runs already, and a log of before its time.
    fn started() -> Self {
        let mut scene = Self::new("log");
        fs::write(scene.path("log"), "event 0 happened before our time\n").unwrap();
        scene.start();
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    pub fn start(&mut self) {
        let exporter = exporter_command();
        let mut words = self.starter.iter().map(OsStr::new).chain([exporter.get_program()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(&self.flags).arg("--web.listen-address=127.0.0.1:0");
        self.exporter = Some(Exporter::run_in(self.home.path(), command));
    }

    pub fn stop(&mut self) {
        self.exporter.as_mut().unwrap().stop(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_raw(self.exporter().pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.exporter.as_mut().unwrap().stop(Signal::KILL);
    }

    pub fn kill_and_start(&mut self) {
        self.kill();
        self.start();
    }

    pub fn exporter(&self) -> &Exporter {
        self.exporter.as_ref().unwrap()
    }

    /// The next events, as one piece of text.
    pub fn events(&mut self, count: u32) -> String {
        let first = self.written + 1;
        self.written += count;
        let lines: Vec<_> =
            (first..=self.written).map(|nth| format!("event {nth} happened\n")).collect();
        lines.concat()
    }

    pub fn append(&mut self, name: &str, count: u32) {
        let text = self.events(count);
        let mut file = OpenOptions::new().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub fn scrape(&self) -> Scrape {
        self.exporter().scrape_path("/metrics?collect[]=logs&collect[]=audit_events")
    }

    /// Everything was counted once: waits for it, and a little longer for what would be too much.
    pub fn counted(&self) -> Scrape {
        let expected = f64::from(self.written);
        let mut seen = 0.0;
        eventually(&format!("{expected} events are counted"), || {
            let scrape = self.scrape();
            seen = event_count(&scrape);
            assert!(seen <= expected, "{seen} of {expected} events");
            seen == expected
        });
        std::thread::sleep(std::time::Duration::from_millis(1200));
        let scrape = self.scrape();
        assert_eq!(event_count(&scrape), expected);
        assert_eq!(scrape.value(&of("telltale_log_lines_total", "")), expected);
        assert_eq!(scrape.value(&of("telltale_log_lag_bytes", "")), 0.0);
        scrape
    }

    /// As [`counted`](Self::counted), whatever the state of the source and of what is no event.
    pub fn counted_events(&self) {
        let expected = f64::from(self.written);
        eventually(&format!("{expected} events are counted"), || {
            event_count(&self.scrape()) == expected
        });
        std::thread::sleep(std::time::Duration::from_millis(1200));
        assert_eq!(event_count(&self.scrape()), expected);
    }

    fn counted_with(&self, rotations: &[(&str, f64)], lost: &[(&str, f64)]) {
        let scrape = self.counted();
        for method in ["rename", "copytruncate", "truncated", "recreated"] {
            let series = of("telltale_log_rotations_total", &format!("method=\"{method}\""));
            let expected =
                rotations.iter().find(|(name, _)| *name == method).map_or(0.0, |(_, times)| *times);
            assert_eq!(scrape.value(&series), expected, "{method}");
        }
        for reason in ["cut", "hole", "truncated", "gone"] {
            let series = of("telltale_log_lost_bytes_total", &format!("reason=\"{reason}\""));
            let expected =
                lost.iter().find(|(name, _)| *name == reason).map_or(0.0, |(_, bytes)| *bytes);
            assert_eq!(scrape.value(&series), expected, "{reason}");
        }
    }
}

/// Until a log was read there is no count.
fn event_count(scrape: &Scrape) -> f64 {
    scrape
        .get("telltale_log_signature_matches_total{signature=\"event\",severity=\"info\",verdict=\"watch\"}")
        .unwrap_or(0.0)
}

fn gzip(path: &Path) {
    assert!(Command::new("gzip").arg(path).status().unwrap().success());
}

fn truncate(path: &Path) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
}

#[test]
fn a_writer_keeps_the_renamed_file_for_seconds() {
    let mut scene = Scene::started();
    let mut writer = OpenOptions::new().append(true).open(scene.path("log")).unwrap();
    scene.append("log", 3);
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    scene.append("log", 2);
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(700));
        let text = scene.events(1);
        writer.write_all(text.as_bytes()).unwrap();
        scene.append("log", 1);
    }
    scene.counted_with(&[("rename", 1.0)], &[]);
}

#[test]
fn copytruncate_regrown_beyond_the_old_position_between_two_looks() {
    let mut scene = Scene::started();
    scene.append("log", 5);
    scene.counted();
    scene.signal(Signal::STOP);
    scene.append("log", 5);
    fs::copy(scene.path("log"), scene.path("log.1")).unwrap();
    truncate(&scene.path("log"));
    scene.append("log", 100);
    scene.signal(Signal::CONT);
    scene.counted_with(&[("copytruncate", 1.0)], &[]);
}

#[test]
fn renamed_compressed_and_unlinked_at_once() {
    let mut scene = Scene::started();
    scene.append("log", 5);
    scene.counted();
    for _ in 0..2 {
        scene.signal(Signal::STOP);
        scene.append("log", 5);
        let _ = fs::rename(scene.path("log.1.gz"), scene.path("log.2.gz"));
        fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
        scene.append("log", 5);
        gzip(&scene.path("log.1"));
        scene.signal(Signal::CONT);
        scene.counted();
    }
    scene.counted_with(&[("rename", 2.0)], &[]);
}

#[test]
fn the_inode_is_given_to_the_new_file() {
    let mut scene = Scene::started();
    scene.append("log", 5);
    scene.counted();
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let before = inode(&scene.path("log"));
    // While the exporter is away, for an open file keeps its inode.
    scene.kill();
    scene.append("log", 5);
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    gzip(&scene.path("log.1"));
    let mut spares = Vec::new();
    for nth in 0..2000 {
        let path = scene.path(&format!("spare{nth}"));
        File::create(&path).unwrap();
        let found = inode(&path) == before;
        spares.push(path);
        if found {
            fs::rename(spares.pop().unwrap(), scene.path("log")).unwrap();
            break;
        }
    }
    for path in spares {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(inode(&scene.path("log")), before, "this filesystem does not give inodes out again");
    scene.append("log", 100);
    scene.start();
    scene.counted_with(&[("rename", 1.0)], &[]);
}

#[test]
fn a_new_file_cannot_be_read_for_a_second() {
    if !need(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let mut scene = Scene::new("log");
    scene.append("log", 0);
    let home = tempfile::tempdir().unwrap();
    for path in [home.path(), &scene.path("log"), &scene.path("")] {
        std::os::unix::fs::chown(path, Some(61001), Some(61001)).unwrap();
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=61001", "--regid=61001", "--clear-groups"]);
    command.arg(exporter_command().get_program()).args(&scene.flags);
    command.arg("--web.listen-address=127.0.0.1:0");
    scene.exporter = Some(Exporter::run_in(home.path(), command));
    scene.append("log", 5);
    scene.counted();
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    scene.append("log", 5);
    fs::set_permissions(scene.path("log"), Permissions::from_mode(0o600)).unwrap();
    let up = of("telltale_log_source_up", "");
    eventually("the source is down", || scene.scrape().value(&up) == 0.0);
    assert!(scene.exporter().get("/").text().contains("denied"));
    scene.append("log", 5);
    fs::set_permissions(scene.path("log"), Permissions::from_mode(0o644)).unwrap();
    scene.counted_with(&[("rename", 1.0)], &[]);
    assert_eq!(scene.scrape().value(&up), 1.0);
}

#[test]
fn two_logs_begin_with_the_same_kilobyte() {
    let mut scene = Scene::new("*.log");
    let head = "x".repeat(1100) + "\n";
    for name in ["one.log", "two.log"] {
        fs::write(scene.path(name), &head).unwrap();
    }
    scene.start();
    scene.append("one.log", 5);
    scene.append("two.log", 7);
    scene.counted();
    scene.kill();
    // Everything has another name, and the same head.
    for name in ["one", "two"] {
        scene.append(&format!("{name}.log"), 3);
        fs::rename(scene.path(&format!("{name}.log")), scene.path(&format!("{name}.log.1")))
            .unwrap();
        scene.append(&format!("{name}.log"), 4);
    }
    gzip(&scene.path("one.log.1"));
    scene.start();
    scene.counted_with(&[("rename", 2.0)], &[]);
}

#[test]
fn killed_at_each_step_of_a_rotation() {
    let mut scene = Scene::started();
    let mut last = 0.0;
    let mut step = |scene: &mut Scene, what: &dyn Fn(&mut Scene)| {
        what(scene);
        scene.append("log", 2);
        scene.kill_and_start();
        let seen = event_count(&scene.counted());
        assert!(seen >= last);
        last = seen;
        // And once more after more than was ever shown.
        scene.append("log", 1);
        scene.kill_and_start();
    };
    for _ in 0..2 {
        step(&mut scene, &|_| ());
        step(&mut scene, &|scene| {
            let _ = fs::rename(scene.path("log.1.gz"), scene.path("log.2.gz"));
            fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
        });
        step(&mut scene, &|scene| gzip(&scene.path("log.1")));
        step(&mut scene, &|scene| {
            fs::rename(scene.path("log.1.gz"), scene.path("log.2.gz")).unwrap();
            fs::copy(scene.path("log"), scene.path("log.1")).unwrap();
            truncate(&scene.path("log"));
        });
        step(&mut scene, &|scene| gzip(&scene.path("log.1")));
    }
    scene.counted_with(&[("rename", 2.0), ("copytruncate", 2.0)], &[]);
}

#[test]
fn the_last_line_is_unfinished_over_rotation_and_kill() {
    let mut scene = Scene::started();
    let mut writer = OpenOptions::new().append(true).open(scene.path("log")).unwrap();
    scene.append("log", 2);
    scene.counted();
    let text = scene.events(1);
    let (start, end) = text.split_at(7);
    writer.write_all(start.as_bytes()).unwrap();
    scene.kill_and_start();
    fs::rename(scene.path("log"), scene.path("log.1")).unwrap();
    scene.append("log", 2);
    scene.kill_and_start();
    writer.write_all(end.as_bytes()).unwrap();
    scene.counted();
    // With copytruncate the writer goes on in the same file.
    let mut writer = OpenOptions::new().append(true).open(scene.path("log")).unwrap();
    let text = scene.events(1);
    let (start, end) = text.split_at(7);
    writer.write_all(start.as_bytes()).unwrap();
    fs::rename(scene.path("log.1"), scene.path("log.2")).unwrap();
    fs::copy(scene.path("log"), scene.path("log.1")).unwrap();
    truncate(&scene.path("log"));
    scene.kill_and_start();
    writer.write_all(end.as_bytes()).unwrap();
    scene.counted_with(&[("rename", 1.0), ("copytruncate", 1.0)], &[]);
}

#[test]
fn a_writer_without_append_leaves_a_hole() {
    let mut scene = Scene::started();
    scene.append("log", 50);
    scene.counted();
    let writer = OpenOptions::new().write(true).open(scene.path("log")).unwrap();
    let position = writer.metadata().unwrap().len();
    fs::copy(scene.path("log"), scene.path("log.1")).unwrap();
    truncate(&scene.path("log"));
    let text = scene.events(3);
    writer.write_all_at(text.as_bytes(), position).unwrap();
    scene.counted_with(&[("copytruncate", 1.0)], &[("hole", position as f64)]);
}

/// A filesystem of its own, small enough to be filled.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Self {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "telltale"])
            .arg(at)
            .status();
        assert!(mounted.unwrap().success());
        Self(at.to_owned())
    }

    /// Leaves no byte.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut filler = File::create(&path).unwrap();
        let mut piece = 65536;
        while piece > 0 {
            if filler.write_all(&vec![0; piece]).is_err() {
                piece /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn the_disk_of_the_log_is_full_in_the_middle_of_a_line() {
    if !need(&[Need::Root]) {
        return;
    }
    let mut scene = Scene::new("log");
    let disk = SmallDisk::mount(&scene.path(""), "256k");
    scene.append("log", 3);
    scene.start();
    scene.written = 0;
    scene.append("log", 3);
    scene.counted();
    let filler = disk.fill();
    let mut writer = OpenOptions::new().append(true).open(scene.path("log")).unwrap();
    // The writer gets as far as the page goes.
    let text = scene.events(1000);
    let mut rest = text.as_bytes();
    while let Ok(count @ 1..) = writer.write(rest) {
        rest = &rest[count..];
    }
    assert!(!rest.is_empty() && !rest.starts_with(b"event"), "no line was torn");
    scene.kill_and_start();
    std::thread::sleep(std::time::Duration::from_millis(700));
    fs::remove_file(filler).unwrap();
    writer.write_all(rest).unwrap();
    scene.counted_with(&[], &[]);
}

#[test]
fn the_disk_of_the_state_is_full() {
    if !need(&[Need::Root]) {
        return;
    }
    let mut scene = Scene::started();
    let disk = SmallDisk::mount(&scene.home.path().join("small"), "256k");
    scene.flags.push(format!("--path.state={}", disk.0.display()));
    scene.kill_and_start();
    scene.append("log", 3);
    scene.counted();
    // What is there is overwritten in place: nothing is lost.
    let filler = disk.fill();
    scene.append("log", 3);
    let scrape = scene.counted();
    assert_eq!(scrape.value("telltale_state_write_errors_total"), 0.0);
    scene.kill_and_start();
    scene.append("log", 3);
    scene.counted();
    // A disk that is full from the start.
    scene.kill();
    fs::remove_file(disk.0.join("snapshot")).unwrap();
    fs::remove_file(filler).unwrap();
    disk.fill();
    scene.start();
    scene.written = 0;
    scene.append("log", 3);
    let scrape = scene.counted();
    assert!(scrape.value("telltale_state_write_errors_total") >= 1.0);
    assert!(scene.exporter().get("/").text().contains("the state cannot be written"));
    scene.kill_and_start();
    scene.written = 0;
    scene.append("log", 2);
    scene.counted();
}
