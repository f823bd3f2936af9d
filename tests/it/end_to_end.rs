//! Exporter, Prometheus with our rules, Alertmanager with our configuration, a webhook, and every query of the
//! dashboards, while real things happen on this host.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::common::audit::auditctl;
use super::common::daemon::{Daemon, free_port};
use super::common::{AuditScene, Exporter, Load, Need, Prometheus, eventually, free_uid, need};
use super::live_cgroups::{Cgroup, pids_root};
use super::live_logs::append;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Panels, or single queries of them, that are empty after the scenes, with the reason.
const EMPTY: [(&str, &str); 22] = [
    ("telltale-exporter: Did a thread of the exporter panic?", "none did"),
    ("telltale-exporter: Can it write its state?", "it can: only failures are shown"),
    (
        "telltale-exporter: Where are the users' numbers partial?",
        "nowhere: only what cannot be read is shown",
    ),
    ("telltale-exporter: What runs where? B", "no collector fails"),
    ("telltale-exporter: What runs where? C", "none was restarted"),
    ("telltale-logs: What is known to be lost? A", "nothing is: only losses are shown"),
    ("telltale-logs: What is known to be lost? B", "nothing is: only losses are shown"),
    ("telltale-users: How is each user? G", "a trend needs half an hour"),
    ("telltale-users: Who is nearest? A", GONE),
    ("telltale-users: Who is nearest? C", GONE),
    ("telltale-users: Who is second? A", NO_OTHER),
    ("telltale-users: Who is second? B", NO_OTHER),
    ("telltale-users: Who is second? C", NO_OTHER),
    ("telltale-users: Who is third? A", NO_OTHER),
    ("telltale-users: Who is third? B", NO_OTHER),
    ("telltale-users: Who is third? C", NO_OTHER),
    ("telltale-users: How many forks are left inside?", NO_NAMESPACE),
    ("telltale-users: What is counted inside user namespaces? A", NO_NAMESPACE),
    ("telltale-users: What is counted inside user namespaces? B", NO_NAMESPACE),
    ("telltale-users: What is counted inside user namespaces? C", NO_NAMESPACE),
    ("telltale-users: How many tasks has the host, and what may it have? D", "all can be read"),
    ("telltale-fleet: How is each host? D", "audit is not required here"),
];
const NO_OTHER: &str = "nobody else is past half of a limit";
const GONE: &str = "a user of another test was nearer, and is gone";
const NO_NAMESPACE: &str = "nobody runs a container with user namespaces";

const SSHD: &str = "Aug  4 07:33:02 web04 sshd[14492]: fatal: setresuid 500: Resource temporarily \
    unavailable\n";

/// What Alertmanager sends: every alert with its status, as it came.
type Received = Arc<Mutex<Vec<Value>>>;

/// Takes what Alertmanager posts, for as long as the test runs.
fn webhook() -> (u16, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Received::default();
    let inbox = Arc::clone(&received);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
                line.clear();
            }
            let mut body = vec![0; length];
            let _ = reader.read_exact(&mut body);
            if let Ok(message) = serde_json::from_slice::<Value>(&body) {
                let alerts = message["alerts"].as_array().cloned().unwrap_or_default();
                inbox.lock().unwrap().extend(alerts);
            }
            let _ = reader
                .into_inner()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (port, received)
}

/// The rules as shipped, but without patience: no `for`, what counts the last ten minutes forgets sooner, so that what
/// is over is seen to be, and an exporter is grown up soon.
fn impatient_rules(directory: &Path) {
    std::fs::create_dir(directory).unwrap();
    for entry in std::fs::read_dir(repository("deploy/prometheus/rules")).unwrap().flatten() {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let line = |line: &str| {
            let indent = line.len() - line.trim_start().len();
            let patience = line.trim_start().starts_with("for: ");
            if patience { format!("{}for: 0s\n", &line[..indent]) } else { format!("{line}\n") }
        };
        let text: String = text.lines().map(line).collect();
        assert!(text.contains("for: 0s"));
        let text = text
            .replace("[10m]", "[60s]")
            .replace("[30m]", "[60s]")
            .replace("_start_time_seconds < 600", "_start_time_seconds < 5");
        std::fs::write(directory.join(entry.file_name()), text).unwrap();
    }
}

