//! A name service that hangs.

use std::process::Command;

use super::common::{Exporter, Load, Need, exporter_command, free_uid, need};

/// A name service module that never answers; it stands for an LDAP server that went away.
const HANGS: &str = "#include <unistd.h>\n\
    int _nss_telltale_getpwuid_r(void) { for (;;) pause(); }\n";

#[test]
fn a_name_service_that_hangs_costs_names_and_not_scrapes() {
    if !need(&[Need::Root, Need::Tool("unshare"), Need::Tool("cc")]) {
        return;
    }
    let uid = free_uid();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("hangs.c");
    std::fs::write(&source, HANGS).unwrap();
    let library = dir.path().join("libnss_telltale.so.2");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source);
    assert!(compiler.status().unwrap().success());
    let switch = dir.path().join("nsswitch.conf");
    std::fs::write(&switch, "passwd: files telltale\n").unwrap();

    let script = "touch /etc/nsswitch.conf && mount --bind \"$1\" /etc/nsswitch.conf && \
                  shift && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"]);
    command.arg(&switch).arg(exporter_command().get_program());
    command.env("LD_LIBRARY_PATH", dir.path());
    let exporter = Exporter::spawn(command);
    let named = exporter.scrape();
    assert!(named.get("telltale_user_tasks{user=\"root\",uid=\"0\"}").is_some(), "from passwd");

    let _load = Load::start(&["--uid", &uid.to_string(), "fork", "3"]);
    let number = format!("telltale_user_tasks{{user=\"{uid}\",uid=\"{uid}\"}}");
    // A collector that waits for a name has not succeeded when its bound of 5 s is over.
    let success = "telltale_scrape_collector_success{collector=\"users\"}";
    let scrape = exporter.scrape();
    assert_eq!((scrape.value(&number), scrape.value(success)), (4.0, 1.0));
    assert_eq!(exporter.scrape().value(success), 1.0);
}
