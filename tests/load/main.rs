//! The victim of the live tests: becomes a user, takes tasks up to a number or to its limit, says what
//! it got, and holds it until its standard input ends.
//!
//! `load [--userns OWNER/SOFT/MAP]… [--uid N] [--euid N] [--nproc SOFT:HARD] [--name HEX] MODE COUNT`, where
//! each `--userns` makes a user namespace, one within the other, as the uid OWNER with a soft limit of SOFT
//! (`-`: as it is) and MAP, `INSIDE:OUTSIDE:COUNT,…`, and goes on as its uid 0; and where MODE is `fork`,
//! `threads`, `zombies`, `storm` (forks that call getppid(2) without end, for an audit rule to see) or
//! `rootless` (forks as a subordinate uid in a user namespace of its own).
//! It prints one line, `COUNT made` or `COUNT EAGAIN`, when it is done.
#![allow(unreachable_pub, reason = "nobody uses a program as a library")]
#![allow(unsafe_code, reason = "fork, setresuid and unshare are what it is for")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::exit;

/// First of the subordinate uids that a rootless namespace maps, as in /etc/subuid.
const SUBUIDS: u32 = 300_000;

struct Wish {
    namespaces: Vec<String>,
    /// `u32::MAX`: stay who we are.
    uid: u32,
    euid: u32,
    nproc: Option<(u64, u64)>,
    name: Vec<u8>,
    mode: String,
    count: usize,
}

fn main() {
    let wish = wish();
    for namespace in &wish.namespaces {
        enter_namespace(namespace);
    }
    if let Some((soft, hard)) = wish.nproc {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: a plain system call on our own limit.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) }, "setrlimit");
    }
    let (made, why) = if wish.mode == "rootless" { rootless(&wish) } else { as_user(&wish) };
    println!("{made} {why}");
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    // The children end with us (PR_SET_PDEATHSIG), threads too.
    exit(0);
}

fn as_user(wish: &Wish) -> (usize, &'static str) {
    if wish.uid != u32::MAX {
        set_uids(wish.uid, wish.euid);
    }
    set_name(&wish.name);
    take(&wish.mode, wish.count)
}

/// Takes the tasks and says how many it got and what ended it.
fn take(mode: &str, count: usize) -> (usize, &'static str) {
    for made in 0..count {
        let got = match mode {
            "fork" | "rootless" => fork_child(Child::Sleeps),
            "zombies" => fork_child(Child::Dies),
            "storm" => fork_child(Child::Storms),
            "threads" => std::thread::Builder::new().stack_size(64 * 1024).spawn(park).map(drop),
            _ => panic!("no mode {mode}"),
        };
        if let Err(error) = got {
            assert_eq!(error.raw_os_error(), Some(libc::EAGAIN), "{error}");
            return (made, "EAGAIN");
        }
    }
    (count, "made")
}