/// The configuration as shipped, but at once and to the webhook alone.
fn alertmanager(directory: &Path, webhook: u16) -> (Daemon, u16) {
    let text = std::fs::read_to_string(repository("deploy/alertmanager/alertmanager.yml")).unwrap();
    let hook =
        format!("webhook_configs: [{{url: 'http://127.0.0.1:{webhook}/', send_resolved: true}}]");
    let (before, rest) = text.split_once("receivers:\n").unwrap();
    let (_, after) = rest.split_once("\ninhibit_rules:").unwrap();
    let text = format!(
        "{before}receivers:\n  - name: page\n    {hook}\n  - name: mail\n    {hook}\ninhibit_rules:{after}"
    );
    let text = text
        .replace("group_wait: 30s", "group_wait: 0s")
        .replace("group_interval: 5m", "group_interval: 1s");
    let text = text.replace("templates: [templates/*.tmpl]", "");
    let config = directory.join("alertmanager.yml");
    std::fs::write(&config, text).unwrap();
    let port = free_port();
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", directory.join("am").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    (Daemon::start(&mut command), port)
}

struct Stack {
    exporter: Exporter,
    prometheus: Prometheus,
    _alertmanager: Daemon,
    received: Received,
    log: PathBuf,
    _home: tempfile::TempDir,
}

