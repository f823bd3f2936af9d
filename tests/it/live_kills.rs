//! Signals, failed forks and weakened auditing of a real auditd, counted and told.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use rustix::process::Signal;

use super::common::audit::auditctl;
use super::common::{AuditScene, Exporter, Load, Scrape, eventually, exporter_command};

/// A shell script that sends every kind of signal, as in the seed's own experiment.
const KILL_TEST: &str = r#"
cd "$(dirname "$0")"
./java 600 & java=$!
sleep 600 & sleeper=$!
setsid sh -c 'sleep 600 & sleep 600 & echo ready > group; wait' & group=$!
until [ -s group ]; do sleep 0.05; done
kill -0 $java
kill -9 $java
kill -TERM $sleeper
kill -9 1
kill -9 4194300
kill -USR1 -- -$group
wait
"#;

/// Signals to a thread, by a descriptor, and two that are none: 0, and what Go's runtime sends.
const THREADS: &str = "
import os, signal, threading
for one in (signal.SIGUSR2, signal.SIGURG, signal.SIGWINCH):
    signal.signal(one, signal.SIG_IGN)
signal.pthread_kill(threading.get_ident(), signal.SIGUSR2)
signal.pthread_kill(threading.get_ident(), signal.SIGURG)
signal.pidfd_send_signal(os.pidfd_open(os.getpid()), signal.SIGWINCH)
os.kill(os.getpid(), 0)
";

fn as_user(uid: u32, program: &str) -> Command {
    let uid = uid.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", program]);
    command
}

fn configured(dir: &Path, source: &str) -> String {
    let path = dir.join("telltale.yml");
    std::fs::write(&path, format!("logs: {{sources: [{{name: audit, {source}}}]}}\n")).unwrap();
    format!("--config.file={}", path.display())
}

fn of_file(log: &Path) -> String {
    format!("format: audit, files: ['{}']", log.display())
}

fn signals(scrape: &Scrape, signal: &str, sender: &str, target: &str, success: &str) -> f64 {
    let series = format!(
        "telltale_audit_signals_total{{signal=\"{signal}\",sender=\"{sender}\",target=\"{target}\",success=\"{success}\"}}"
    );
    scrape.get(&series).unwrap_or(0.0)
}

/// All signals of this name, whoever sent them to whom.
fn all(scrape: &Scrape, signal: &str) -> f64 {
    let start = format!("telltale_audit_signals_total{{signal=\"{signal}\",");
    scrape.series().filter(|series| series.starts_with(&start)).map(|one| scrape.value(one)).sum()
}

fn keyed(scrape: &Scrape, key: &str) -> f64 {
    let series = format!("telltale_audit_keyed_events_total{{key=\"{key}\"}}");
    scrape.get(&series).unwrap_or(0.0)
}

