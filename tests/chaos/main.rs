//! Real writers, real logrotate, real rsyslogd, logs that are renamed as log4j2 does it and that swap their names, and
//! an exporter that is killed and stopped at random; a real Prometheus scrapes it each second, and mtail follows the
//! same files beside it.
//!
//! In the end the counters must equal what was written, digit by digit of the lines' numbers; where
//! copytruncate destroyed lines that no file holds, they must lie between what the files hold and what
//! was written. Prometheus' raw samples must give the same increase, and never fall.
//!
//! `TELLTALE_CHAOS_SECONDS=1800 cargo test --test chaos -- --nocapture` is the long form; the seed that it
//! prints repeats its order of events with `TELLTALE_CHAOS_SEED`.

#![allow(unreachable_pub, reason = "nobody uses a program as a library")]
#![allow(clippy::float_cmp, reason = "counts are whole numbers")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts")]

#[path = "../it/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other tests, which use the rest")]
mod common;
mod daemons;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Exporter, Need, Prometheus, Scrape, eventually, need};
use daemons::{Mtail, Rsyslog};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::Signal;
use writer::{Numbers, Writer};

/// Each line is an event; its number is counted by digit, so that a line that is lost and one that is
/// counted twice do not make up for each other.
const SIGNATURES: &str = r"
- {id: file-event, title: An event, pattern: '^file-event \d+(?P<hundred>\d)(?P<ten>\d)(?P<one>\d) of a writer$',
   severity: info, verdict: watch, captures: [hundred, ten, one]}
- {id: copy-event, title: An event, pattern: '^copy-event \d+(?P<hundred>\d)(?P<ten>\d)(?P<one>\d) of a writer$',
   severity: info, verdict: watch, captures: [hundred, ten, one]}
- {id: app-event, title: An event, pattern: '^app-event \d+(?P<hundred>\d)(?P<ten>\d)(?P<one>\d) of a writer$',
   severity: info, verdict: watch, captures: [hundred, ten, one]}
- {id: swap-event, title: An event, pattern: '^swap-event \d+(?P<hundred>\d)(?P<ten>\d)(?P<one>\d) of a writer$',
   severity: info, verdict: watch, captures: [hundred, ten, one]}
- {id: syslog-event, title: An event, pattern: '^syslog-event \d+(?P<hundred>\d)(?P<ten>\d)(?P<one>\d) of a writer$',
   severity: info, verdict: watch, captures: [hundred, ten, one]}
";

const KINDS: [&str; 5] = ["file", "copy", "syslog", "app", "swap"];

/// Counts by capture and digit.
type Digits = BTreeMap<(usize, char), u32>;

/// A small generator, so that a seed repeats a run.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

struct Field {
    dir: tempfile::TempDir,
    flags: Vec<String>,
    port: u16,
}