impl Stack {
    fn start(audit_log: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("messages");
        std::fs::write(&log, "").unwrap();
        let config = home.path().join("telltale.yml");
        let text = format!(
            "audit: {{expected_keys: [telltale_kill]}}\nlogs:\n  sources:\n    \
             - {{name: messages, files: ['{}']}}\n    - {{name: kernel, kmsg: true}}\n    \
             - {{name: audit, format: audit, files: ['{}']}}\n",
            log.display(),
            audit_log.display()
        );
        std::fs::write(&config, text).unwrap();
        let exporter = Exporter::start(&[&format!("--config.file={}", config.display())]);
        let (hook, received) = webhook();
        let (daemon, port) = alertmanager(home.path(), hook);
        let data = tempfile::tempdir().unwrap();
        impatient_rules(&data.path().join("rules"));
        let target = exporter.address.port();
        let text = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}/rules/*.yml']\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]}}\n\
             scrape_configs:\n  - job_name: telltale\n    static_configs:\n      - targets: ['127.0.0.1:{target}']\n",
            data.path().display()
        );
        std::fs::write(data.path().join("prometheus.yml"), text).unwrap();
        let prometheus = Prometheus::start(data);
        eventually("it is scraped", || prometheus.query("up{job=\"telltale\"}") == Some(1.0));
        Self { exporter, prometheus, _alertmanager: daemon, received, log, _home: home }
    }

    /// The last that came of this alert with these labels and this status.
    fn last(&self, alert: &str, labels: &[(&str, &str)], status: &str) -> Option<Value> {
        let received = self.received.lock().unwrap();
        let is = |one: &&Value| {
            one["status"] == status
                && one["labels"]["alertname"] == alert
                && labels.iter().all(|(name, value)| one["labels"][*name] == *value)
        };
        received.iter().rev().find(is).cloned()
    }

    fn names(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        let mut names: Vec<_> =
            received.iter().map(|one| one["labels"]["alertname"].to_string()).collect();
        names.dedup();
        names
    }

    /// Waits for an alert in this state; says what came instead.
    fn await_alert(&self, alert: &str, labels: &[(&str, &str)], status: &str) -> Value {
        for _ in 0..900 {
            if let Some(one) = self.last(alert, labels, status) {
                return one;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{alert} {labels:?} is not {status}; there came {:?}", self.names());
    }

    /// Every panel has data, but for those that are to be empty, and no query has an error.
    fn check_boards(&self, boards: &[&Path]) {
        let known = |title: &String| EMPTY.iter().any(|(known, _)| known == title);
        let (mut errors, mut empty) = (Vec::new(), Vec::new());
        // A machine that is busy may not answer a scrape in time.
        eventually("every panel has data", || {
            (errors, empty) = check_panels(&self.prometheus, boards);
            let unknown: Vec<_> = empty.iter().filter(|title| !known(title)).collect();
            if !unknown.is_empty() {
                eprintln!("empty: {unknown:#?}");
            }
            unknown.is_empty()
        });
        assert!(errors.is_empty(), "{errors:#?}");
        // The kernel's ring is written over where others flood it, and other tests have users and namespaces beside.
        let full = EMPTY.iter().filter(|(known, why)| {
            let of_others =
                why.starts_with("nothing is:") || [NO_OTHER, NO_NAMESPACE, GONE].contains(why);
            !of_others && !empty.iter().any(|title| title == known)
        });
        let full: Vec<_> = full.map(|(known, _)| *known).collect();
        let text = self.exporter.get("/metrics").text();
        let lost = text
            .lines()
            .filter(|line| line.starts_with("telltale_log_lost_") && !line.ends_with(" 0"));
        let lost: Vec<_> = lost.collect();
        assert!(full.is_empty(), "no longer empty: {full:#?}; lost: {lost:#?}");
    }
}

/// The number that an alert's value begins with.
fn number(alert: &Value) -> u32 {
    let value = note(alert, "value");
    value.split(' ').next().and_then(|number| number.parse().ok()).expect(value)
}

fn note<'a>(alert: &'a Value, name: &str) -> &'a str {
    alert["annotations"][name].as_str().unwrap_or_default()
}

/// A cgroup of its own, removed in the end.
struct MemoryCgroup(PathBuf);

impl MemoryCgroup {
    /// With so many bytes.
    fn new(bytes: u64) -> Self {
        let (v1, v2) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (root, limit) =
            if v1.is_dir() { (v1, "memory.limit_in_bytes") } else { (v2, "memory.max") };
        if root == v2 {
            std::fs::write(v2.join("cgroup.subtree_control"), "+memory")
                .expect("a memory controller");
        }
        let path = root.join(format!("telltale-oom-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let cgroup = Self(path);
        std::fs::write(cgroup.0.join(limit), bytes.to_string()).unwrap();
        // Swap would only make it slow.
        let _ = std::fs::write(cgroup.0.join("memory.swap.max"), "0");
        cgroup
    }

    /// A process in it that wants more.
    fn overflow(&self) {
        let script =
            "echo $$ > \"$0/cgroup.procs\" && exec /usr/bin/python3 -c 'x = b\"x\" * (1 << 28)'";
        let status = Command::new("sh").args(["-c", script]).arg(&self.0).status().unwrap();
        assert!(!status.success(), "it was not killed");
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// A state file of logrotate, removed in the end if it is ours.
struct LogrotateState(Option<PathBuf>);

impl LogrotateState {
    fn make() -> Self {
        let path = Path::new("/var/lib/logrotate/status");
        if ["status", "logrotate.status"].iter().any(|name| path.with_file_name(name).exists()) {
            return Self(None);
        }
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (log, conf) = (dir.path().join("app.log"), dir.path().join("conf"));
        std::fs::write(&log, "a line\n").unwrap();
        let text = format!("{} {{\n rotate 2\n su root root\n}}\n", log.display());
        std::fs::write(&conf, text).unwrap();
        let ran = Command::new("logrotate").arg("-f").arg("-s").arg(path).arg(&conf).status();
        assert!(ran.unwrap().success());
        Self(Some(path.to_owned()))
    }
}

impl Drop for LogrotateState {
    fn drop(&mut self) {
        self.0.take().map(std::fs::remove_file);
    }
}

/// Queries that fail, and panels of which a query gives nothing; one of several is named by its letter.
fn check_panels(prometheus: &Prometheus, files: &[&Path]) -> (Vec<String>, Vec<String>) {
    let mut command = Command::new("/usr/bin/python3");
    let output = command.arg(repository("dashboards/src/queries.py")).args(files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let queries: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let title = |query: &Value| {
        format!("{}: {}", query["dashboard"].as_str().unwrap(), query["title"].as_str().unwrap())
    };
    let mut panels = BTreeMap::<String, usize>::new();
    for query in queries.iter().filter(|query| query["kind"] == "panel") {
        *panels.entry(title(query)).or_default() += 1;
    }
    let (mut errors, mut empty) = (Vec::new(), Vec::new());
    for query in &queries {
        let title = title(query);
        match prometheus.ask(query["expr"].as_str().unwrap()) {
            Ok(0) if panels.get(&title).is_some_and(|&count| count > 1) => {
                empty.push(format!("{title} {}", query["refId"].as_str().unwrap()));
            }
            Ok(0) if query["kind"] == "panel" => empty.push(title),
            Ok(_) => {}
            Err(error) => errors.push(format!("{title}: {error}")),
        }
    }
    (errors, empty)
}

/// The checker is worth something: it finds a broken query and an empty panel.
fn the_checker_checks(prometheus: &Prometheus) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("made_up.json");
    let board = serde_json::json!({
        "uid": "made-up", "templating": {"list": []}, "annotations": {"list": []},
        "panels": [
            {"id": 1, "type": "stat", "title": "broken", "targets": [{"refId": "A", "expr": "sum(("}]},
            {"id": 2, "type": "stat", "title": "empty", "targets": [{"refId": "A", "expr": "telltale_nothing"}]},
            {"id": 3, "type": "stat", "title": "half", "targets": [
                {"refId": "A", "expr": "up"}, {"refId": "B", "expr": "telltale_nothing"}]},
            {"id": 4, "type": "stat", "title": "full", "targets": [{"refId": "A", "expr": "up"}]},
        ],
    });
    std::fs::write(&file, board.to_string()).unwrap();
    let (errors, empty) = check_panels(prometheus, &[&file]);
    assert!(errors.len() == 1 && errors[0].starts_with("made-up: broken"), "{errors:?}");
    assert_eq!(empty, ["made-up: empty", "made-up: half B"]);
}

#[test]
fn what_happens_on_the_host_reaches_the_pager_and_every_panel() {
    let tools = ["prometheus", "prometheus-alertmanager", "logrotate"];
    if !need(&tools.map(Need::Tool)) {
        return;
    }
    let Some(mut scene) = AuditScene::start() else { return };
    auditctl("-e 1");
    auditctl("-b 8192");
    let uid = scene.uid;
    scene.rules_of("30-telltale.rules", uid);
    scene.rules_of("optional/31-telltale-forks.rules", uid);
    let mut stack = Stack::start(&scene.log());
    let target = format!("127.0.0.1:{}", stack.exporter.address.port());
    the_checker_checks(&stack.prometheus);

    // A user in its limit.
    let user = free_uid().to_string();
    let load = Load::start(&["--uid", &user, "--nproc", "64:64", "fork", "100"]);
    let alert = stack.await_alert(
        "TelltaleUserCannotFork",
        &[("uid", &user), ("instance", &target)],
        "firing",
    );
    assert_eq!((note(&alert, "value"), note(&alert, "limit")), ("64 tasks", "64"));
    assert!(note(&alert, "commands").starts_with("load 64"), "{alert}");
    assert!(note(&alert, "runbook_url").ends_with("TelltaleUserCannotFork.md"));

    // Again and again, for a counter is seen to rise from its second sample on: a process killed, forks
    // refused with the rule and by a cgroup, auditing weakened, a line with a capture.
    let zombies = Load::start(&["--uid", &free_uid().to_string(), "zombies", "5"]);
    let cgroup = Cgroup::new(&pids_root(), &format!("telltale-{uid}"), "17");
    let setpriv = format!("setpriv --reuid {uid} --regid {uid} --clear-groups bash -c");
    for _ in 0..3 {
        let script = format!("{setpriv} 'sleep 600 & sleep 0.5; kill -9 $!; kill -SEGV $$'");
        let _ = Command::new("sh").args(["-c", &script]).status().unwrap();
        let refused = Load::start(&["--uid", &uid.to_string(), "--nproc", "10:10", "fork", "100"]);
        let rejected = cgroup.load(free_uid(), 100);
        assert!(refused.refused && rejected.refused);
        auditctl("-b 9000");
        auditctl("-b 8192");
        append(&stack.log, SSHD);
        std::thread::sleep(Duration::from_secs(2));
    }
    let kill = [("sender", "bash"), ("target", "sleep")];
    let alert = stack.await_alert("TelltaleProcessKilled", &kill, "firing");
    assert_eq!(note(&alert, "commands"), "bash killed sleep");
    assert!((1..=3).contains(&number(&alert)), "{alert}");

    // Lines whose meaning is known, and some that nobody knows; then a rotation.
    append(
        &stack.log,
        "Nov 20 05:08:29 web04 kernel: EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm x: reading directory lblock 0\n",
    );
    append(&stack.log, "Nov 20 05:08:29 web04 app[7]: nobody knows this line\n");
    // What the kernel says of its disk; the sshd line is inhibited by the user who cannot fork.
    let ext4 = [("signature", "ext4-error"), ("instance", &*target)];
    let critical = stack.await_alert("TelltaleLogSignatureCritical", &ext4, "firing");
    assert!(note(&critical, "description").contains(&target), "{critical}");
    assert_eq!(note(&critical, "value"), "1 in 10 min");
    std::fs::rename(&stack.log, stack.log.with_file_name("messages.1")).unwrap();
    append(&stack.log, "Nov 20 05:08:30 web04 app[7]: nobody knows this line either\n");

    // Memory runs out in a cgroup: a line of the kernel's own.
    let memory = MemoryCgroup::new(16 << 20);
    memory.overflow();
    memory.overflow();
    let oom = [("signature", "kernel-memcg-oom-kill"), ("severity", "warning")];
    let alert = stack.await_alert("TelltaleOomKill", &oom, "firing");
    assert!(number(&alert) >= 1, "{alert}");

    // The audit queue overflows.
    // Who waits for room waits less than an event waits for its next record.
    let storm = scene.overflow(100);
    let losing = [("instance", &*target)];
    let alert = stack.await_alert("TelltaleAuditLosingRecords", &losing, "firing");
    assert_eq!(note(&alert, "limit"), "16");
    assert!(number(&alert) >= 1, "{alert}");
    scene.relieve(storm);

    // logrotate's state, where this host has none.
    let _state = LogrotateState::make();
    eventually("logrotate's state is there", || {
        let seen = "count(telltale_logrotate_last_rotation_timestamp_seconds)";
        stack.prometheus.query(seen).is_some()
    });

    // Every panel of every dashboard, now that everything has happened.
    let boards: Vec<_> = std::fs::read_dir(repository("dashboards")).unwrap().flatten().collect();
    let boards: Vec<_> = boards.iter().map(std::fs::DirEntry::path).collect();
    let boards: Vec<_> = boards
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .map(PathBuf::as_path)
        .collect();
    assert_eq!(boards.len(), 6);
    stack.check_boards(&boards);
    drop(zombies);

    // What is over is told as over.
    drop(load);
    for (alert, labels) in [
        ("TelltaleUserCannotFork", &[("uid", &*user)][..]),
        ("TelltaleProcessKilled", &kill),
        ("TelltaleLogSignatureCritical", &ext4),
        ("TelltaleOomKill", &oom),
        ("TelltaleAuditLosingRecords", &losing),
    ] {
        stack.await_alert(alert, labels, "resolved");
    }
    stack.exporter.stop(Signal::KILL);
    stack.await_alert("TelltaleExporterDown", &[("instance", &target)], "firing");
}
