//! What a scrape's scan costs against a floor that only lists `/proc` and reads every `status`.
//!
//! `cargo bench --bench scan [-- COUNT …]`, as root, for 1,000 and 10,000 processes unless told
//! otherwise. The processes belong to 30 users, so that their limits matter; floor and scan take turns
//! in one run, and medians are compared. A scan is what a scrape makes of it: table, cgroups, sums. The first scan, which reads everything, is told apart.
#![allow(unreachable_pub, reason = "nobody uses a program as a library")]
#![allow(missing_docs, reason = "a program, not a library")]
#![allow(unsafe_code, reason = "fork and setresuid of the processes to look at")]

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use telltale_exporter::internals::{Hierarchy, Scanner, usage_by_user};

const ROUNDS: usize = 31;
const USERS: u32 = 30;
/// As the tests' uids: a range that nobody gives out.
const FIRST_UID: u32 = 470_000;

fn main() {
    assert!(rustix::process::getuid().is_root(), "run it as root: it makes processes of 30 users");
    let asked: Vec<u32> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let counts = if asked.is_empty() { vec![1_000, 10_000] } else { asked };
    for count in counts {
        // Far from their limit, and past half of it, where limits are read again sooner.
        for (limit, what) in [(100_000, "calm"), (count / USERS + count / USERS / 2, "pressed")] {
            let crowd = Crowd::new(count, limit.into());
            measure(what);
            drop(crowd);
        }
    }
}

fn measure(what: &str) {
    let cgroups = Hierarchy::find(Path::new("/sys"));
    let version = cgroups.as_ref().map(Hierarchy::version);
    let mut scanner = Scanner::new("/proc".into(), version);
    let first = time(|| {
        scanner.scan().unwrap();
    });
    let processes = scanner.table().len();
    let (mut floors, mut scans, mut samples) = (Vec::new(), Vec::new(), Vec::new());
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let floor = time(read_every_status);
        let scan = time(|| {
            scanner.scan().unwrap();
            let rooms = cgroups.as_ref().map(|cgroups| cgroups.rooms(scanner.table()));
            std::hint::black_box(usage_by_user(scanner.table(), rooms.as_ref()));
        });
        samples.push(cpu(|| drop(scanner.sample().unwrap())));
        ratios.push(scan.as_secs_f64() / floor.as_secs_f64());
        floors.push(floor);
        scans.push(scan);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{processes} processes, {what}: floor {:.1?}, scan {:.1?} (first {first:.1?}), \
         ratio {:.2} [{:.2}..{:.2}], sample {:.1?} CPU",
        median(&mut floors),
        median(&mut scans),
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
        median(&mut samples),
    );
}

/// The floor: what anybody must do who counts tasks by real uid.
fn read_every_status() {
    let mut bytes = 0;
    for entry in std::fs::read_dir(Path::new("/proc")).unwrap().flatten() {
        if entry.file_name().as_encoded_bytes()[0].is_ascii_digit() {
            bytes += std::fs::read(entry.path().join("status")).map_or(0, |status| status.len());
        }
    }
    std::hint::black_box(bytes);
}

fn time(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn cpu(run: impl FnOnce()) -> Duration {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.try_into().unwrap())
    };
    let started = now();
    run();
    now().saturating_sub(started)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Sleeping processes, ended when dropped.
struct Crowd(Vec<i32>);

impl Crowd {
    fn new(count: u32, limit: u64) -> Self {
        let spawn = |nth: u32| {
            let uid = FIRST_UID + nth % USERS;
            // SAFETY: this program has one thread, and the child calls only system calls.
            let pid = unsafe {
                let pid = libc::fork();
                if pid == 0 {
                    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
                    libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit);
                    libc::setresuid(uid, uid, uid);
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    loop {
                        libc::pause();
                    }
                }
                pid
            };
            assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
            pid
        };
        Self((0..count).map(spawn).collect())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for &pid in &self.0 {
            // SAFETY: our own children, not reaped yet.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        for &pid in &self.0 {
            // SAFETY: as above.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
        }
    }
}
