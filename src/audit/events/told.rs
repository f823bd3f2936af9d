//! The stories of the recordings, word by word.

use super::anomalies::{ConfigChange, Crash, Daemon};
use super::forks::FailedFork;
use super::signals::Kill;
use super::story::{Reader, Teller, WITHHELD};
use crate::audit::record::testing::{Random, event, events};

const TRUSTED: Teller = Teller { reader: Reader::Trusted, offset: 0 };
const PUBLIC: Teller = Teller { reader: Reader::Public, offset: 0 };

/// The experiment of the seed: `sh kill_test.sh` on a host eight hours east.
const SEED: &str = "type=SYSCALL msg=audit(1548644148.123:10): arch=c000003e syscall=62 \
    success=yes exit=0 a0=a7eba a1=9 a2=0 a3=a7eba items=0 ppid=688000 pid=688289 auid=1000 uid=0 \
    gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts1 ses=12 comm=\"bash\" \
    exe=\"/usr/bin/bash\" key=\"my_temporary_kill_audit\"\x1dAUID=\"ann\" UID=\"root\"\n\
    type=OBJ_PID msg=audit(1548644148.123:10): opid=687802 oauid=-1 ouid=994 oses=-1 \
    ocomm=\"java\"\x1dOUID=\"kafka\"\n\
    type=PROCTITLE msg=audit(1548644148.123:10): proctitle=62617368006B696C6C5F746573742E7368";

#[test]
fn the_sentence_an_operator_wants() {
    let teller = Teller { offset: 8 * 3600, ..TRUSTED };
    let root = SEED.replace("auid=1000", "auid=0");
    let kill = Kill::of(&event(&root)).unwrap();
    assert_eq!(
        teller.kill(&kill),
        "10:55:48 SIGKILL to java (687802) by bash kill_test.sh (688289), uid 0, session 12, pts/1"
    );
    let kill = Kill::of(&event(SEED)).unwrap();
    assert_eq!(
        teller.kill(&kill),
        "10:55:48 SIGKILL to java (687802) by bash kill_test.sh (688289), uid 0, logged in as ann, \
         session 12, pts/1"
    );
    assert_eq!(
        PUBLIC.kill(&kill),
        "02:55:48 SIGKILL to java (687802) by bash (688289), uid 0, logged in as ann"
    );
}

#[test]
fn the_object_of_the_design() {
    let kill = Kill::of(&event(SEED)).unwrap();
    assert_eq!(
        TRUSTED.kill_json(&kill),
        concat!(
            r#"{"time":"2019-01-28T02:55:48.123Z","serial":10,"signal":"SIGKILL","success":true,"#,
            r#""exit":0,"key":"my_temporary_kill_audit","sender":{"pid":688289,"ppid":688000,"#,
            r#""comm":"bash","exe":"/usr/bin/bash","uid":0,"auid":1000,"session":12,"#,
            r#""terminal":"pts/1","command_line":"bash kill_test.sh","script":"kill_test.sh","#,
            r#""user":"root","login":"ann"},"targets":[{"pid":687802,"comm":"java","uid":994,"#,
            r#""user":"kafka","success":"yes"}],"keys":["my_temporary_kill_audit"],"call":"kill","#,
            r#""scope":"process","signal_number":9}"#
        )
    );
    let public = PUBLIC.kill_json(&kill);
    for secret in ["/usr/bin/bash", "pts", "kill_test", "\"session\":"] {
        assert!(!public.contains(secret), "{secret}");
    }
    for name in WITHHELD {
        assert!(
            public.contains(&format!("\"{name}\"")) && !public.contains(&format!("\"{name}\":"))
        );
    }
}

#[test]
fn the_kills_of_the_recordings() {
    let kills: Vec<_> = events(include_bytes!("../../../tests/fixtures/audit/raw.log"))
        .iter()
        .filter_map(Kill::of)
        .collect();
    let told: Vec<_> = kills.iter().map(|kill| TRUSTED.kill(kill)).collect();
    for sentence in [
        "05:05:43 SIGKILL to sleep (12008) by killer.sh (12011), uid 0",
        "05:05:43 SIGKILL to sleep (12015) by kill (12017), uid 0",
        "05:05:43 SIGTERM to process group 12021: sleep (12024), sleep (12023), bash (12021), \
         sleep (12025) by kill (12031), uid 0",
        "05:05:43 SIGUSR1 to thread 12036 of python3 (12035) by python3 (12035), uid 0",
        "05:05:43 SIGTERM to python3 (12037) by python3 (12035), uid 0",
        "05:05:43 SIGKILL to sleep (12040) by kill (12041), uid 1500: failed, EPERM (not permitted)",
        "05:05:43 SIGKILL to process 30000 by kill (12048), uid 1500: failed, ESRCH (no such process)",
        "05:05:44 SIGKILL to my app (12078) by kill (12080), uid 0",
    ] {
        assert!(told.iter().any(|told| told == sentence), "{sentence}\n{told:#?}");
    }
    // kill -9 -1 of an ordinary user: 93 named, three of them hit.
    let everyone = told.last().unwrap();
    assert_eq!(
        everyone,
        "05:05:44 SIGKILL to every process it may signal: bash (12089), sleep (12090), \
         sleep (12091), bash (11976) and 89 more (90 of other users, most likely spared) by kill (12092), \
         uid 1500"
    );
}