impl Field {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for kind in KINDS {
            fs::create_dir(dir.path().join(kind)).unwrap();
        }
        // Signatures are shown from the first log on that can be read.
        fs::write(dir.path().join("copy/log"), "").unwrap();
        fs::write(dir.path().join("event.yml"), SIGNATURES).unwrap();
        let source = |kind: &str, files: &str| {
            let format = if kind == "syslog" { "syslog" } else { "plain" };
            let at = dir.path().display();
            format!("    - {{name: {kind}, files: ['{at}/{kind}/{files}'], format: {format}}}\n")
        };
        let config = format!(
            "logs:\n  signatures: ['{}/event.yml']\n  sources:\n{}{}{}{}{}",
            dir.path().display(),
            source("file", "*.log"),
            source("copy", "log"),
            source("syslog", "messages"),
            source("app", "*.log"),
            source("swap", "*.log"),
        );
        fs::write(dir.path().join("telltale.yml"), config).unwrap();
        let port = common::daemon::free_port();
        let flags = vec![
            format!("--config.file={}/telltale.yml", dir.path().display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Self { dir, flags, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn exporter(&self) -> Exporter {
        let mut command = common::exporter_command();
        command.args(&self.flags);
        Exporter::run_in(self.dir.path(), command)
    }

    /// Writes what logrotate does with the logs of the three kinds.
    fn logrotate_config(&self, rsyslog: u32) {
        let at = self.dir.path().display();
        let common = "rotate 900\nmissingok\nnotifempty\nsu root root\n";
        // What is compressed at once must not be written any more.
        let let_go = format!(
            "until [ \"$(cat {at}/one.log.inode)\" = \"$(stat -c %i {at}/file/one.log)\" ]; do sleep 0.05; done"
        );
        let text = format!(
            "{at}/file/one.log {{\n{common}create\ncompress\npostrotate\n{let_go}\nendscript\n}}\n\
             {at}/file/two.log {{\n{common}create\ncompress\ndelaycompress\ndateext\ndateformat -%Y%m%d-%s\nextension .log\n}}\n\
             {at}/copy/log {{\n{common}copytruncate\ncompress\n}}\n\
             {at}/syslog/messages {{\n{common}create\ndelaycompress\ncompress\npostrotate\nkill -HUP {rsyslog}\nendscript\n}}\n"
        );
        fs::write(self.path("logrotate.conf"), text).unwrap();
    }

    fn logrotate(&self) {
        // The names with dates have seconds.
        std::thread::sleep(Duration::from_millis(1050));
        let state = self.path("logrotate.state");
        let output = Command::new("logrotate")
            .arg("--force")
            .args(["--state".as_ref(), state.as_os_str(), self.path("logrotate.conf").as_os_str()])
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Where logs change their names, the writers go on in the files that they have open.
        let [one, other] = ["swap/a.log", "swap/b.log"].map(|name| self.path(name));
        renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    }

    /// Numbers that the files of a kind hold, rotated and compressed ones included.
    fn held(&self, kind: &str) -> BTreeSet<u32> {
        let mut held = BTreeSet::new();
        for entry in fs::read_dir(self.path(kind)).unwrap() {
            let text = read(&entry.unwrap().path());
            let word = format!("{kind}-event ");
            for line in text.lines() {
                let number = line.split_once(&word).and_then(|(_, rest)| rest.split(' ').next());
                let Some(number) = number.and_then(|number| number.parse().ok()) else { continue };
                assert!(held.insert(number), "{kind} {number} is there twice");
            }
        }
        held
    }
}

fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|ending| ending == "gz") {
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        return text;
    }
    String::from_utf8(bytes).unwrap()
}

/// How often each digit stands in the last three places.
fn digits<'a>(numbers: impl Iterator<Item = &'a u32>) -> Digits {
    let mut digits = Digits::new();
    for number in numbers {
        let text = number.to_string();
        for (place, digit) in text[text.len() - 3..].chars().enumerate() {
            *digits.entry((place, digit)).or_default() += 1;
        }
    }
    digits
}

/// The same from a scrape.
fn counted_digits(scrape: &Scrape, kind: &str) -> Digits {
    let mut digits = Digits::new();
    for (place, name) in ["hundred", "ten", "one"].iter().enumerate() {
        for digit in '0'..='9' {
            let series = format!(
                "telltale_log_signature_captures_total{{signature=\"{kind}-event\",name=\"{name}\",value=\"{digit}\"}}"
            );
            if let Some(count) = scrape.get(&series) {
                digits.insert((place, digit), count as u32);
            }
        }
    }
    digits
}

