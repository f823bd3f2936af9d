//! The exporter answers while its own user is out of processes, and creates nothing after start.

use std::process::Command;

use super::common::{Exporter, Load, Need, exporter_command, free_uid, need};

fn tasks(pid: u32) -> Vec<String> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut tasks: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    tasks.sort();
    tasks
}

#[test]
fn answers_while_its_own_user_is_out_of_processes() {
    if !need(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let uid = free_uid();
    let id = uid.to_string();
    let script = "exec 9<\"$1\"; exec setpriv --reuid \"$2\" --regid \"$2\" --clear-groups --pdeathsig KILL \
                  prlimit --nproc=40:40 /proc/self/fd/9 \"$3\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(exporter_command().get_program()).arg(&id);
    let exporter = Exporter::spawn(command);
    let before = tasks(exporter.pid());

    let load = Load::start(&["--uid", &id, "--nproc", "40:40", "fork", "100"]);
    assert!(load.refused, "the user's last process is taken");
    for _ in 0..50 {
        let scrape = exporter.scrape();
        assert_eq!(scrape.user("tasks", uid, ""), Some(40.0));
        assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"rlimit\""), Some(0.0));
        assert_eq!(exporter.request("/metrics", &["Accept-Encoding: gzip"]).status, 200);
        assert!(exporter.get("/").text().contains("cannot fork"));
        assert_eq!(exporter.get("/-/healthy").status, 200);
    }
    assert_eq!(tasks(exporter.pid()), before, "the same threads as at the start");
}

#[test]
fn no_thread_and_no_process_is_made_after_start() {
    let exporter = Exporter::start(&[]);
    let before = tasks(exporter.pid());
    std::thread::scope(|scope| {
        for path in ["/", "/metrics", "/metrics?collect[]=users", "/-/ready", "/nowhere"] {
            for _ in 0..8 {
                scope.spawn(|| assert_ne!(exporter.get(path).status, 500));
            }
        }
    });
    assert_eq!(tasks(exporter.pid()), before);
    // The audit helper, and what listens to audit events where their log cannot be read.
    let children = format!("/proc/{0}/task/{0}/children", exporter.pid());
    let now = || std::fs::read_to_string(&children).unwrap();
    let after = now();
    assert!((1..=2).contains(&after.split_whitespace().count()), "{after}");
    for _ in 0..20 {
        assert_eq!(exporter.get("/").status, 200);
    }
    assert_eq!(now(), after);
}