fn run_kill_test(dir: &Path, uid: u32) {
    std::os::unix::fs::chown(dir, Some(uid), Some(uid)).unwrap();
    std::fs::copy("/bin/sleep", dir.join("java")).unwrap();
    std::fs::write(dir.join("kill_test.sh"), KILL_TEST).unwrap();
    let mut script = as_user(uid, "bash");
    let output: Output = script.arg("kill_test.sh").current_dir(dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not permitted") && said.contains("No such process"), "{said}");
    assert!(as_user(uid, "/usr/bin/python3").args(["-c", THREADS]).status().unwrap().success());
}

/// Each kind is counted as often as it was sent.
fn kinds(scrape: &Scrape) -> Result<(), String> {
    let init = std::fs::read_to_string("/proc/1/comm").unwrap();
    let expected = [
        ("SIGKILL", "bash", "java", "yes", 1.0),
        ("SIGTERM", "bash", "sleep", "yes", 1.0),
        ("SIGKILL", "bash", init.trim(), "no", 1.0),
        ("SIGKILL", "bash", "unknown", "no", 1.0),
        ("SIGUSR1", "bash", "sh", "yes", 1.0),
        ("SIGUSR1", "bash", "sleep", "yes", 2.0),
        ("SIGUSR2", "python3", "python3", "yes", 1.0),
        ("SIGWINCH", "python3", "python3", "yes", 1.0),
    ];
    for (signal, sender, target, success, count) in expected {
        let found = signals(scrape, signal, sender, target, success);
        if found != count {
            return Err(format!("{signal} {sender} {target} {success}: {found}, not {count}"));
        }
    }
    assert_eq!(all(scrape, "SIGURG") + all(scrape, "invalid"), 0.0);
    // kill -9 four ways, TERM, USR1 to the group, USR2, WINCH.
    let keyed = keyed(scrape, "telltale_kill");
    if keyed == 7.0 { Ok(()) } else { Err(format!("{keyed} of 7 events")) }
}

/// Waits for all of them, and a little longer for what would be too much.
fn assert_kinds(exporter: &Exporter) -> Scrape {
    let mut seen = Ok(());
    for _ in 0..600 {
        seen = kinds(&exporter.scrape());
        if seen.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(seen, Ok(()));
    std::thread::sleep(Duration::from_secs(1));
    let scrape = exporter.scrape();
    assert_eq!(kinds(&scrape), Ok(()));
    scrape
}

#[test]
fn every_kind_of_signal_is_counted_and_told() {
    let Some(mut scene) = AuditScene::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    auditctl("-e 1");
    let uid = scene.uid;
    scene.rules_of("30-telltale.rules", uid);
    let exporter = Exporter::start(&[&configured(dir.path(), &of_file(&scene.log()))]);
    let work = tempfile::tempdir().unwrap();
    run_kill_test(work.path(), uid);
    assert_kinds(&exporter);

    // The page and the interface name who and whom, and nothing that is not for everybody.
    let page = exporter.get("/kills").text();
    let story = page.lines().find(|line| line.contains("SIGKILL to java (")).unwrap();
    assert!(story.contains(" by bash (") && story.ends_with(&format!("uid {uid}")), "{story}");
    assert!(exporter.get("/").text().contains("SIGKILL to java ("));
    let api = exporter.get("/api/v1/kills").text();
    let kills: serde_json::Value = serde_json::from_str(&api).unwrap();
    let kills = kills["kills"].as_array().unwrap();
    assert_eq!(kills.len(), 7);
    let java = kills.iter().find(|kill| kill["targets"][0]["comm"] == "java").unwrap();
    assert_eq!((java["signal"].as_str(), java["success"].as_bool()), (Some("SIGKILL"), Some(true)));
    assert_eq!(java["sender"]["uid"].as_u64(), Some(u64::from(uid)));
    assert!(java["withheld"].as_array().unwrap().contains(&"command_line".into()));
    assert!(!api.contains("kill_test.sh") && !page.contains("kill_test.sh"));
    let log = exporter.log();
    let line = log.lines().find(|line| line.contains("telltale::kill") && line.contains("java"));
    assert!(
        line.unwrap().contains("signal=\"SIGKILL\"") || line.unwrap().contains("signal=SIGKILL"),
        "{log}"
    );

    // The log on disk tells the script too, and names the events that ausearch names.
    let told = exporter_command()
        .args(["kills", "--target", "java", "--signal", "kill", "--file"])
        .arg(scene.log())
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let sentence = told.lines().nth(1).unwrap();
    assert!(
        sentence.contains("SIGKILL to java (") && sentence.contains(") by bash kill_test.sh ("),
        "{told}"
    );
    assert_eq!(told.lines().count(), 2, "the day, and the story: {told}");
    assert_eq!(serials_told(&scene.log()), serials_of_ausearch(&scene.log()));
}

/// Serial numbers of the events with the key, as `kills` has them.
fn serials_told(log: &Path) -> BTreeSet<u64> {
    let mut command = exporter_command();
    let output = command.args(["kills", "--format", "json", "--key", "telltale_kill", "--file"]);
    let output = output.arg(log).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let serial =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["serial"].as_u64();
    lines.lines().map(|line| serial(line).unwrap()).collect()
}

fn serials_of_ausearch(log: &Path) -> BTreeSet<u64> {
    let output =
        Command::new("ausearch").arg("-if").arg(log).args(["-k", "telltale_kill"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    // It has the calls that added the rules as well, which are no events of that key.
    let of_key =
        |line: &&str| line.starts_with("type=SYSCALL ") && line.ends_with("key=\"telltale_kill\"");
    let calls = text.lines().filter(of_key);
    let serial = |line: &str| line.split_once("):")?.0.rsplit_once(':')?.1.parse().ok();
    calls.map(|line| serial(line).unwrap()).collect()
}

/// A burst over rotations of auditd and a `kill -9` of the exporter.
#[test]
fn a_thousand_signals_are_a_thousand_over_rotation_and_kill() {
    let Some(mut scene) = AuditScene::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    auditctl("-e 1");
    auditctl("-b 8192");
    let uid = scene.uid;
    scene.rules_of("30-telltale.rules", uid);
    let config = configured(dir.path(), &of_file(&scene.log()));
    let mut exporter = Exporter::start_in(dir.path(), &[&config]);
    let burst = "trap '' USR1; for n in {1..1000}; do kill -USR1 $$; done";
    let mut running = as_user(uid, "bash").args(["-c", burst]).spawn().unwrap();
    for _ in 0..2 {
        // As when the log has reached its size.
        scene.signal(Signal::USR1);
        std::thread::sleep(Duration::from_millis(400));
        exporter.scrape();
        exporter.stop(Signal::KILL);
        std::thread::sleep(Duration::from_millis(300));
        exporter = Exporter::start_in(dir.path(), &[&config]);
    }
    assert!(running.wait().unwrap().success());
    scene.signal(Signal::USR1);
    let rotations = "telltale_log_rotations_total{source=\"audit\",method=\"rename\"}";
    eventually("all are counted", || {
        let scrape = exporter.scrape();
        all(&scrape, "SIGUSR1") >= 1000.0 && scrape.value(rotations) >= 3.0
    });
    // For what would be too much.
    std::thread::sleep(Duration::from_secs(1));
    let scrape = exporter.scrape();
    assert_eq!(signals(&scrape, "SIGUSR1", "bash", "bash", "yes"), 1000.0);
    assert_eq!(keyed(&scrape, "telltale_kill"), 1000.0);
    assert_eq!(scrape.value(rotations), 3.0);
    for reason in ["truncated", "gone", "cut", "hole"] {
        let lost = format!("telltale_log_lost_bytes_total{{source=\"audit\",reason=\"{reason}\"}}");
        assert_eq!(scrape.value(&lost), 0.0);
    }
    // The files together tell the same.
    let directory = scene.log();
    let mut command = exporter_command();
    command.args(["kills", "--format", "json", "--signal", "USR1"]);
    for entry in std::fs::read_dir(directory.parent().unwrap()).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("audit.log") {
            command.arg("--file").arg(entry.path());
        }
    }
    let told = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(told.lines().count(), 1000);
}

/// A user in its limit, by a real shell.
#[test]
fn failed_forks_are_counted_for_their_user() {
    let Some(mut scene) = AuditScene::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    auditctl("-e 1");
    auditctl("-b 8192");
    let uid = scene.uid;
    scene.rules_of("optional/31-telltale-forks.rules", uid);
    let exporter = Exporter::start(&[&configured(dir.path(), &of_file(&scene.log()))]);
    let load = Load::start(&["--uid", &uid.to_string(), "--nproc", "20:20", "fork", "100"]);
    assert!(load.refused);
    let limit = format!(
        "ulimit -u 20; exec setpriv --reuid {uid} --regid {uid} --clear-groups bash -c 'sleep 0 & sleep 0'"
    );
    // The shell tries again for a while.
    let mut shell = Command::new("bash").args(["-c", &limit]).spawn().unwrap();
    let series = |command: &str| {
        format!(
            "telltale_audit_failed_forks_total{{user=\"{uid}\",uid=\"{uid}\",command=\"{command}\",process_limit=\"possible\"}}"
        )
    };
    let count = |command: &str| exporter.scrape().get(&series(command)).unwrap_or(0.0);
    eventually("the load's and the shell's", || count("load") >= 1.0 && count("bash") >= 2.0);
    drop(load);
    shell.wait().unwrap();
    let forks: serde_json::Value =
        serde_json::from_str(&exporter.get("/api/v1/forks").text()).unwrap();
    let last = forks["forks"].as_array().unwrap().last().unwrap();
    assert_eq!(last["process"]["uid"].as_u64(), Some(u64::from(uid)));
    assert_eq!(last["may_be_process_limit"].as_bool(), Some(true));
    let page = exporter.get("/kills").text();
    assert!(page.contains("refused (EAGAIN) to bash ("), "{page}");
}

#[test]
fn weakened_auditing_is_counted_with_who_did_it() {
    let Some(mut scene) = AuditScene::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    auditctl("-e 1");
    let exporter = Exporter::start(&[&configured(dir.path(), &of_file(&scene.log()))]);
    let rule = format!("always,exit -F arch=b64 -S getppid -F uid={} -k telltale_weak", scene.uid);
    auditctl(&format!("-a {rule}"));
    auditctl("-b 4096");
    auditctl(&format!("-d {rule}"));
    auditctl("-b 100");
    let weakened = |scrape: &Scrape, change: &str| {
        let start = format!("telltale_audit_weakened_total{{change=\"{change}\",");
        let of = scrape.series().filter(|series| series.starts_with(&start));
        of.map(|series| scrape.value(series)).sum::<f64>()
    };
    eventually("both are seen", || {
        let scrape = exporter.scrape();
        weakened(&scrape, "rule_removed") == 1.0 && weakened(&scrape, "backlog_limit") == 1.0
    });
    let scrape = exporter.scrape();
    assert_eq!(keyed(&scrape, "telltale_weak"), 0.0, "the key of a rule that comes and goes");
    let page = exporter.get("/kills").text();
    assert!(page.contains("audit rule removed (key telltale_weak) by auditctl ("), "{page}");
    assert!(page.contains("audit_backlog_limit set to 100, was 4096 by auditctl ("), "{page}");
    scene.auditd();
}

/// Where the log cannot be read: the kernel's own group, beside auditd.
#[test]
fn the_multicast_group_tells_the_same() {
    let Some(mut scene) = AuditScene::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    auditctl("-e 1");
    let uid = scene.uid;
    scene.rules_of("30-telltale.rules", uid);
    let exporter = Exporter::start(&[&configured(dir.path(), "audit_multicast: true")]);
    let work = tempfile::tempdir().unwrap();
    run_kill_test(work.path(), uid);
    let scrape = assert_kinds(&exporter);
    assert_eq!(scrape.value("telltale_log_source_up{source=\"audit\"}"), 1.0);
    let lost = "telltale_log_lost_messages_total{source=\"audit\",reason=\"missing\"}";
    assert_eq!(scrape.value(lost), 0.0);
    assert!(exporter.get("/").text().contains("the kernel's multicast"));
}

/// Without the capability nothing is tried, for each refusal would be a record of its own.
#[test]
fn without_the_capability_the_group_is_not_asked() {
    let Some(_scene) = AuditScene::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path(), "audit_multicast: true");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-audit_read", "--inh-caps=-audit_read", "--"]);
    command.arg(exporter_command().get_program()).arg(&config);
    let exporter = Exporter::spawn(command);
    let scrape = exporter.scrape();
    assert_eq!(scrape.value("telltale_log_source_up{source=\"audit\"}"), 0.0);
    assert!(exporter.get("/").text().contains("needs CAP_AUDIT_READ"));
}
