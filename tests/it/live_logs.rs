//! Lines appended to real files, counted by the real binary.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::common::{Exporter, Scrape, eventually};
use super::host::{Host, PROCESS};

/// Every log line that the seeds quote, as quoted, with the signature that counts it and how often.
pub const SEEDS: [(&str, &str, u32); 28] = [
    ("-bash: fork: retry: Resource temporarily unavailable", "bash-fork-retry", 1),
    ("-bash: fork: Interrupted system call", "bash-fork-retry", 1),
    (
        "Aug  4 07:33:01 ht-web04 sshd[14488]: Accepted password for happytuk from 10.10.30.134 port 63922 ssh2",
        "sshd-accepted",
        1,
    ),
    (
        "Aug  4 07:33:02 ht-web04 sshd[14488]: pam_unix(sshd:session): session opened for user happytuk by (uid=0)",
        "pam-session",
        1,
    ),
    (
        "Aug  4 07:33:02 ht-web04 sshd[14492]: fatal: setresuid 500: Resource temporarily unavailable",
        "sshd-setresuid-nproc",
        1,
    ),
    (
        "Aug  4 07:33:02 ht-web04 sshd[14488]: pam_unix(sshd:session): session closed for user happytuk",
        "pam-session",
        1,
    ),
    (
        "Aug  4 09:10:01 ht-web04 crond[15868]: (happytuk) ERROR (failed to change user)",
        "cron-change-user",
        1,
    ),
    (
        "pam_systemd_(sshd:session): Failed to release session: Interrupted system call",
        "pam-systemd-release-session",
        1,
    ),
    (
        "kernel: [drm:drm_atomic_helper_wait_for_dependencies [drm_ksm_helper]] *ERROR* [CRTC:37:crtc-0] flip_done timed out",
        "vmware-flip-done",
        1,
    ),
    (
        "rtkit-daemon: The canary thread is apparently starving. Taking action.",
        "rtkit-canary-starving",
        1,
    ),
    (
        "gnome-software: failed to call gs_plugin_refresh on packagekit-refresh: failure:",
        "gnome-software-refresh",
        1,
    ),
    (
        "gnome-software: failed to call gs_plugin_refresh on shell-extenstions:",
        "gnome-software-refresh",
        1,
    ),
    ("gnome-software: failed to call gs_plugin_refresh on odrs:", "gnome-software-refresh", 1),
    ("named: managed-keys-zone: No DNSKEY RRSIGs found for '.': success", "named-managed-keys", 1),
    ("kernel: net_ratelimit: 7 callbacks suppressed", "net-ratelimit-suppressed", 7),
    ("kerenl: <asm>:[INFO]Filter atamptl unregister", "ahnlab-v3-module", 1),
    ("kernel: <atamptl>:[INFO]Unloaded atamptl", "ahnlab-v3-module", 1),
    ("kernel: <asm>:[INFO]AhnLab. Securiry Module Version 3.4.3.8 unloaded", "ahnlab-v3-module", 1),
    (
        "kernel: Request for unknown module key 'AhnLab, Inc.: AhnLab Code Signig - 2022.001: a0ee2da1~~~ err -11",
        "ahnlab-v3-module",
        1,
    ),
    ("kernel: <atamptl>:[INFO]ASM Version 3.4.3.8", "ahnlab-v3-module", 1),
    (
        "systemd-tmpfiles: failed to parse ACL \"group:adm:r--,group:wheel:r--\": Invalid argument. Ignoring",
        "tmpfiles-acl-group",
        1,
    ),
    ("dispatch_procotol_error: type 11 seq 11", "ssh-dispatch-protocol-error", 1),
    ("logrotate: ALTER exited abnormally with [1]", "logrotate-exited-abnormally", 1),
    ("audit: audit_backlog=321 > audit_backlog_limit=320", "audit-backlog-exceeded", 1),
    ("audit: audit_lost=44393 audit_rate_limit=0 audit_backlog_limit=320", "audit-lost", 1),
    ("audit: backlog limit exceeded", "audit-backlog-exceeded", 1),
    ("audit_printk_skb: 153 callbacks suppressed", "audit-printk-suppressed", 153),
    ("audit_printk_skb: 114 callbacks suppressed", "audit-printk-suppressed", 114),
];

