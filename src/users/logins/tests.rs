use super::*;

/// A host of files.
struct Files(tempfile::TempDir);

const LIMITS: &str =
    "Max processes             SOFT                 HARD                 processes \n";

impl Files {
    /// PAM as Debian has it, and process 1 with a limit of 8000.
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.file("etc/passwd", "root:x:0:0::/:\nbob:x:1000:1000::/:\nann:x:1001:1001::/:\n");
        files.file("etc/group", "bob:x:1000:\nstaff:x:50:ann\n");
        files.limits(1, "8000");
        files
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn limits(&self, pid: u32, soft: &str) {
        let text = LIMITS.replace("SOFT", soft).replace("HARD", "unlimited");
        self.file(&format!("proc/{pid}/limits"), &text);
    }

    /// The outlook of bob, with 10 tasks, beside these processes of root.
    fn bob(&self, daemons: &[(u32, &str)]) -> Result<Login, String> {
        self.of(1000, "bob", 10, daemons)
    }

    fn of(
        &self,
        uid: u32,
        name: &str,
        tasks: u64,
        daemons: &[(u32, &str)],
    ) -> Result<Login, String> {
        let daemon = |&(pid, command): &(u32, &str)| {
            let process = Process {
                command: command.as_bytes().into(),
                real_uid: 0,
                ..Process::in_cgroup("")
            };
            (pid, process)
        };
        let table = daemons.iter().map(daemon).collect();
        let procfs = self.0.path().join("proc");
        let hierarchy = Hierarchy::find(&self.0.path().join("sys"));
        let host = Host {
            rootfs: self.0.path(),
            procfs: &procfs,
            table: &table,
            hierarchy: hierarchy.as_ref(),
            slices_unseen: false,
        };
        let mut outlook = host.outlook(&[(uid, name, tasks)]);
        outlook.logins.remove(&uid).ok_or_else(|| outlook.warnings.join("\n"))
    }
}

fn told(login: &Login) -> (Limit, &str) {
    (login.limit, &*login.from)
}

#[test]
fn the_file_decides_and_is_named_with_its_line() {
    let files = Files::new();
    files.file("etc/pam.d/sshd", "@include common-session\nsession required pam_limits.so\n");
    files.file("etc/security/limits.conf", "# none\n* soft nproc 4096\n");
    files.file("etc/security/limits.d/90-nproc.conf", "* soft nproc 1024\n");
    files.file("etc/security/limits.d/95-bob.conf.off", "* soft nproc 1\n");
    let login = files.bob(&[]).unwrap();
    assert_eq!(told(&login), (Limit::Tasks(1024), "/etc/security/limits.d/90-nproc.conf:1"));
    assert_eq!((login.room, login.fails()), (Limit::Tasks(1014), false));
    assert!(files.of(1000, "bob", 1023, &[]).unwrap().fails(), "one is left, a shell needs two");
    assert!(!files.of(1000, "bob", 1022, &[]).unwrap().fails());
    let managed = files.of(1000, "bob", 1021, &[(1, "systemd")]).unwrap();
    assert!(managed.fails() && managed.needs == 4, "its first manager needs two more");
    // Uid 0 is exempt from any.
    assert_eq!(files.of(0, "root", 99_999, &[]).unwrap().room, Limit::Unlimited);
    // Nobody logs in who has no account.
    assert!(files.of(4711, "4711", 1, &[]).is_err());
}

#[test]
fn where_no_line_applies_the_daemon_hands_on_its_own() {
    let files = Files::new();
    assert_eq!(told(&files.bob(&[]).unwrap()), (Limit::Tasks(8000), "handed on by process 1"));
    // A service that does not call pam_limits at all, whatever the files say.
    files.file("etc/pam.d/sshd", "session required pam_unix.so\n");
    files.file("etc/pam.d/cron", "session required pam_limits.so\n");
    files.file("etc/security/limits.conf", "bob - nproc 300\n");
    files.limits(70, "unlimited");
    files.limits(9, "500");
    // 70 is a session's; the listener came first.
    let daemons = [(70, "sshd"), (9, "sshd")];
    let login = files.bob(&daemons).unwrap();
    assert_eq!(told(&login), (Limit::Tasks(500), "handed on by sshd, pid 9"));
    let cron = ("cron".to_owned(), Limit::Tasks(300), "/etc/security/limits.conf:1".to_owned());
    assert_eq!(login.others, [cron], "it differs, and is told");
}

