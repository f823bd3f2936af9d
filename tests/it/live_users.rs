//! Real users driven into their real limits, seen through the real binary.

use std::process::Command;

use super::common::{Exporter, Load, Need, eventually, free_uid, need};

/// `load --uid UID` and these words.
fn load(uid: u32, words: &str) -> Load {
    let uid = uid.to_string();
    let mut all = vec!["--uid", &uid];
    all.extend(words.split(' '));
    Load::start(&all)
}

#[test]
fn forks_until_refused() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let load = load(uid, "--nproc 64:64 fork 100");
    assert!(load.refused && load.made == 63, "itself and 63 children");

    let scrape = exporter.scrape();
    let user = |family, rest| scrape.user(family, uid, rest);
    assert_eq!(user("tasks", ""), Some(64.0));
    assert_eq!(user("fork_headroom_tasks", ",ceiling=\"rlimit\""), Some(0.0));
    assert_eq!(user("processes_blocked", ""), Some(64.0));
    assert_eq!(user("tasks_limit", ",bound=\"lowest\""), Some(64.0));
    assert_eq!(user("tasks_limit", ",bound=\"highest\""), Some(64.0));
    assert_eq!(user("processes", ",state=\"sleeping\""), Some(64.0));
    assert_eq!(user("command_tasks", ",command=\"load\""), Some(64.0));

    // Gone again, but the peak is remembered.
    drop(load);
    eventually("the user has no tasks", || exporter.scrape().user("tasks", uid, "") == Some(0.0));
    let scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks_peak", uid, ""), Some(64.0));
    assert_eq!(scrape.user("processes_blocked", uid, ""), None);
}

#[test]
fn threads_count() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let load = load(uid, "--nproc 30:40 threads 100");
    assert!(load.refused && load.made == 29, "main and 29 threads");
    let scrape = exporter.scrape();
    let user = |family, rest| scrape.user(family, uid, rest);
    assert_eq!(user("tasks", ""), Some(30.0));
    assert_eq!(user("processes", ",state=\"sleeping\""), Some(1.0));
    assert_eq!(user("processes_blocked", ""), Some(1.0));
}

#[test]
fn zombies_count_until_they_are_reaped() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let load = load(uid, "--nproc 20:20 zombies 100");
    assert!(load.refused && load.made == 19);
    let scrape = exporter.scrape();
    let user = |family, rest| scrape.user(family, uid, rest);
    assert_eq!(user("tasks", ""), Some(20.0));
    assert_eq!(user("processes", ",state=\"zombie\""), Some(19.0));
    assert_eq!(user("processes", ",state=\"sleeping\""), Some(1.0));
    // The dead do not fork.
    assert_eq!(user("processes_blocked", ""), Some(1.0));
}

#[test]
fn the_real_uid_is_charged() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let real = load(uid, "--euid 0 fork 9");
    let effective = load(0, &format!("--euid {uid} fork 14"));
    assert!(!real.refused && !effective.refused);
    let mut scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(10.0), "not the 15 of real uid 0");

    // The kernel agrees: of a limit of 20, ten are taken by the first.
    let fork = load(uid, "--nproc 20:20 fork 100");
    assert!(fork.refused && fork.made == 9, "made {}", fork.made);
    scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(20.0));
    // Effective uid 0 brings CAP_SYS_ADMIN, which exempts: only the ten with the limit are blocked.
    assert_eq!(scrape.user("processes_blocked", uid, ""), Some(10.0));
}

#[test]
fn two_limits_in_one_user() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let high = load(uid, "--nproc 200:200 fork 9");
    let low = load(uid, "--nproc 15:200 fork 100");
    assert!(!high.refused && low.refused && low.made == 4);
    let mut scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(15.0));
    assert_eq!(scrape.user("tasks_limit", uid, ",bound=\"lowest\""), Some(15.0));
    assert_eq!(scrape.user("tasks_limit", uid, ",bound=\"highest\""), Some(200.0));
    assert_eq!(scrape.user("processes_blocked", uid, ""), Some(5.0));
    assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"rlimit\""), Some(0.0));

    // The others fork on: usage beyond the lowest limit is lawful.
    let more = load(uid, "--nproc 200:200 fork 9");
    assert!(!more.refused);
    scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(25.0));
    assert_eq!(scrape.user("processes_blocked", uid, ""), Some(5.0));
    assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"rlimit\""), Some(0.0));
}

