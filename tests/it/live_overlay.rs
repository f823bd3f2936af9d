//! A log on overlayfs, as in a container, which is copied up when it is first written: device and inode stay.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::common::daemon::Daemon;
use super::common::{Need, eventually, need};
use super::live_rotation::Scene;

/// A scene whose logs lie on an overlayfs in a mount namespace of its own. The lower directory has `log` and `small`.
struct Overlay {
    scene: Scene,
    /// Keeps the namespace.
    holder: Daemon,
}

/// Lower, upper and work directory are not those of the machine's temporary directory, which may be an overlayfs itself.
const MOUNT: &str = "mount -t tmpfs telltale \"$1\" && cd \"$1\" && mkdir lower upper work && \
    cp \"$2\"/* lower && mount -t overlay telltale -o lowerdir=lower,upperdir=upper,workdir=work \"$2\" && \
    touch \"$3\" && exec sleep infinity";

impl Overlay {
    fn new(files: &str, lines: u32) -> Option<Self> {
        if !need(&[Need::Root, Need::Tool("unshare"), Need::Tool("nsenter")]) {
            return None;
        }
        let mut scene = Scene::new(files);
        scene.append("log", lines);
        scene.append("other", lines);
        scene.written = 0;
        let (layers, mounted) = (scene.dir.path().join("layers"), scene.dir.path().join("mounted"));
        fs::create_dir(&layers).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", MOUNT, "sh"]);
        command.arg(layers).arg(scene.path("")).arg(&mounted).stdin(Stdio::null());
        let holder = Daemon::start(&mut command);
        eventually("overlayfs is mounted", || mounted.exists());
        let pid = holder.pid().to_string();
        scene.starter = ["nsenter", "--mount", "--target", &pid].map(str::to_owned).to_vec();
        Some(Self { scene, holder })
    }

    /// A path as the namespace has it.
    fn path(&self, name: &str) -> PathBuf {
        let path = self.scene.path(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        root.join(path.strip_prefix("/").unwrap())
    }

    fn append(&mut self, name: &str, count: u32) {
        let text = self.scene.events(count);
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn is_copied_up(&self, name: &str) -> bool {
        let layers = self.scene.dir.path().join("layers/upper").join(name);
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        root.join(layers.strip_prefix("/").unwrap()).exists()
    }
}

/// Below and above what tells a file from every other one.
const SIZES: [u32; 2] = [3, 40];

#[test]
fn a_log_is_copied_up_while_it_is_followed() {
    for lines in SIZES {
        let Some(mut overlay) = Overlay::new("log", lines) else { return };
        overlay.scene.start();
        assert!(!overlay.is_copied_up("log"));
        for round in 1..4 {
            overlay.append("log", round);
            assert!(overlay.is_copied_up("log"));
            overlay.scene.counted();
        }
        // What follows is as anywhere.
        fs::rename(overlay.path("log"), overlay.path("log.1")).unwrap();
        overlay.append("log.1", 1);
        overlay.append("log", 2);
        overlay.scene.counted();
        overlay.scene.kill();
        overlay.append("log", 2);
        overlay.scene.start();
        overlay.scene.counted();
    }
}

#[test]
fn a_log_is_copied_up_while_nobody_looks() {
    for lines in SIZES {
        let Some(mut overlay) = Overlay::new("*", lines) else { return };
        overlay.scene.start();
        overlay.scene.counted_events();
        overlay.scene.kill();
        overlay.append("log", 3);
        overlay.scene.start();
        overlay.scene.counted();
        // Another one of the pattern, and both together.
        overlay.append("other", 2);
        overlay.append("log", 1);
        overlay.scene.counted();
    }
}

#[test]
fn a_log_of_the_lower_directory_is_rotated() {
    for (lines, stopped) in SIZES.into_iter().flat_map(|lines| [(lines, false), (lines, true)]) {
        let Some(mut overlay) = Overlay::new("log", lines) else { return };
        overlay.scene.start();
        overlay.scene.counted_events();
        if stopped {
            overlay.scene.kill();
        }
        // To rename it copies it up.
        fs::rename(overlay.path("log"), overlay.path("log.1")).unwrap();
        assert!(overlay.is_copied_up("log.1"));
        overlay.append("log.1", 2);
        overlay.append("log", 3);
        if stopped {
            overlay.scene.start();
        }
        overlay.scene.counted();
    }
}