#[test]
fn the_other_stories() {
    let all = events(include_bytes!("../../../tests/fixtures/audit/nproc.log"));
    let forks: Vec<_> = all.iter().filter_map(FailedFork::of).collect();
    assert_eq!(TRUSTED.fork(&forks[0]), "05:06:55 clone refused (EAGAIN) to np (12657), uid 1500");
    assert_eq!(
        TRUSTED.fork(&forks[3]),
        "05:06:56 execve of /bin/echo refused (EAGAIN) to relief (12779), uid 1500"
    );
    assert!(
        !PUBLIC.fork(&forks[3]).contains("echo") && !PUBLIC.fork_json(&forks[3]).contains("echo")
    );
    assert!(TRUSTED.fork_json(&forks[3]).ends_with(r#","program":"/bin/echo"}"#));
    let root = "type=SYSCALL msg=audit(1.2:3): arch=c000003e syscall=56 exit=-11 pid=7 uid=0 comm=\"cron\"";
    assert_eq!(
        TRUSTED.fork(&FailedFork::of(&event(root)).unwrap()),
        "00:00:01 clone refused (EAGAIN) to cron (7), uid 0: not the process limit, which root does \
         not have"
    );
    let crash = all.iter().find_map(Crash::of).unwrap();
    assert_eq!(TRUSTED.crash(&crash), "05:07:04 SIGSEGV ended bash (12855), uid 1500");
    let daemon = all.iter().rev().find_map(Daemon::of).unwrap();
    assert_eq!(TRUSTED.daemon(&daemon), "05:07:09 DAEMON_END (terminate) by process 12638, uid 0");
    let raw = events(include_bytes!("../../../tests/fixtures/audit/raw.log"));
    let changes: Vec<_> = raw.iter().flat_map(ConfigChange::of).collect();
    assert_eq!(
        TRUSTED.change(&changes[2]),
        "05:05:52 audit rule removed (key my_temporary_kill_audit) by auditctl (12194), uid 0"
    );
    assert_eq!(
        TRUSTED.change(&changes[0]),
        "05:05:42 audit_pid set to 11997, was 0 by auditd (11997), uid 0"
    );
}

#[test]
fn nothing_escapes_into_the_terminal() {
    // comm = ESC [ 2 J, a newline and a turn of direction.
    let hostile = SEED.replace("comm=\"bash\"", "comm=1B5B324A0AE280AE");
    let kill = Kill::of(&event(&hostile)).unwrap();
    assert!(TRUSTED.kill(&kill).contains(r"by \u{1b}[2J\n\u{202e} kill_test.sh (688289)"));
    assert!(TRUSTED.kill_json(&kill).contains(r#""comm":"\u001b[2J\n\u202e""#));
}

/// Whatever a log holds, stories are one line, and their JSON is JSON.
#[test]
fn any_log_is_told() {
    let mut random = Random(5);
    let all: Vec<_> = [
        &include_bytes!("../../../tests/fixtures/audit/raw.log")[..],
        include_bytes!("../../../tests/fixtures/audit/odd.log"),
        include_bytes!("../../../tests/fixtures/audit/enriched.log"),
        include_bytes!("../../../tests/fixtures/audit/nproc.log"),
    ]
    .into_iter()
    .flat_map(events)
    .collect();
    let (mut told, mut limits) = (0, crate::audit::record::joiner::Limits::default());
    limits.idle = 1;
    for now in 0..6_000 {
        let mut joiner = crate::audit::record::joiner::Joiner::new(limits);
        let mut out = Vec::new();
        for line in random.pick(&all).lines() {
            let mut line = line.to_vec();
            // The head as it was, so that something is told.
            let mut body = line.split_off(line.len().min(46));
            random.mutate(&mut body);
            line.extend(body);
            joiner.push(&line, now, &mut out);
        }
        joiner.finish(&mut out);
        for event in &out {
            for teller in [TRUSTED, PUBLIC] {
                let mut lines = Vec::new();
                if let Some(mut kill) = Kill::of(event) {
                    assert!(kill.signal != 0 && kill.counts().count() > 0);
                    lines.extend([teller.kill(&kill), teller.kill_json(&kill)]);
                    kill.keep_targets(3);
                    lines.push(teller.kill_json(&kill));
                }
                if let Some(fork) = FailedFork::of(event) {
                    lines.extend([teller.fork(&fork), teller.fork_json(&fork)]);
                }
                lines.extend(Crash::of(event).map(|crash| teller.crash(&crash)));
                lines.extend(Daemon::of(event).map(|daemon| teller.daemon(&daemon)));
                lines.extend(ConfigChange::of(event).iter().map(|change| teller.change(change)));
                assert!(lines.iter().all(|line| !line.chars().any(char::is_control)));
                told += lines.len();
            }
        }
    }
    assert!(told > 10_000, "{told}");
}
