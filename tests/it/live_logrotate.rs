//! The state file of a real logrotate.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::common::{Exporter, Need, need};

const SUCCESS: &str = "telltale_scrape_collector_success{collector=\"logrotate\"}";
const STATE: &str = "telltale_logrotate_state_timestamp_seconds";

#[test]
fn when_it_ran_and_what_it_rotated() {
    if !need(&[Need::Root, Need::Tool("logrotate")]) {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    let exporter = Exporter::start(&[
        &format!("--path.rootfs={}", root.path().display()),
        "--no-collector.logs",
        "--no-collector.audit",
    ]);
    let none = exporter.scrape();
    assert_eq!((none.value(SUCCESS), none.get(STATE)), (1.0, None), "a host without logrotate");

    std::fs::create_dir_all(path("var/lib/logrotate")).unwrap();
    let (log, state) = (path("app \"one\".log"), path("var/lib/logrotate/status"));
    std::fs::write(&log, "a line\n").unwrap();
    let quoted = log.display().to_string().replace('"', "\\\"");
    std::fs::write(path("conf"), format!("\"{quoted}\" {{\n rotate 2\n su root root\n}}\n"))
        .unwrap();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let ran = Command::new("logrotate").arg("-f").arg("-s").arg(&state).arg(path("conf")).status();
    assert!(ran.unwrap().success() && path("app \"one\".log.1").exists());
    let scrape = exporter.scrape();
    assert!((scrape.value(STATE) - before).abs() < 60.0);
    let shown = log.display().to_string().replace('"', "\\\"");
    let last = format!("telltale_logrotate_last_rotation_timestamp_seconds{{path=\"{shown}\"}}");
    assert!((scrape.value(&last) - before).abs() < 60.0, "local time, like the clock of this host");

    // What a full disk leaves.
    std::fs::write(&state, "").unwrap();
    let scrape = exporter.scrape();
    assert_eq!((scrape.value(SUCCESS), scrape.get(&last)), (1.0, None));
    assert!(exporter.get("/").text().contains("move it away"));
}
