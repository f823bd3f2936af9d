//! Where the kernel does not tell the audit status: one line with the cure, and the rest goes on.

use std::process::Command;

use super::common::{Exporter, Need, eventually, exporter_command, free_uid, need};

/// Runs the exporter behind these words and expects to be told this.
fn refused(words: &[&str], says: &str) {
    // Where the tree lies in somebody's home, another uid cannot reach the binary: it is opened first.
    let script = "exec 9<\"$0\"; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(exporter_command().get_program()).args(words);
    command.arg("/proc/self/fd/9");
    let exporter = Exporter::spawn(command);
    let success =
        |collector: &str| format!("telltale_scrape_collector_success{{collector=\"{collector}\"}}");
    let scrape = exporter.scrape();
    assert_eq!(scrape.value(&success("audit")), 0.0);
    assert_eq!(scrape.value(&success("users")), 1.0);
    assert_eq!(scrape.get("telltale_audit_enabled"), None);
    let page = exporter.get("/").text();
    assert!(page.contains(says), "{page}");
    exporter.scrape();
    eventually("it is logged", || exporter.log().contains(says));
    assert_eq!(exporter.log().matches(says).count(), 1, "once: {}", exporter.log());
}

#[test]
fn without_the_capability() {
    if need(&[Need::Root, Need::Tool("setpriv")]) {
        let uid = free_uid().to_string();
        let words = ["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"];
        refused(&words, "only to CAP_AUDIT_CONTROL");
    }
}

#[test]
fn in_a_pid_namespace() {
    if need(&[Need::Root, Need::Tool("unshare")]) {
        let words = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
        refused(&words, "initial pid namespace");
    }
}

#[test]
fn in_a_user_namespace() {
    if need(&[Need::Root, Need::Tool("unshare"), Need::Tool("setpriv")]) {
        let uid = free_uid().to_string();
        let words =
            ["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "unshare", "-Ur"];
        refused(&words, "in a user namespace");
    }
}
