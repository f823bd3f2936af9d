//! Catching up on a log that has grown by 1 GB while the exporter was stopped: lines and bytes a second
//! against `wc -l` and `grep -cF -f` over the same file in the same run, and what memory it took.
//!
//! `cargo bench --bench catch_up`; `TELLTALE_BENCH_MB` makes the log smaller.
#![allow(unreachable_pub, reason = "nobody uses a program as a library")]

#[path = "../it/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the tests, which use the rest")]
mod common;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::Exporter;
use rustix::process::{Pid, Signal, kill_process};

/// Lines of a usual host, of which one in a hundred is known.
const LINES: [&str; 10] = [
    "Nov 20 05:08:31 web04 systemd[1]: Started Session 4711 of User root.",
    "Nov 20 05:08:31 web04 CRON[2201]: (root) CMD (cd / && run-parts --report /etc/cron.hourly)",
    "Nov 20 05:08:32 web04 kubelet[911]: I1120 05:08:32.123456 911 kubelet.go:2205] SyncLoop (PLEG): event",
    "Nov 20 05:08:32 web04 dockerd[822]: time=\"2026-11-20T05:08:32Z\" level=info msg=\"ignoring event\" topic=/tasks/delete",
    "Nov 20 05:08:33 web04 sshd[4123]: Connection closed by 192.0.2.7 port 51234 [preauth]",
    "Nov 20 05:08:33 web04 nginx: 192.0.2.8 - - \"GET /health HTTP/1.1\" 200 2 \"-\" \"kube-probe/1.27\"",
    "Nov 20 05:08:34 web04 kernel: [ 1237.492680] device veth12ab entered promiscuous mode",
    "Nov 20 05:08:34 web04 dhclient[633]: DHCPACK of 192.0.2.20 from 192.0.2.1 (xid=0x5b4a)",
    "Nov 20 05:08:35 web04 rsyslogd: action 'action-0-builtin:omfile' resumed (module 'builtin:omfile')",
    "Nov 20 05:08:35 web04 postfix/smtpd[3112]: disconnect from unknown[192.0.2.9] ehlo=1 quit=1 commands=2",
];
const KNOWN: &str = "Nov 20 05:08:36 web04 kernel: [ 1238.1] audit: backlog limit exceeded";

fn main() {
    let size = std::env::var("TELLTALE_BENCH_MB").ok().and_then(|size| size.parse().ok());
    let size = size.unwrap_or(1000_usize) * 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::write(&log, "").unwrap();
    let config = dir.path().join("telltale.yml");
    let sources = format!("logs: {{sources: [{{name: log, files: ['{}']}}]}}\n", log.display());
    fs::write(&config, sources).unwrap();
    let config = format!("--config.file={}", config.display());
    let flags = [&*config, "--no-collector.audit", "--no-collector.users"];
    let exporter = Exporter::start_in(dir.path(), &flags);
    let pid = Pid::from_raw(exporter.pid().cast_signed()).unwrap();
    assert_eq!(lines(&exporter), 0);
    let before = status(exporter.pid(), "VmRSS:");

    kill_process(pid, Signal::STOP).unwrap();
    let (written, bytes) = fill(&log, size);
    let anchors = dir.path().join("anchors");
    fs::write(
        &anchors,
        "backlog limit exceeded\nfork: retry\nexited abnormally\ncallbacks suppressed\n",
    )
    .unwrap();
    // Once, so that all read from memory.
    let wc = timed("wc", &["-l".as_ref(), log.as_os_str()]);
    let grep = |log: &Path| {
        timed("grep", &["-cF".as_ref(), "-f".as_ref(), anchors.as_os_str(), log.as_os_str()])
    };
    println!("cold              wc {wc:?}, grep {:?}", grep(&log));

    let started = Instant::now();
    kill_process(pid, Signal::CONT).unwrap();
    eventually(|| lines(&exporter) == written);
    let took = started.elapsed();
    let peak = status(exporter.pid(), "VmHWM:");
    let (wc, grep) = (timed("wc", &["-l".as_ref(), log.as_os_str()]), grep(&log));
    let speed = |took: Duration| bytes as f64 / took.as_secs_f64() / 1e9;
    println!("log               {written} lines, {bytes} bytes");
    println!(
        "telltale_exporter {took:?}: {:.2} M lines/s, {:.3} GB/s",
        written as f64 / took.as_secs_f64() / 1e6,
        speed(took)
    );
    println!(
        "wc -l             {wc:?}: {:.3} GB/s, {:.2} times our time",
        speed(wc),
        wc.as_secs_f64() / took.as_secs_f64()
    );
    println!(
        "grep -cF -f       {grep:?}: {:.3} GB/s, {:.2} times our time",
        speed(grep),
        grep.as_secs_f64() / took.as_secs_f64()
    );
    println!(
        "memory            {:.1} MB before, at most {:.1} MB",
        before as f64 / 1e6,
        peak as f64 / 1e6
    );
    assert!(peak - before < 16_000_000, "it grew by {} bytes", peak - before);
}

fn fill(log: &Path, size: usize) -> (u64, u64) {
    let mut block = String::new();
    let mut count = 0;
    while block.len() < 8_000_000 {
        for nth in 0..99 {
            block.push_str(LINES[nth % 10]);
            block.push('\n');
        }
        block.push_str(KNOWN);
        block.push('\n');
        count += 100;
    }
    let mut file = File::options().append(true).open(log).unwrap();
    let times = size.div_ceil(block.len());
    for _ in 0..times {
        file.write_all(block.as_bytes()).unwrap();
    }
    (count * times as u64, (block.len() * times) as u64)
}

fn lines(exporter: &Exporter) -> u64 {
    let metrics = exporter.get("/metrics?collect[]=logs").text();
    let line = metrics.lines().find(|line| line.starts_with("telltale_log_lines_total{"));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

fn timed(program: &str, words: &[&std::ffi::OsStr]) -> Duration {
    let started = Instant::now();
    // A pipe: into /dev/null grep would end at the first match.
    assert!(Command::new(program).args(words).output().unwrap().status.success());
    started.elapsed()
}

/// More patient than that of the tests.
fn eventually(mut probe: impl FnMut() -> bool) {
    let started = Instant::now();
    while !probe() {
        assert!(started.elapsed() < Duration::from_secs(1200), "not within 20 minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