pub fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// The count of a signature, whatever its severity and verdict.
pub fn count(scrape: &Scrape, signature: &str) -> f64 {
    let start = format!("telltale_log_signature_matches_total{{signature=\"{signature}\",");
    let series = scrape.series().find(|series| series.starts_with(&start));
    scrape.value(series.unwrap_or_else(|| panic!("no {start}")))
}

struct Logs {
    dir: tempfile::TempDir,
    exporter: Exporter,
}

impl Logs {
    /// Follows a file that has one line already.
    fn start(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (log, config) = (dir.path().join("syslog"), dir.path().join("telltale.yml"));
        std::fs::write(&log, "audit: backlog limit exceeded\n").unwrap();
        let text =
            format!("logs:\n  sources: [{{name: syslog, files: ['{}']}}]\n{more}", log.display());
        std::fs::write(&config, text).unwrap();
        let exporter = Exporter::start(&[&format!("--config.file={}", config.display())]);
        Self { dir, exporter }
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("syslog")
    }

    /// The scrape after so many lines were read.
    fn after(&self, lines: u32) -> Scrape {
        let read = "telltale_log_lines_total{source=\"syslog\"}";
        let scrape = || self.exporter.scrape_path("/metrics?collect[]=logs");
        eventually("the lines are read", || scrape().value(read) == f64::from(lines));
        scrape()
    }
}

#[test]
fn every_line_of_the_seeds_is_counted_by_its_signature() {
    let logs = Logs::start("");
    let start = logs.after(0);
    assert_eq!(
        count(&start, "audit-backlog-exceeded"),
        0.0,
        "what was there before is not counted"
    );
    let mut expected = std::collections::BTreeMap::new();
    for ((line, signature, times), lines) in SEEDS.iter().zip(1..) {
        append(&logs.log(), &format!("{line}\n"));
        *expected.entry(signature).or_insert(0) += times;
        let scrape = logs.after(lines);
        assert_eq!(count(&scrape, signature), f64::from(expected[signature]), "{line}");
    }
    let scrape = logs.exporter.scrape();
    for (signature, expected) in expected {
        assert_eq!(count(&scrape, signature), f64::from(expected), "{signature} in the end");
    }
    assert_eq!(scrape.value("telltale_log_unmatched_lines_total{source=\"syslog\"}"), 0.0);
    assert_eq!(scrape.value("telltale_log_lag_bytes{source=\"syslog\"}"), 0.0);
    let bytes: usize = SEEDS.iter().map(|(line, ..)| line.len() + 1).sum();
    assert_eq!(scrape.value("telltale_log_bytes_total{source=\"syslog\"}"), bytes as f64);
    // As the seeds judge them.
    for judged in [
        "vmware-flip-done\",severity=\"info\",verdict=\"harmless\"",
        "ahnlab-v3-module\",severity=\"info\",verdict=\"harmless\"",
        "audit-backlog-exceeded\",severity=\"critical\",verdict=\"act\"",
    ] {
        let series = format!("telltale_log_signature_matches_total{{signature=\"{judged}}}");
        assert!(scrape.get(&series).is_some(), "{series}");
    }
    let uid = "telltale_log_signature_captures_total{signature=\"sshd-setresuid-nproc\",name=\"uid\",value=\"500\"}";
    assert_eq!(scrape.value(uid), 1.0);
    let page = logs.exporter.get("/").text();
    let line = page.lines().find(|line| line.contains("The audit queue overflowed")).unwrap();
    let words: Vec<_> = line.split_whitespace().take(4).collect();
    assert_eq!(words, ["act", "critical", "2", "audit-backlog-exceeded"]);
}

#[test]
fn repeated_messages_and_unknown_lines() {
    let logs = Logs::start("");
    append(
        &logs.log(),
        "Nov 20 05:08:31 h kernel: message repeated 4 times: [ audit: backlog limit exceeded]\n",
    );
    append(
        &logs.log(),
        "Nov 20 05:08:31 h app: nobody knows \u{1b}[2J\nNov 20 05:08:31 h app: half a l",
    );
    let scrape = logs.after(2);
    assert_eq!(count(&scrape, "audit-backlog-exceeded"), 4.0);
    assert_eq!(scrape.value("telltale_log_unmatched_lines_total{source=\"syslog\"}"), 1.0);
    append(&logs.log(), "ine\n");
    logs.after(3);
}

