//! The matcher with the whole catalogue on one core, in memory: a log of a busy host of which one line in
//! a hundred is known, and lines that are made to be nearly matched. In the same run, over the same
//! bytes: the floor (counting newlines), an automaton of all anchors, `RegexSet`, and as programs
//! `grep -cF -f`, `rg -cF -f`, `rg -c -f` and mtail with the same expressions.
//!
//! `cargo bench --bench matching`; `TELLTALE_BENCH_MB` makes the log smaller. Medians of [`ROUNDS`], the
//! programs once.
#![allow(unreachable_pub, reason = "nobody uses a program as a library")]
#![allow(missing_docs, reason = "a program, not a library")]

mod mix;

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use mix::{Numbers, one};
use telltale_exporter::internals::{Matcher, Signature, Wording, anchors, catalog, header};

const ROUNDS: usize = 5;

/// mtail and `RegexSet` get less of it, or they would take minutes.
const SLOW_BYTES: usize = 2_000_000;

fn main() {
    let size = std::env::var("TELLTALE_BENCH_MB").ok().and_then(|size| size.parse().ok());
    let size = size.unwrap_or(100_usize) * 1_000_000;
    let matcher = Matcher::new(catalog::built_in());
    let signatures = matcher.signatures();
    let known: Vec<_> = signatures.iter().flat_map(samples).collect();
    let mut numbers = Numbers::new(42);
    let (log, lines) = mix::log(size, 100, &known, &mut numbers);
    let misses: Vec<_> = signatures.iter().flat_map(near_misses).collect();
    let (misses, _) = mix::log(size / 5, 1, &misses, &mut numbers);
    let hostile = hostile(signatures, size / 20, &mut numbers);

    let found = count(&matcher, &log);
    println!(
        "{} signatures; {lines} lines of {} bytes, {found} matches",
        signatures.len(),
        log.len() as u64 / lines
    );
    // What a cycle is worth on this machine: each multiplication waits for the one before.
    let cycle = median(|| {
        (0..10_000_000_u64).fold(1_u64, |x, _| std::hint::black_box(x.wrapping_mul(x | 1)));
    }) / 30_000_000;
    println!("a cycle takes about {cycle:?}");
    let floor = show(
        "newlines counted (floor)",
        log.len(),
        None,
        median(|| memchr::memchr_iter(b'\n', &log).count()),
    );
    let ours =
        show("matcher", log.len(), None, median(|| assert_eq!(count(&matcher, &log), found)));
    println!("{:30} {:>8.3} of the floor", "", floor.as_secs_f64() / ours.as_secs_f64());
    let against = |what: &str, bytes: usize, took| {
        let share = bytes as f64 / log.len() as f64;
        show(what, bytes, Some(took_ratio(took, ours.mul_f64(share))), took);
    };
    against("matcher, near-misses", misses.len(), median(|| count(&matcher, &misses)));
    against("matcher, a dozen anchors a line", hostile.len(), median(|| count(&matcher, &hostile)));

    let expressions: Vec<_> =
        signatures.iter().flat_map(|s| s.pattern.0.iter().map(Wording::text)).collect();
    let literals: Vec<_> = expressions.iter().flat_map(|text| anchors::of(text).unwrap()).collect();
    let automaton =
        AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(&literals).unwrap();
    against(
        "Aho-Corasick of the anchors",
        log.len(),
        median(|| each(&log, |line| u64::from(automaton.is_match(line)))),
    );
    let some = &log[..SLOW_BYTES.min(log.len())];
    let set = regex::bytes::RegexSetBuilder::new(&expressions)
        .unicode(false)
        .size_limit(1 << 28)
        .build()
        .unwrap();
    against(
        "RegexSet",
        some.len(),
        median(|| each(some, |line| set.matches(line).iter().count() as u64)),
    );
    programs(&log, some, &literals, &expressions, &against);
}