#[test]
fn a_limit_that_is_changed_later_is_noticed() {
    if !need(&[Need::Root, Need::Tool("prlimit")]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    // More than are read at every scan, so that turns are taken.
    let load = load(uid, "--nproc 1000:1000 fork 299");
    assert_eq!(exporter.scrape().user("processes_blocked", uid, ""), Some(0.0));
    // As the user itself, who may lower its own: setting another's needs CAP_SYS_RESOURCE.
    let id = uid.to_string();
    let status = Command::new("setpriv")
        .args(["--reuid", &id, "--clear-groups", "prlimit", "--nproc=10:1000", "--pid"])
        .arg(load.pid().to_string())
        .status();
    assert!(status.unwrap().success());
    // At most TURNS scans later.
    for _ in 0..7 {
        exporter.scrape();
    }
    assert_eq!(exporter.scrape().user("processes_blocked", uid, ""), Some(1.0));
}

/// A daemon starts as root, becomes its user and bursts between two scrapes.
#[test]
fn a_burst_after_setuid_is_the_users_peak() {
    if !need(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let exporter = Exporter::start(&[]);
    exporter.scrape();
    let burst = |seconds: u64| {
        let uid = free_uid();
        // Seen as root's by a sample or two, then the user's with 60 threads, then gone.
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 2.5; exec \"$@\"", "sh"]);
        shell.arg(super::common::load::load_command().get_program());
        shell.args(["--uid", &uid.to_string(), "threads", "60"]);
        let load = Load::spawn(shell);
        std::thread::sleep(std::time::Duration::from_secs(seconds));
        drop(load);
        let scrape = exporter.scrape();
        (scrape.user("tasks", uid, ""), scrape.user("tasks_peak", uid, ""))
    };
    // The budget lets a sample come each second, and much later on a machine that is slow or busy: so one
    // that lasts longer must be seen.
    let seen = [5, 20, 60, 110].into_iter().map(burst).find(|(_, peak)| peak.is_some());
    assert_eq!(seen, Some((Some(0.0), Some(61.0))));
}

#[test]
fn subordinate_uids_are_charged_to_the_owner_of_their_namespace() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let rootless = load(uid, "rootless 12");
    assert!(!rootless.refused);
    let mut scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(13.0));
    assert_eq!(scrape.user("tasks", 300_004, ""), None, "not to the subordinate uid");
    // Their limits are compared with the count inside, which is not known: no limit is claimed.
    assert_eq!(scrape.user("tasks_limit", uid, ",bound=\"lowest\""), None);

    // The kernel agrees: a plain process with a limit of 20 has room for itself and 6 more.
    let plain = load(uid, "--nproc 20:20 fork 100");
    assert!(plain.refused && plain.made == 6, "made {}", plain.made);
    scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(20.0));
    assert_eq!(scrape.user("processes_blocked", uid, ""), Some(7.0));
}

#[test]
fn capabilities_in_a_namespace_of_ones_own_do_not_exempt() {
    if !need(&[Need::Root, Need::Tool("unshare"), Need::Tool("setpriv")]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let id = uid.to_string();
    // `unshare -Ur` gives every capability, in the new namespace only.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--clear-groups", "prlimit", "--nproc=9:9", "unshare", "-Ur"]);
    command.arg(super::common::load::load_command().get_program());
    command.args(["fork", "100"]);
    let load = Load::spawn(command);
    assert!(load.refused && load.made == 8, "made {}", load.made);
    assert_eq!(exporter.scrape().user("tasks", uid, ""), Some(9.0));
}

#[test]
fn a_sandbox_that_never_forks_raises_no_alarm() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let _sandbox = load(uid, "--nproc 0:0 fork 1");
    let scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(1.0));
    for family in ["processes_blocked", "tasks_limit", "command_tasks"] {
        let family = format!("telltale_user_{family}{{");
        let uid = format!(",uid=\"{uid}\"");
        let shown = scrape.series().any(|s| s.starts_with(&family) && s.contains(&uid));
        assert!(!shown, "{family}");
    }
    assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"rlimit\""), None);
}