#[test]
fn it_goes_on_after_a_rename() {
    let logs = Logs::start("");
    append(&logs.log(), "audit: backlog limit exceeded\n");
    logs.after(1);
    append(&logs.log(), "audit: backlog limit exceeded\n");
    std::fs::rename(logs.log(), logs.dir.path().join("syslog.1")).unwrap();
    append(&logs.log(), "audit: backlog limit exceeded\n");
    assert_eq!(count(&logs.after(3), "audit-backlog-exceeded"), 3.0);
}

#[test]
fn signatures_of_ones_own_and_switched_off() {
    let own = tempfile::tempdir().unwrap();
    let yaml = "- {id: mine, title: Mine, pattern: 'my (?P<what>\\S+) broke', severity: warning, \
                verdict: act, captures: [what]}\n";
    std::fs::write(own.path().join("mine.yml"), yaml).unwrap();
    let more =
        format!("  signatures: ['{}/*.yml']\n  disable: [pam-session]\n", own.path().display());
    let logs = Logs::start(&more);
    append(&logs.log(), "Nov 20 05:08:31 h app: my disk broke\n");
    let scrape = logs.after(1);
    assert_eq!(count(&scrape, "mine"), 1.0);
    let what =
        "telltale_log_signature_captures_total{signature=\"mine\",name=\"what\",value=\"disk\"}";
    assert_eq!(scrape.value(what), 1.0);
    assert!(!scrape.series().any(|series| series.contains("pam-session")));
}

/// The exporter on a host of this layout below `--path.rootfs`.
fn on(files: &[&str]) -> Exporter {
    let mut host = Host::empty();
    host.add(PROCESS);
    for file in files {
        host.file(&format!("root/{file}"), "");
    }
    let flags = host.flags();
    Exporter::start(&flags.each_ref().map(String::as_str))
}

#[test]
fn sources_are_chosen_for_the_host() {
    let sources = |files: &[&str]| {
        let exporter = on(files);
        let scrape = exporter.scrape();
        let up = "telltale_log_source_up{source=\"";
        let sources: Vec<_> = scrape
            .series()
            .filter_map(|series| Some(series.strip_prefix(up)?.trim_end_matches("\"}").to_owned()))
            .collect();
        sources
    };
    let debian = ["var/log/syslog", "var/log/auth.log", "var/log/kern.log"];
    assert_eq!(sources(&debian), ["auth", "syslog"], "syslog has the kernel's lines already");
    let red_hat = ["var/log/messages", "var/log/secure", "var/log/cron"];
    assert_eq!(sources(&red_hat), ["cron", "messages", "secure"]);
    assert!(sources(&[]).is_empty());
}

#[test]
fn a_host_with_the_journal_alone_is_told_so() {
    let exporter = on(&[]);
    let page = exporter.get("/").text();
    assert!(page.contains("! logs: no log is followed"), "{page}");
    exporter.scrape();
    eventually("it is logged", || exporter.log().contains("no log is followed"));
}

#[test]
fn a_source_that_cannot_be_read_is_down_and_comes_back() {
    let logs = Logs::start("");
    let up = || {
        let scrape = logs.exporter.scrape_path("/metrics?collect[]=logs");
        scrape.value("telltale_log_source_up{source=\"syslog\"}")
    };
    eventually("it is up", || up() == 1.0);
    std::fs::remove_file(logs.log()).unwrap();
    eventually("it is down", || up() == 0.0);
    assert!(logs.exporter.get("/").text().contains("! logs: source syslog: "));
    File::create(logs.log()).unwrap();
    eventually("it is up again", || up() == 1.0);
    append(&logs.log(), "audit: backlog limit exceeded\n");
    assert_eq!(count(&logs.after(1), "audit-backlog-exceeded"), 1.0);
}