/// Peers as their users have them.
fn programs(
    log: &[u8],
    some: &[u8],
    literals: &[Vec<u8>],
    expressions: &[&str],
    against: &dyn Fn(&str, usize, Duration),
) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (log_file, some_file) = (file("log", log), file("some.log", some));
    let literals = file("literals", &literals.join(&b'\n'));
    let unnamed = regex::Regex::new(r"\?P<\w+>").unwrap();
    let expressions: Vec<_> =
        expressions.iter().map(|text| unnamed.replace_all(text, "").into_owned()).collect();
    let expressions_file = file("expressions", expressions.join("\n").as_bytes());
    let run = |what: &str, bytes: &[u8], words: &[&str]| {
        let started = Instant::now();
        match Command::new(words[0]).args(&words[1..]).output() {
            Ok(output) if output.status.success() => against(what, bytes.len(), started.elapsed()),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                println!("{what:30} {:.100}", said.lines().last().unwrap_or_default());
            }
            Err(error) => println!("{what:30} {error}"),
        }
    };
    run("grep -cF -f anchors", log, &["grep", "-cF", "-f", &literals, &log_file]);
    run("rg -cF -f anchors", log, &["rg", "-j1", "-cF", "-f", &literals, &log_file]);
    let regexes = ["rg", "-j1", "-c", "--no-unicode", "-f", &expressions_file, &some_file];
    run("rg -c -f expressions", some, &regexes);
    let program = file("telltale.mtail", mtail(&expressions).as_bytes());
    let mtail = [
        "mtail",
        "-one_shot",
        "-logtostderr",
        "-progs",
        &program,
        "-logs",
        &some_file,
        "-port",
        "0",
        "-address",
        "127.0.0.1",
    ];
    run("mtail", some, &mtail);
}

/// The same expressions as a program of mtail: a counter for each.
fn mtail(expressions: &[String]) -> String {
    let mut program = String::new();
    for (nth, expression) in expressions.iter().enumerate() {
        let expression = expression.replace('/', r"\/");
        let _ = writeln!(program, "counter m{nth}\n/{expression}/ {{\n  m{nth}++\n}}");
    }
    program
}

/// Lines of the kernel with a dozen anchors of the kernel's signatures each, in the wrong words.
fn hostile(signatures: &[Signature], size: usize, numbers: &mut Numbers) -> Vec<u8> {
    let kernels =
        signatures.iter().filter(|s| s.programs.iter().any(|program| program == "kernel"));
    let wordings = kernels.flat_map(|s| &s.pattern.0);
    let anchors: Vec<_> = wordings.flat_map(|w| anchors::of(w.text()).unwrap()).collect();
    let mut log = Vec::new();
    while log.len() < size {
        log.extend_from_slice(b"Nov 20 05:08:31 web04 kernel: [ 1237.492680] ~");
        for _ in 0..12 {
            let anchor: &Vec<u8> = one(&anchors, numbers);
            log.extend_from_slice(anchor);
            log.push(b'~');
        }
        log.push(b'\n');
    }
    log
}

/// What the signature's samples are in syslog, after the host.
fn samples(signature: &Signature) -> Vec<String> {
    signature.samples.matching.iter().map(|sample| in_syslog(signature, sample.line())).collect()
}

fn near_misses(signature: &Signature) -> Vec<String> {
    signature.samples.no_match.iter().map(|line| in_syslog(signature, line)).collect()
}

fn in_syslog(signature: &Signature, line: &str) -> String {
    let own = signature.programs.first().map_or("app", |program| program);
    let line = header::parse(line.as_bytes());
    let text = String::from_utf8_lossy(line.message);
    let program = line.program.map_or(own.into(), String::from_utf8_lossy);
    format!("{program}[7]: {}", text.strip_prefix(&format!("{program}: ")).unwrap_or(&text))
}

fn count(matcher: &Matcher, log: &[u8]) -> u64 {
    each(log, |line| {
        if !matcher.concerns(line) {
            return 0;
        }
        matcher.matches(&header::parse(line)).len() as u64
    })
}

fn each(log: &[u8], mut line: impl FnMut(&[u8]) -> u64) -> u64 {
    let (mut start, mut sum) = (0, 0);
    for end in memchr::memchr_iter(b'\n', log) {
        sum += line(&log[start..end]);
        start = end + 1;
    }
    sum
}

fn median<T>(mut run: impl FnMut() -> T) -> Duration {
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            std::hint::black_box(run());
            started.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

fn took_ratio(took: Duration, ours: Duration) -> f64 {
    took.as_secs_f64() / ours.as_secs_f64()
}

fn show(what: &str, bytes: usize, ratio: Option<f64>, took: Duration) -> Duration {
    let speed = bytes as f64 / took.as_secs_f64() / 1e9;
    let ratio = ratio.map_or_else(String::new, |ratio| format!(", {ratio:.1} times our time"));
    println!("{what:30} {speed:>8.4} GB/s{ratio}");
    took
}