fn matches(kind: &str) -> String {
    format!(
        "telltale_log_signature_matches_total{{signature=\"{kind}-event\",severity=\"info\",verdict=\"watch\"}}"
    )
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The writers, each with the kind of its lines.
fn start_writers(field: &Field, rsyslog: &Rsyslog, seed: u64) -> [(&'static str, Writer); 8] {
    use Numbers::{HighestIsNewest, LowestIsNewest};
    let path = |name: &str| field.path(name);
    [
        ("file", Writer::to_file(&path("file/one.log"), "file-event", seed)),
        ("file", Writer::to_file(&path("file/two.log"), "file-event", seed + 1)),
        ("copy", Writer::in_place(&path("copy/log"), "copy-event", seed + 2)),
        ("syslog", Writer::to_socket(&rsyslog.socket, "syslog-event", seed + 3)),
        ("app", Writer::rotating(&path("app/up.log"), "app-event", seed + 4, HighestIsNewest)),
        ("app", Writer::rotating(&path("app/down.log"), "app-event", seed + 5, LowestIsNewest)),
        ("swap", Writer::in_place(&path("swap/a.log"), "swap-event", seed + 6)),
        ("swap", Writer::in_place(&path("swap/b.log"), "swap-event", seed + 7)),
    ]
}

/// One event, by chance; what it was.
fn disturb(field: &Field, exporter: &mut Exporter, dice: &mut Dice) -> &'static str {
    match dice.below(10) {
        0..5 => {
            field.logrotate();
            "rotation"
        }
        5..7 => {
            exporter.stop(Signal::KILL);
            std::thread::sleep(Duration::from_millis(dice.below(1500)));
            if dice.below(2) == 0 {
                field.logrotate();
            }
            *exporter = field.exporter();
            "kill -9"
        }
        7 => {
            exporter.stop(Signal::TERM);
            *exporter = field.exporter();
            "restart"
        }
        _ => {
            // Over several rotations.
            let pid = rustix::process::Pid::from_raw(exporter.pid().cast_signed()).unwrap();
            rustix::process::kill_process(pid, Signal::STOP).unwrap();
            for _ in 0..=dice.below(3) {
                field.logrotate();
                std::thread::sleep(Duration::from_millis(dice.below(1200)));
            }
            rustix::process::kill_process(pid, Signal::CONT).unwrap();
            "SIGSTOP over rotations"
        }
    }
}

#[test]
fn no_line_is_lost_or_counted_twice() {
    let tools = ["logrotate", "rsyslogd", "prometheus", "mtail"].map(Need::Tool);
    if !need(&[&[Need::Root], &tools[..]].concat()) {
        return;
    }
    let seconds = setting("TELLTALE_CHAOS_SECONDS", 40);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = setting("TELLTALE_CHAOS_SEED", clock.as_secs());
    println!("TELLTALE_CHAOS_SEED={seed}, {seconds} s");
    let mut dice = Dice(seed.max(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));

    let field = Field::new();
    let rsyslog = Rsyslog::start(field.dir.path());
    field.logrotate_config(rsyslog.pid());
    let mut exporter = field.exporter();
    let prometheus = Prometheus::scraping(field.port, &["logs"]);
    let mtail = Mtail::start(field.dir.path());
    eventually("Prometheus has the counters at 0", || {
        KINDS.iter().all(|kind| prometheus.samples(&matches(kind)).first() == Some(&0.0))
    });
    let writers = start_writers(&field, &rsyslog, seed);

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut events: BTreeMap<&str, u32> = BTreeMap::new();
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200 + dice.below(1200)));
        let what = disturb(&field, &mut exporter, &mut dice);
        *events.entry(what).or_default() += 1;
    }
    let mut written: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (kind, writer) in writers {
        written.entry(kind).or_default().extend(writer.stop());
    }
    eventually("rsyslogd has written everything", || {
        field.held("syslog").len() == written["syslog"].len()
    });
    println!("{events:?}");

    for kind in KINDS {
        let (written, held) = (&written[kind], field.held(kind));
        let (most, least) = (digits(written.iter()), digits(held.iter()));
        if kind != "copy" {
            assert_eq!(held.len(), written.len(), "{kind}: the writer's own lines are all there");
        }
        let mut last = Digits::new();
        // How fast it catches up is not the question here.
        let patience = Instant::now() + Duration::from_secs(180);
        while !least.iter().all(|(digit, count)| last.get(digit) >= Some(count)) {
            if Instant::now() > patience {
                let metrics = exporter.get("/metrics?collect[]=logs").text();
                let mine = format!("{{source=\"{kind}\"");
                let mine: Vec<_> = metrics.lines().filter(|line| line.contains(&mine)).collect();
                panic!(
                    "{kind}: {} written, {} held; within three minutes {mine:#?}\n{}",
                    written.len(),
                    held.len(),
                    exporter.log()
                );
            }
            last = counted_digits(&exporter.scrape_path("/metrics?collect[]=logs"), kind);
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_millis(1500));
        let scrape = exporter.scrape_path("/metrics?collect[]=logs");
        last = counted_digits(&scrape, kind);
        for (digit, count) in &last {
            assert!(
                *count >= least[digit] && *count <= most[digit],
                "{kind} {digit:?}: {count} of {} to {}\n{}\n{}",
                least[digit],
                most[digit],
                exporter.get("/metrics?collect[]=logs").text(),
                exporter.log()
            );
        }
        let counted = scrape.value(&matches(kind));
        eventually("Prometheus has the last value", || {
            prometheus.samples(&matches(kind)).last() == Some(&counted)
        });
        let samples = prometheus.samples(&matches(kind));
        assert!(samples.is_sorted(), "{kind}: a counter fell: {samples:?}");
        let increase = daemons::increase(&samples);
        assert_eq!(increase, counted, "{kind}: what Prometheus makes of it");
        for reason in ["cut", "hole", "truncated", "gone", "unreadable"] {
            let series =
                format!("telltale_log_lost_bytes_total{{source=\"{kind}\",reason=\"{reason}\"}}");
            assert_eq!(scrape.value(&series), 0.0, "{kind} {reason}");
        }
        println!(
            "{kind:>6}: written {}, held by files {}, telltale_exporter {counted}, increase() {increase}, mtail {}",
            written.len(),
            held.len(),
            mtail.lines(kind),
        );
    }
}