/// The audit log does not say it: what the kernel's OOM killer ended is told beside the signals.
#[test]
fn what_the_oom_killer_ended_is_told() {
    let logs = Logs::start("");
    append(
        &logs.log(),
        "Nov 20 05:08:29 h kernel: [  99.5] Out of memory: Killed process 4242 (java) total-vm:8388608kB, \
         anon-rss:4194304kB, file-rss:0kB, shmem-rss:0kB, UID:994 pgtables:9000kB oom_score_adj:0\n",
    );
    logs.after(1);
    let page = logs.exporter.get("/kills").text();
    let told = " log: Nov 20 05:08:29 h kernel: [  99.5] Out of memory: Killed process 4242 (java)";
    assert!(page.contains(told), "{page}");
    assert!(page.contains("no source brings audit events"), "{page}");
}

/// The last match of a signature, in seconds since 1970; a test's lines have full ones.
fn last_match(scrape: &Scrape, signature: &str) -> i64 {
    let seconds = scrape.value(&format!(
        "telltale_log_signature_last_match_timestamp_seconds{{signature=\"{signature}\"}}"
    ));
    jiff::SignedDuration::from_secs_f64(seconds).as_secs()
}

/// In seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The lines that follow a line are about it, and not what is to be told.
#[test]
fn what_is_repeated_is_told_not_that_it_was() {
    let logs = Logs::start("");
    let header = "2025-11-20T05:08:29+00:00 h";
    let told = [
        ("kernel: Out of memory: Killed process 4242 (java) total-vm:8388608kB", "4242 (java)"),
        ("systemd[1]: web.service: Main process exited, code=killed, status=9/KILL", "web.service"),
    ];
    for (lines, (message, _)) in [2, 4].into_iter().zip(told) {
        append(
            &logs.log(),
            &format!("{header} {message}\n{header} last message repeated 2 times\n"),
        );
        logs.after(lines);
    }
    let page = logs.exporter.get("/kills").text();
    for (_, what) in told {
        assert_eq!(page.matches(what).count(), 2, "{page}");
    }
    assert!(!page.contains("last message"), "{page}");
    assert_eq!(page.matches(":29 log: ").count(), 4, "{page}");
}

#[test]
fn the_last_match_is_when_the_line_was_written() {
    let logs = Logs::start("");
    let refused = "sshd[7]: fatal: setresuid 500: Resource temporarily unavailable";
    let start = now();
    let at = |ago: i64| {
        let time = jiff::Timestamp::from_second(start - ago).unwrap();
        format!("{time} h {refused}\n")
    };
    // Written so long ago, and the last match after that.
    for (lines, ago, last) in [(1, 7200, 7200), (2, 9000, 7200), (3, 60, 60)] {
        append(&logs.log(), &at(ago));
        let scrape = logs.after(lines);
        assert_eq!(last_match(&scrape, "sshd-setresuid-nproc"), start - last, "{ago}");
    }
    // A little ahead of this clock, and by far too much.
    append(&logs.log(), &at(-120));
    assert_eq!(last_match(&logs.after(4), "sshd-setresuid-nproc"), start + 120);
    let future = at(-4000).replace("fatal: setresuid 500", "error: fork");
    append(&logs.log(), &future);
    let read = last_match(&logs.after(5), "sshd-connection-fork");
    assert!((start..=now()).contains(&read), "{read}");
    // One that does not say.
    append(&logs.log(), "audit: backlog limit exceeded\n");
    let read = last_match(&logs.after(6), "audit-backlog-exceeded");
    assert!((start..=now()).contains(&read), "{read}");
}

/// What a late syslog daemon wrote is dated by a line that has both clocks.
#[test]
fn a_kernel_line_is_dated_by_the_kernels_clock() {
    let logs = Logs::start("");
    // Of a boot before the present one, which would date them as well.
    let boot = telltale_exporter::internals::kernel_start() / 1_000_000 - 100_000;
    let header = jiff::Timestamp::from_second(boot + 1500).unwrap();
    append(
        &logs.log(),
        &format!(
            "{header} h kernel: [   40.000000] audit: type=1305 audit({}.000:2): op=set\n\
             {header} h kernel: [   80.000000] Out of memory: Killed process 4242 (java) total-vm:8kB\n",
            boot + 40
        ),
    );
    let oom = || last_match(&logs.after(2), "kernel-oom-kill");
    assert_eq!(oom(), boot + 80);
}

