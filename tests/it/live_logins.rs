//! What a new login gets, by the exporter and by the real PAM: a session of `su` forks until it is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::common::{Exporter, Load, Need, eventually, exporter_command, load::load_command, need};
use super::live_users::ThrowAwayUser;

/// An exporter that sees these files in place of /etc/security/limits.d, as do the logins beside it.
struct Scene {
    exporter: Exporter,
    user: ThrowAwayUser,
    files: tempfile::TempDir,
}

impl Scene {
    fn new(limits: impl FnOnce(&ThrowAwayUser) -> String) -> Self {
        let user = ThrowAwayUser::new();
        let files = tempfile::tempdir().unwrap();
        let open = |path: &Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755));
        open(files.path()).unwrap();
        let limits_d = files.path().join("limits.d");
        std::fs::create_dir(&limits_d).unwrap();
        std::fs::write(limits_d.join("90-nproc.conf"), limits(&user)).unwrap();
        // Where the user can reach it.
        let load = files.path().join("load");
        std::fs::copy(load_command().get_program(), &load).unwrap();
        open(&load).unwrap();
        let script = "mount --bind \"$1\" /etc/security/limits.d && shift && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
        command.arg(&limits_d).arg(exporter_command().get_program());
        Self { exporter: Exporter::spawn(command), user, files }
    }

    /// Tasks of the user that PAM has not limited, as a daemon from boot, in a pid namespace of its own.
    fn daemon(&self, tasks: u32) -> Load {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).arg(load_command().get_program());
        let (uid, children) = (self.user.uid.to_string(), (tasks - 1).to_string());
        command.args(["--uid", &uid, "--nproc", "16384:16384", "fork", &children]);
        let load = Load::spawn(command);
        assert!(!load.refused);
        load
    }

    /// A login, whose session is refused after so many forks.
    fn login(&self) -> Output {
        let load = self.files.path().join("load");
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.exporter.pid().to_string(), "-m", "su", "-s", "/bin/sh"]);
        command.args([&self.user.name, "-c", &format!("exec {} fork 1000", load.display())]);
        command.stdin(std::process::Stdio::null()).output().unwrap()
    }

    fn room(&self) -> Option<f64> {
        let scrape = self.exporter.scrape();
        scrape.user("fork_headroom_tasks", self.user.uid, ",ceiling=\"login\"")
    }

    fn row(&self) -> String {
        let page = self.exporter.get("/").text();
        page.lines().find(|line| line.contains(&self.user.name)).unwrap().to_owned()
    }
}

fn tools() -> bool {
    need(&[
        Need::Root,
        Need::Tool("unshare"),
        Need::Tool("nsenter"),
        Need::Tool("su"),
        Need::Tool("useradd"),
    ])
}

#[test]
fn a_login_beside_a_daemon_that_pam_never_saw() {
    if !tools() {
        return;
    }
    // The line, the tasks that are there, and how many a session has.
    let cases = [
        ("* soft nproc 50", 40, 50),
        ("USER - nproc 60\n* soft nproc 7", 30, 60),
        ("@USER soft nproc 45\n* soft nproc 99", 41, 45),
        ("* hard nproc 33", 20, 33),
    ];
    for (text, tasks, limit) in cases {
        let scene = Scene::new(|user| text.replace("USER", &user.name) + "\n");
        let _daemon = scene.daemon(tasks);
        let scrape = scene.exporter.scrape();
        assert_eq!(
            scrape.user("login_tasks_limit", scene.user.uid, ""),
            Some(f64::from(limit)),
            "{text}"
        );
        let room = limit - tasks;
        assert_eq!(scene.room(), Some(f64::from(room)), "{text}");
        assert!(!scene.row().contains("a login fails"), "{}", scene.row());
        let session = scene.login();
        let said = String::from_utf8_lossy(&session.stdout).into_owned();
        // One of them is the session itself.
        assert_eq!(said, format!("{} EAGAIN\n", room - 1), "{text}: {session:?}");
    }
}

#[test]
fn a_login_that_fails_while_every_running_process_has_room() {
    if !tools() {
        return;
    }
    let scene = Scene::new(|_| "* soft nproc 50\n".to_owned());
    let _daemon = scene.daemon(55);
    assert_eq!(scene.room(), Some(0.0));
    let scrape = scene.exporter.scrape();
    let left = scrape.user("fork_headroom_tasks", scene.user.uid, ",ceiling=\"rlimit\"");
    assert_eq!(left, Some(f64::from(16384 - 55)), "they all can fork");
    let row = scene.row();
    let said = "a login fails: it may have 50 (/etc/security/limits.d/90-nproc.conf:1)";
    assert!(row.contains(said), "{row}");
    let session = scene.login();
    assert!(!session.status.success(), "{session:?}");
    assert!(!String::from_utf8_lossy(&session.stdout).contains("made"), "{session:?}");

    // The file is mended: nobody has to restart anything.
    let file = scene.files.path().join("limits.d/90-nproc.conf");
    std::fs::write(file, "* soft nproc 500\n").unwrap();
    eventually("a login has room", || scene.room() == Some(445.0));
    assert!(scene.login().status.success());
}
