//! The exporter as an ordinary user, with a `/proc` that hides others from it.

use std::process::Command;

use super::common::{Exporter, Load, Need, exporter_command, free_uid, need};

/// The exporter as this uid without capabilities, in a mount namespace whose /proc has `options`.
fn exporter(uid: u32, options: &str) -> Exporter {
    // Where the tree lies in somebody's home, another uid cannot reach the binary; a link to it from
    // /proc/self/fd of the shell is opened before the uid changes.
    let script = "mount -t proc -o \"$1\" proc /proc && exec 9<\"$3\" && \
                  exec setpriv --reuid \"$2\" --regid \"$2\" --clear-groups --pdeathsig KILL \
                  --bounding-set=-all --inh-caps=-all /proc/self/fd/9 \"$4\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh", options]);
    command.arg(uid.to_string()).arg(exporter_command().get_program());
    Exporter::spawn(command)
}

fn tools() -> bool {
    need(&[Need::Root, Need::Tool("unshare"), Need::Tool("setpriv")])
}

#[test]
fn without_hidepid_no_privilege_is_needed() {
    if !tools() {
        return;
    }
    let (watcher, other) = (free_uid(), free_uid());
    let exporter = exporter(watcher, "hidepid=0");
    let _load = Load::start(&["--uid", &other.to_string(), "--nproc", "6:6", "fork", "9"]);
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("telltale_users_unreadable_processes"), 0.0);
    assert_eq!(scrape.user("tasks", other, ""), Some(6.0));
    assert_eq!(scrape.user("processes_blocked", other, ""), Some(6.0));
}

#[test]
fn hidepid_makes_the_numbers_partial_and_says_so() {
    if !tools() {
        return;
    }
    // 1: others are listed and refused (EPERM); 2: they are not listed at all (ENOENT).
    for options in ["hidepid=1", "hidepid=2"] {
        let (watcher, other) = (free_uid(), free_uid());
        let exporter = exporter(watcher, options);
        let _load = Load::start(&["--uid", &other.to_string(), "fork", "5"]);
        let scrape = exporter.scrape();
        assert!(scrape.value("telltale_users_unreadable_processes") >= 6.0, "{options}");
        assert_eq!(scrape.value("telltale_scrape_collector_success{collector=\"users\"}"), 1.0);
        assert_eq!(scrape.user("tasks", other, ""), None, "{options}");
        assert!(scrape.user("tasks", watcher, "").is_some(), "{options}: we see ourselves");
        let page = exporter.get("/").text();
        assert!(page.contains("! users: some processes cannot be read"), "{options}: {page}");
        exporter.scrape();
        let told = exporter.log().matches("CAP_SYS_PTRACE").count();
        assert_eq!(told, 1, "{options}: told once in the log");
    }
}