/// The boot that runs is known without such a line.
#[test]
fn a_kernel_line_of_this_boot_is_dated_by_the_clock_of_the_host() {
    let logs = Logs::start("");
    let boot = telltale_exporter::internals::kernel_start() / 1_000_000;
    let header = jiff::Timestamp::from_second(now()).unwrap();
    let uptime = now() - boot - 30;
    let line = "Out of memory: Killed process 4242 (java) total-vm:8kB";
    append(&logs.log(), &format!("{header} h kernel: [{uptime:5}.000000] {line}\n"));
    let last = last_match(&logs.after(1), "kernel-oom-kill");
    assert!((last - (boot + uptime)).abs() < 3, "{last} {boot} {uptime}");
}

#[test]
fn an_audit_event_that_is_told_twice_counts_once() {
    let logs = Logs::start("");
    let words =
        |pid: u32| format!("apparmor=\"DENIED\" operation=\"open\" profile=\"x\" pid={pid}");
    let mut lines = 0;
    let mut denied = |text: &str| {
        lines += u32::try_from(text.lines().count()).unwrap();
        append(&logs.log(), text);
        count(&logs.after(lines), "apparmor-denied")
    };
    let audit =
        |pid: u32| format!("2026-11-20T05:07:10+00:00 h audit[{pid}]: AVC {}\n", words(pid));
    let kernel = |pid: u32, serial: u32| {
        format!(
            "2026-11-20T05:07:10+00:00 h kernel: audit: type=1400 audit(1795151230.1:{serial}): {}\n",
            words(pid)
        )
    };
    assert_eq!(denied(&format!("{}{}", audit(7), kernel(7, 1))), 1.0);
    assert_eq!(denied(&kernel(8, 2)), 2.0);
    assert_eq!(denied(&audit(8)), 2.0);
    assert_eq!(denied(&format!("{}{}{}", audit(7), audit(7), kernel(7, 3))), 4.0);
    assert_eq!(denied(&kernel(7, 4)), 4.0);
    assert_eq!(denied(&kernel(7, 4)), 4.0);
}

/// Traditional times are of the zone of the host that `--path.rootfs` shows.
#[test]
fn traditional_times_are_of_the_hosts_zone() {
    let mut host = Host::empty();
    host.add(PROCESS);
    host.file("root/var/log/syslog", "");
    host.file("root/var/log/auth.log", "");
    host.file("root/etc/hostname", "h");
    let log = host.path("root/var/log/auth.log");
    std::os::unix::fs::symlink("/usr/share/zoneinfo/X", host.path("root/etc/localtime")).unwrap();
    // An hour and a half ahead of UTC.
    let zone = [
        &b"TZif2"[..],
        &[0; 15],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4],
        &5400i32.to_be_bytes(),
        &[0, 0],
        b"XYZ\0",
        b"TZif2",
        &[0; 15],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4],
        &5400i32.to_be_bytes(),
        &[0, 0],
        b"XYZ\0",
        b"\n<XYZ>-1:30\n",
    ]
    .concat();
    host.file("root/usr/share/zoneinfo/X", &zone);
    let flags = host.flags();
    let exporter = Exporter::start(&flags.each_ref().map(String::as_str));
    let start = now();
    let local = jiff::Timestamp::from_second(start - 7200 + 5400).unwrap();
    let local = local.to_zoned_datetime(jiff::tz::TimeZone::UTC).strftime("%b %e %H:%M:%S");
    append(
        &log,
        &format!("{local} h sshd[7]: fatal: setresuid 500: Resource temporarily unavailable\n"),
    );
    let scrape = || exporter.scrape_path("/metrics?collect[]=logs");
    eventually("it is read", || count(&scrape(), "sshd-setresuid-nproc") == 1.0);
    assert_eq!(last_match(&scrape(), "sshd-setresuid-nproc"), start - 7200);
}