#[test]
fn includes_links_conf_and_set_all() {
    let files = Files::new();
    files.limits(1, "777");
    files.limits(9, "500");
    // Red Hat's, with the link of authselect.
    files.file("etc/pam.d/sshd", "session include password-auth\n");
    files.file(
        "etc/authselect/password-auth",
        "session required pam_limits.so conf=/etc/app.conf set_all\n",
    );
    let link = files.0.path().join("etc/pam.d/password-auth");
    std::os::unix::fs::symlink("/etc/authselect/password-auth", link).unwrap();
    files.file("etc/security/limits.conf", "* soft nproc 1\n");
    files.file("etc/security/limits.d/1.conf", "* soft nproc 2\n");
    files.file("etc/app.conf", "ann soft nproc 60\n");
    let ann = files.of(1001, "ann", 1, &[(9, "sshd")]).unwrap();
    assert_eq!(told(&ann), (Limit::Tasks(60), "/etc/app.conf:1"), "in place of all others");
    let bob = files.bob(&[(9, "sshd")]).unwrap();
    assert_eq!(bob.limit, Limit::Tasks(777), "not sshd's, but that of process 1");
    // A file that includes itself ends.
    files.file("etc/pam.d/sshd", "@include sshd\n");
    assert_eq!(files.bob(&[(9, "sshd")]).unwrap().limit, Limit::Tasks(500));
}

#[test]
fn a_vendors_files_count_until_etc_has_the_same() {
    let files = Files::new();
    files.file("usr/lib/pam.d/login", "session required pam_limits.so\n");
    files.file("usr/etc/security/limits.conf", "* soft nproc 11\n");
    assert_eq!(files.bob(&[]).unwrap().from, "/usr/etc/security/limits.conf:1");
    files.file("usr/etc/security/limits.d/50-a.conf", "* soft nproc 12\n");
    assert_eq!(files.bob(&[]).unwrap().from, "/usr/etc/security/limits.d/50-a.conf:1");
    files.file("etc/security/limits.d/50-a.conf", "");
    files.file("etc/security/limits.conf", "* soft nproc 13\n");
    assert_eq!(files.bob(&[]).unwrap().from, "/etc/security/limits.conf:1");
}

#[test]
fn the_slice_of_the_user_may_be_tighter() {
    let files = Files::new();
    files.file("sys/fs/cgroup/cgroup.controllers", "pids");
    assert_eq!(files.bob(&[]).unwrap().limit, Limit::Tasks(8000), "no session, no slice");
    let slice = "sys/fs/cgroup/user.slice/user-1000.slice";
    files.file(&format!("{slice}/pids.max"), "40\n");
    files.file(&format!("{slice}/pids.current"), "39\n");
    let login = files.bob(&[]).unwrap();
    assert_eq!(told(&login), (Limit::Tasks(40), "pids.max of /user.slice/user-1000.slice"));
    assert!(login.room == Limit::Tasks(1) && login.fails());
    // Root's binds root.
    let slice = slice.replace("1000", "0");
    files.file(&format!("{slice}/pids.max"), "9\n");
    files.file(&format!("{slice}/pids.current"), "9\n");
    assert!(files.of(0, "root", 1, &[]).unwrap().fails());
}

#[test]
fn what_cannot_be_read_or_told_is_absent_with_the_reason() {
    let files = Files::new();
    files.file("etc/pam.d/login", "session required pam_limits.so\n");
    files.file("etc/security/limits.conf", "@staff soft nproc 5\n");
    // A group of an account that only the name service knows.
    let why = files.of(5000, "ldapuser", 1, &[]).unwrap_err();
    assert!(why.contains("ldapuser") && why.contains("/etc/security/limits.conf:1"), "{why}");
    assert_eq!(files.of(1001, "ann", 1, &[]).unwrap().limit, Limit::Tasks(5));
    // A directory in place of a file.
    std::fs::remove_file(files.0.path().join("etc/security/limits.conf")).unwrap();
    std::fs::create_dir(files.0.path().join("etc/security/limits.conf")).unwrap();
    let why = files.bob(&[]).unwrap_err();
    assert!(why.contains("limits.conf"), "{why}");
    std::fs::remove_file(files.0.path().join("proc/1/limits")).unwrap();
    assert!(files.bob(&[]).unwrap_err().contains("process 1"));
}
