//! The state directory: what is kept, what is refused, and what a bad disk does.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::common::{Exporter, Need, eventually, exporter_command, need};
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

/// What the machine forgets when it starts anew.
fn reboot(scene: &Scene) {
    fs::remove_dir_all(scene.home.path().join("run")).unwrap();
}

fn warnings(scene: &Scene) -> usize {
    scene.exporter().log().matches("level=warn").count()
}

#[test]
fn damaged_files_are_told_of_once_each_and_cost_what_they_held() {
    let mut scene = Scene::new("log");
    scene.append("log", 0);
    scene.start();
    scene.append("log", 3);
    scene.counted();
    scene.exporter.as_mut().unwrap().stop(Signal::TERM);
    let positions = scene.home.path().join("state/positions");
    let damage = |path: &std::path::Path| {
        let size = fs::metadata(path).unwrap().len();
        fs::write(path, vec![0xa5; usize::try_from(size).unwrap()]).unwrap();
    };
    // What was shown holds all that the positions do.
    damage(&positions);
    scene.append("log", 1);
    scene.start();
    scene.append("log", 2);
    scene.counted();
    assert_eq!(warnings(&scene), 1, "{}", scene.exporter().log());
    assert!(scene.exporter().log().contains("was set aside"));
    assert!(positions.with_extension("damaged").exists());
    // Without what was shown the positions hold, and counters begin at 0.
    scene.exporter.as_mut().unwrap().stop(Signal::TERM);
    let shown = fs::read_dir(scene.home.path().join("run")).unwrap().flatten();
    shown
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains("shown"))
        .for_each(|path| damage(&path));
    scene.append("log", 2);
    scene.start();
    scene.written = 2;
    scene.counted();
    assert!(scene.exporter().log().contains("counters begin at 0"));
    // Without either, logs are followed from their end.
    scene.exporter.as_mut().unwrap().stop(Signal::TERM);
    damage(&positions);
    reboot(&scene);
    scene.append("log", 5);
    scene.start();
    scene.written = 0;
    scene.append("log", 2);
    scene.counted();
}

/// What was read and shown before a reboot does not count again, and what was written meanwhile counts once.
#[test]
fn a_clean_reboot_counts_nothing_twice() {
    let mut scene = Scene::new("log");
    scene.append("log", 0);
    scene.start();
    for round in 1..=3 {
        scene.append("log", 3 * round);
        scene.counted();
        // Not shown to anybody before the end: it counts after it.
        scene.append("log", 1);
        scene.exporter.as_mut().unwrap().stop(Signal::TERM);
        reboot(&scene);
        scene.append("log", 2);
        scene.start();
        scene.written = 3;
        scene.counted();
    }
}

#[test]
fn nothing_is_written_when_nothing_changes_and_it_is_small() {
    let home = tempfile::tempdir().unwrap();
    let exporter = Exporter::start_in(home.path(), &[]);
    let positions = home.path().join("state/positions");
    let files = |directory: &str| fs::read_dir(home.path().join(directory)).unwrap().flatten();
    let shown = || {
        let mut shown = files("run").map(|entry| entry.path());
        shown.find(|path| path.to_string_lossy().contains("shown")).unwrap()
    };
    let quiet = |exporter: &Exporter| {
        exporter.scrape();
        [positions.clone(), shown()].map(|path| fs::metadata(path).unwrap().modified().unwrap())
    };
    // The machine's own logs may grow meanwhile: then once more.
    eventually("scrapes without a write", || {
        let before = quiet(&exporter);
        std::thread::sleep(Duration::from_millis(50));
        (0..5).all(|_| quiet(&exporter) == before)
    });
    assert!(fs::metadata(&positions).unwrap().len() < 64 * 1024);
    assert!(fs::metadata(shown()).unwrap().len() < 64 * 1024);
}

/// An ext4 in a file, which can be frozen: every write to it hangs.
pub struct FrozenDisk {
    at: PathBuf,
    image: PathBuf,
}

impl FrozenDisk {
    fn mount(dir: &std::path::Path) -> Self {
        fs::create_dir(dir.join("disk")).unwrap();
        Self::mount_at(dir.join("disk"), dir.join("image"))
    }

    /// At a directory that is there, in an image that is made.
    pub fn mount_at(at: PathBuf, image: PathBuf) -> Self {
        let disk = Self { at, image };
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
fn a_disk_that_hangs_delays_no_scrape_and_costs_no_count() {
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
    // Whoever waited for the disk would wait for ever.
    for _ in 0..3 {
        scene.append("log", 10);
        scene.counted();
    }
    eventually("it is told", || {
        scene.append("log", 1);
        scene.counted();
        scene.exporter().get("/").text().contains("the disk does not answer")
    });
    eventually("it is counted", || {
        scene.append("log", 1);
        scene.counted().value(ERRORS) >= 1.0
    });

    // Killed with its write in the kernel; the disk comes back only afterwards.
    let kill = |scene: &Scene| {
        let pid = rustix::process::Pid::from_raw(scene.exporter().pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
    };
    kill(&scene);
    std::thread::sleep(Duration::from_millis(300));
    assert!(disk.freeze("-u"));
    drop(scene.exporter.take());
    scene.append("log", 5);
    scene.start();
    scene.counted();

    // A start while it hangs.
    scene.exporter.as_mut().unwrap().stop(Signal::KILL);
    assert!(disk.freeze("-f"));
    scene.append("log", 5);
    scene.start();
    scene.append("log", 5);
    scene.counted();
    assert!(scene.exporter().get("/").text().contains("it did not answer within 5 s"));
    kill(&scene);
    assert!(disk.freeze("-u"));
    drop(scene.exporter.take());
    scene.start();
    scene.append("log", 5);
    scene.counted();
}
