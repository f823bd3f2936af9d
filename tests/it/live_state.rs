//! The state directory: what is kept, what is refused, and what a bad disk does.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::common::{Exporter, Need, Scrape, eventually, exporter_command, need};
use super::live_rotation::Scene;

const ERRORS: &str = "telltale_state_write_errors_total";

#[test]
fn a_second_exporter_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let first = Exporter::start_in(home.path(), &[]);
    let output = exporter_command()
        .args(["--web.listen-address=127.0.0.1:0", "--path.state"])
        .arg(home.path().join("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.contains(&format!("another telltale_exporter (pid {}) uses it", first.pid())),
        "{said}"
    );
    assert_eq!(first.get("/-/healthy").status, 200);
    // One that is killed leaves nothing behind that keeps the next from starting.
    drop(first);
    assert_eq!(Exporter::start_in(home.path(), &[]).get("/-/healthy").status, 200);
}

#[test]
fn a_damaged_snapshot_is_set_aside_with_one_warning() {
    let mut scene = Scene::new("log");
    scene.append("log", 0);
    scene.start();
    scene.append("log", 3);
    scene.counted();
    scene.exporter.as_mut().unwrap().stop(Signal::TERM);
    let snapshot = scene.home.path().join("state/snapshot");
    let size = fs::metadata(&snapshot).unwrap().len();
    fs::write(&snapshot, vec![0xa5; usize::try_from(size).unwrap()]).unwrap();
    scene.start();
    scene.written = 0;
    scene.append("log", 2);
    scene.counted();
    let log = scene.exporter().log();
    assert_eq!(log.matches("level=warn").count(), 1, "{log}");
    assert!(log.contains("was set aside") && snapshot.with_extension("damaged").exists());
}

#[test]
fn nothing_is_written_when_nothing_changes_and_it_is_small() {
    let home = tempfile::tempdir().unwrap();
    let exporter = Exporter::start_in(home.path(), &[]);
    let snapshot = home.path().join("state/snapshot");
    let quiet = |exporter: &Exporter| {
        exporter.scrape();
        fs::metadata(&snapshot).unwrap().modified().unwrap()
    };
    // The machine's own logs may grow meanwhile: then once more.
    eventually("scrapes without a write", || {
        let before = quiet(&exporter);
        std::thread::sleep(Duration::from_millis(50));
        (0..5).all(|_| quiet(&exporter) == before)
    });
    assert!(fs::metadata(&snapshot).unwrap().len() < 64 * 1024);
}

/// An ext4 in a file, which can be frozen: every write to it hangs.
struct FrozenDisk {
    at: PathBuf,
    image: PathBuf,
}

impl FrozenDisk {
    fn mount(dir: &std::path::Path) -> Self {
        let disk = Self { at: dir.join("disk"), image: dir.join("image") };
        fs::create_dir(&disk.at).unwrap();
        fs::File::create(&disk.image).unwrap().set_len(16 << 20).unwrap();
        let run = |program: &str, words: &[&std::ffi::OsStr]| {
            let output = Command::new(program).args(words).output().unwrap();
            assert!(
                output.status.success(),
                "{program}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        run("mkfs.ext4", &["-q".as_ref(), disk.image.as_ref()]);
        run("mount", &["-o".as_ref(), "loop".as_ref(), disk.image.as_ref(), disk.at.as_ref()]);
        disk
    }

    fn freeze(&self, how: &str) -> bool {
        Command::new("fsfreeze").arg(how).arg(&self.at).status().unwrap().success()
    }
}

impl Drop for FrozenDisk {
    fn drop(&mut self) {
        // Already thawed is fine.
        let _ = Command::new("fsfreeze").arg("-u").arg(&self.at).stderr(Stdio::null()).status();
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

#[test]
fn a_hanging_disk_delays_one_scrape_by_a_second_and_its_snapshot_is_not_believed() {
    if !need(&[Need::Root, Need::Tool("fsfreeze"), Need::Tool("mkfs.ext4")]) {
        return;
    }
    let mut scene = Scene::new("log");
    let disk = FrozenDisk::mount(scene.dir.path());
    scene.flags.push(format!("--path.state={}", disk.at.join("state").display()));
    scene.append("log", 0);
    scene.start();
    scene.append("log", 100);
    scene.counted();

    assert!(disk.freeze("-f"));
    scene.append("log", 10);
    let lines = |scrape: &Scrape| scrape.value("telltale_log_lines_total{source=\"app\"}");
    eventually("what is read is shown", || lines(&scene.scrape()) == 110.0);
    let scrape = scene.scrape();
    assert!(scrape.value(ERRORS) >= 1.0);
    // Whoever waited again for a disk that does not answer would take a second each time.
    eventually("a scrape that has something to write does not wait again", || {
        scene.append("log", 1);
        let expected = f64::from(scene.written);
        eventually("the line is read", || lines(&scene.scrape()) == expected);
        scene.append("log", 1);
        let asked = Instant::now();
        let scrape = scene.scrape();
        scrape.value(ERRORS) > 1.0 && asked.elapsed() < Duration::from_millis(900)
    });
    assert!(scene.exporter().get("/").text().contains("the disk does not answer"));

    // Killed with its write in the kernel; the disk comes back only afterwards.
    let pid = rustix::process::Pid::from_raw(scene.exporter().pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(disk.freeze("-u"));
    drop(scene.exporter.take());
    scene.start();
    let lines = lines(&scene.scrape());
    assert!(lines < 100.0, "{lines}: values of an older snapshot came back");
    assert!(scene.exporter().log().contains("counters begin at 0"));
}

#[test]
fn values_of_a_disk_that_hangs_at_the_start_never_come_back() {
    if !need(&[Need::Root, Need::Tool("fsfreeze"), Need::Tool("mkfs.ext4")]) {
        return;
    }
    let mut scene = Scene::new("log");
    let disk = FrozenDisk::mount(scene.dir.path());
    scene.flags.push(format!("--path.state={}", disk.at.join("state").display()));
    let lines = |scene: &Scene| scene.scrape().value("telltale_log_lines_total{source=\"app\"}");
    scene.append("log", 0);
    scene.start();
    scene.append("log", 100);
    scene.counted();
    scene.exporter.as_mut().unwrap().stop(Signal::KILL);
    assert!(disk.freeze("-f"));
    scene.start();
    scene.append("log", 5);
    eventually("it counts without its state", || lines(&scene) == 5.0);
    let pid = rustix::process::Pid::from_raw(scene.exporter().pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    assert!(disk.freeze("-u"));
    drop(scene.exporter.take());
    scene.start();
    let now = lines(&scene);
    assert!(now <= 5.0, "{now}: the values from before came back");
}