fn park() {
    loop {
        std::thread::park();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Child {
    /// Sleeps until we end.
    Sleeps,
    /// Is dead and not reaped.
    Dies,
    /// Makes system calls until we end.
    Storms,
}

fn fork_child(kind: Child) -> std::io::Result<()> {
    let parent = std::process::id();
    // SAFETY: the child calls only async-signal-safe functions.
    unsafe {
        match libc::fork() {
            -1 => return Err(std::io::Error::last_os_error()),
            0 if kind == Child::Dies => libc::_exit(0),
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid().unsigned_abs() != parent {
                    libc::_exit(0);
                }
                loop {
                    match kind {
                        Child::Storms => libc::syscall(libc::SYS_getppid),
                        _ => libc::pause().into(),
                    };
                }
            }
            child if kind == Child::Dies => {
                // Waits for its death without reaping it.
                let mut info = std::mem::zeroed();
                let options = libc::WEXITED | libc::WNOWAIT;
                check(
                    libc::waitid(libc::P_PID, child.unsigned_abs(), &raw mut info, options),
                    "waitid",
                );
            }
            _ => {}
        }
    }
    Ok(())
}

/// What a rootless container does: a namespace owned by the user, with the user's own uid as its root
/// and subordinate uids above, and all tasks of a subordinate one.
fn rootless(wish: &Wish) -> (usize, &'static str) {
    let (mut ready_in, mut ready_out) = pipe();
    let (mut mapped_in, mut mapped_out) = pipe();
    let (done_in, mut done_out) = pipe();
    // SAFETY: this process has one thread, so its copy may do anything.
    let child = unsafe { libc::fork() };
    if child == 0 {
        set_uids(wish.uid, wish.uid);
        // SAFETY: plain system calls.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWUSER), "unshare");
            ready_out.write_all(b"x").unwrap();
            mapped_in.read_exact(&mut [0]).unwrap();
            check(libc::setresuid(5, 5, 5), "setresuid in the namespace");
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        let (made, why) = take("rootless", wish.count);
        done_out.write_all(format!("{made} {why}\n").as_bytes()).unwrap();
        park();
        exit(0);
    }
    // So that the child's death would end our waiting.
    drop((ready_out, mapped_in, done_out));
    ready_in.read_exact(&mut [0]).unwrap();
    let map = format!("0 {} 1\n1 {SUBUIDS} 65536\n", wish.uid);
    std::fs::write(format!("/proc/{child}/uid_map"), map).unwrap();
    mapped_out.write_all(b"x").unwrap();
    let mut said = String::new();
    BufReader::new(done_in).read_line(&mut said).unwrap();
    let (made, why) = said.trim().split_once(' ').unwrap();
    (made.parse().unwrap(), if why == "EAGAIN" { "EAGAIN" } else { "made" })
}

/// Makes a user namespace and becomes its root. Who stays outside writes its maps.
fn enter_namespace(words: &str) {
    let mut words = words.split('/');
    let [owner, soft, map] = [(); 3].map(|()| words.next().expect("OWNER/SOFT/MAP"));
    let map = map.replace(':', " ").replace(',', "\n") + "\n";
    let (mut ready_in, mut ready_out) = pipe();
    let (mut mapped_in, mut mapped_out) = pipe();
    let process = std::process::id();
    // SAFETY: this process has one thread, so its copy may do anything.
    if unsafe { libc::fork() } == 0 {
        drop((ready_out, mapped_in));
        ready_in.read_exact(&mut [0]).unwrap();
        for file in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{process}/{file}"), &map).unwrap();
        }
        mapped_out.write_all(b"x").unwrap();
        exit(0);
    }
    drop((ready_in, mapped_out));
    if let Ok(owner) = owner.parse() {
        set_uids(owner, owner);
    }
    if let Ok(soft) = soft.parse() {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: plain system calls on our own limit.
        unsafe {
            check(libc::getrlimit(libc::RLIMIT_NPROC, &raw mut limit), "getrlimit");
            limit.rlim_cur = soft;
            check(libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit), "setrlimit");
        }
    }
    // SAFETY: plain system calls; the child above is waited for.
    unsafe {
        check(libc::unshare(libc::CLONE_NEWUSER), "unshare");
        // New capabilities took it away; without it the maps belong to the host's root.
        libc::prctl(libc::PR_SET_DUMPABLE, 1);
        ready_out.write_all(b"x").unwrap();
        mapped_in.read_exact(&mut [0]).expect("the maps are written");
        libc::wait(std::ptr::null_mut());
        check(libc::setresgid(0, 0, 0), "setresgid in the namespace");
        check(libc::setresuid(0, 0, 0), "setresuid in the namespace");
    }
}

fn pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    std::io::pipe().unwrap()
}

fn set_uids(uid: u32, euid: u32) {
    // SAFETY: plain system calls; glibc applies them to every thread, and there is one.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()), "setgroups");
        check(libc::setresuid(uid, euid, euid), "setresuid");
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

fn set_name(name: &[u8]) {
    if !name.is_empty() {
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: the kernel copies at most 15 bytes of a terminated string.
        check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) }, "PR_SET_NAME");
    }
}

fn check(result: i32, what: &str) {
    assert_eq!(result, 0, "{what}: {}", std::io::Error::last_os_error());
}

fn wish() -> Wish {
    let mut wish = Wish {
        namespaces: vec![],
        uid: u32::MAX,
        euid: u32::MAX,
        nproc: None,
        name: vec![],
        mode: String::new(),
        count: 0,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("a value");
        match &*word {
            "--userns" => wish.namespaces.push(next()),
            "--uid" => wish.uid = next().parse().unwrap(),
            "--euid" => wish.euid = next().parse().unwrap(),
            "--nproc" => {
                let value = next();
                let (soft, hard) = value.split_once(':').unwrap();
                wish.nproc = Some((soft.parse().unwrap(), hard.parse().unwrap()));
            }
            "--name" => {
                let hex = next();
                let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                wish.name = (0..hex.len()).step_by(2).map(byte).collect();
            }
            _ => {
                wish.mode = word;
                wish.count = words.next().expect("a count").parse().unwrap();
            }
        }
    }
    if wish.euid == u32::MAX {
        wish.euid = wish.uid;
    }
    wish
}