#[test]
fn nobody_hides_behind_a_name_that_is_not_utf8() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let exporter = Exporter::start(&[]);
    let _load = load(uid, "--nproc 8:8 --name ff0a5c22fe fork 100");
    let scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(8.0));
    // \xff, a newline, a backslash, a quote, \xfe.
    let command = r#",command="\\xff\n\\\"\\xfe""#;
    assert_eq!(scrape.user("command_tasks", uid, command), Some(8.0));
}

#[test]
fn users_are_included_and_excluded() {
    if !need(&[Need::Root]) {
        return;
    }
    let (one, two) = (free_uid(), free_uid());
    let _loads = [load(one, "fork 1"), load(two, "fork 1")];
    let shown = |flag: String| {
        let scrape = Exporter::start(&[&flag]).scrape();
        [one, two].map(|uid| scrape.user("tasks", uid, "").is_some())
    };
    assert_eq!(shown(format!("--collector.users.include=^{one}$")), [true, false]);
    assert_eq!(shown(format!("--collector.users.exclude=^{one}$")), [false, true]);
}

/// Seed 000 as it happened, with the user's own shell.
#[test]
fn a_shell_at_its_limit() {
    if !need(&[Need::Root, Need::Tool("bash"), Need::Tool("useradd")]) {
        return;
    }
    let user = ThrowAwayUser::new();
    let exporter = Exporter::start(&[]);
    // The fifth fork is refused; bash tries again after 1, 2, 4 and 8 s, long enough to be seen.
    let script = "ulimit -u 5; sleep 60 & sleep 60 & sleep 60 & sleep 60 & sleep 60 & wait";
    let mut shell = Command::new("setpriv")
        .args(["--reuid", &user.name, "--regid", &user.name, "--clear-groups"])
        .args(["--pdeathsig", "KILL", "bash", "-c", script])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let label =
        format!("telltale_user_processes_blocked{{user=\"{}\",uid=\"{}\"}}", user.name, user.uid);
    eventually("the shell is blocked", || exporter.scrape().get(&label) == Some(5.0));
    let scrape = exporter.scrape();
    assert_eq!(scrape.user("command_tasks", user.uid, ",command=\"sleep\""), Some(4.0));
    assert_eq!(scrape.user("command_tasks", user.uid, ",command=\"bash\""), Some(1.0));
    let page = exporter.get("/").text();
    let line = page.lines().find(|line| line.contains(&user.name)).unwrap();
    assert!(line.contains("5 processes cannot fork") && line.contains("sleep ×4"), "{line}");
    drop(user);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut shell.stderr.take().unwrap(), &mut said).unwrap();
    shell.wait().unwrap();
    assert!(said.contains("fork: retry: Resource temporarily unavailable"), "{said}");
}

/// A real account, removed with its processes.
pub struct ThrowAwayUser {
    pub name: String,
    pub uid: u32,
    /// useradd and userdel write audit records, which wait while a test floods the queue.
    _no_flood: std::fs::File,
}

impl ThrowAwayUser {
    pub fn new() -> Self {
        let no_flood = super::common::audit::lock();
        let uid = free_uid();
        let name = format!("tt{uid}");
        let id = uid.to_string();
        eventually("useradd, which waits for no lock", || {
            let args = ["--no-create-home", "--user-group", "--uid", &id, &name];
            Command::new("useradd").args(args).status().unwrap().success()
        });
        Self { name, uid, _no_flood: no_flood }
    }
}

impl Drop for ThrowAwayUser {
    fn drop(&mut self) {
        // By pid: those whose real uid is ours alone.
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            if status.contains(&format!("\nUid:\t{}\t", self.uid)) {
                let pid = entry.file_name().to_string_lossy().parse().unwrap();
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        eventually("userdel", || {
            let status = Command::new("userdel").args(["--force", &self.name]).output();
            // 6: it is gone already.
            matches!(status.unwrap().status.code(), Some(0 | 6))
        });
    }
}
