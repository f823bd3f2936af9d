//! What `ausearch -k … -i` of audit 3.0.9 says of the same logs, compared event by event.

use super::actor::Actor;
use super::anomalies::ConfigChange;
use super::forks::FailedFork;
use super::signals::{Kill, name};
use crate::audit::record::event::Event;
use crate::audit::record::testing::events;

/// Events as `ausearch` printed them: the lines of each.
fn printed(text: &str) -> Vec<Vec<&str>> {
    text.split("----\n")
        .filter(|block| !block.is_empty())
        .map(|block| block.lines().collect())
        .collect()
}

/// The value between ` name=` and the next of the fields that follow.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    // What ausearch -i prints without quotes may hold spaces: only these end a value.
    const NEXT: [&str; 12] = [
        " oauid=",
        " ouid=",
        " oses=",
        " ocomm=",
        " success=",
        " exit=",
        " a",
        " ppid=",
        " pid=",
        " exe=",
        " key=",
        " ses=",
    ];
    let start = line.find(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} in {line}"));
    let rest = &line[start + name.len() + 2..];
    let long = matches!(name, "comm" | "ocomm" | "exe" | "proctitle" | "exit");
    let end = if long {
        let ends = NEXT.iter().filter(|next| name != "proctitle" && **next != " a");
        let a0 = if name == "exit" { rest.find(" a0=") } else { None };
        ends.filter_map(|next| rest.find(next)).chain(a0).min()
    } else {
        rest.find(' ')
    };
    rest[..end.unwrap_or(rest.len())].trim_end()
}

fn line<'a>(event: &[&'a str], kind: &str) -> &'a str {
    let start = format!("type={kind} ");
    event.iter().find(|line| line.contains(&start)).unwrap_or_else(|| panic!("{kind} in {event:?}"))
}

/// The number behind a name, on the hosts of the recordings.
fn number(name: &str) -> Option<u32> {
    match name {
        "root" => Some(0),
        "happytuk" => Some(1500),
        "unset" | "-1" => None,
        _ => {
            let inside = name.strip_prefix("unknown(").and_then(|rest| rest.strip_suffix(")"));
            Some(inside.unwrap_or(name).parse().unwrap())
        }
    }
}

fn assert_actor(actor: &Actor, event: &[&str]) {
    let call = line(event, "SYSCALL");
    assert_eq!(actor.pid.unwrap().to_string(), field(call, "pid"));
    assert_eq!(actor.ppid.unwrap().to_string(), field(call, "ppid"));
    assert_eq!(actor.comm.as_deref(), Some(field(call, "comm")));
    assert_eq!(actor.exe.as_deref(), Some(field(call, "exe")));
    assert_eq!(actor.uid, number(field(call, "uid")));
    assert_eq!(actor.euid, number(field(call, "euid")));
    assert_eq!(actor.auid, number(field(call, "auid")));
    assert_eq!(actor.session, number(field(call, "ses")));
    let terminal = actor.terminal.as_ref().map(|terminal| terminal.replace("pts/", "pts"));
    assert_eq!(terminal.as_deref().unwrap_or("(none)"), field(call, "tty"));
    // ausearch writes control characters as \ooo.
    let title = actor.command_line().unwrap().replace('\n', "\\012");
    assert_eq!(title, field(line(event, "PROCTITLE"), "proctitle"));
}

fn assert_keys(keys: &[String], event: &[&str]) {
    let call = line(event, "SYSCALL");
    let printed: Vec<_> = call.split(" key=").skip(1).map(str::trim_end).collect();
    assert_eq!(keys, printed);
}

fn assert_exit(success: bool, exit: i64, event: &[&str]) {
    let call = line(event, "SYSCALL");
    assert_eq!(if success { "yes" } else { "no" }, field(call, "success"));
    let printed = field(call, "exit");
    let names = [("EPERM(", -1), ("ESRCH(", -3), ("EAGAIN(", -11), ("EINVAL(", -22)];
    let known = names.iter().find(|(name, _)| printed.starts_with(name)).map(|(_, exit)| *exit);
    assert_eq!(exit, known.unwrap_or_else(|| printed.parse().unwrap()));
}

fn assert_kill(kill: &Kill, event: &[&str]) {
    let call = line(event, "SYSCALL");
    assert_eq!(kill.call.name(), field(call, "syscall"));
    assert_exit(kill.success.unwrap(), kill.exit.unwrap(), event);
    let (_, _, nth) = kill.call.signal_arguments().unwrap();
    let signal = field(call, ["a0", "a1", "a2"][nth]);
    // ausearch names the first 31 of kill, tkill and tgkill.
    let hex = signal.trim_start_matches("unknown-signal(").trim_end_matches(')');
    match hex.strip_prefix("0x") {
        Some(hex) => assert_eq!(i64::from_str_radix(hex, 16).unwrap(), i64::from(kill.signal)),
        None => assert_eq!(name(kill.signal), signal),
    }
    assert_actor(&kill.sender, event);
    assert_keys(&kill.keys, event);
    let mut printed: Vec<_> = event
        .iter()
        .filter(|line| line.contains("type=OBJ_PID"))
        .map(|line| {
            let is = |name| field(line, name);
            (
                is("opid").parse().ok(),
                Some(is("ocomm").to_owned()),
                number(is("ouid")),
                number(is("oauid")),
                number(is("oses")),
            )
        })
        .collect();
    // It prints them backwards.
    printed.reverse();
    let mut targets: Vec<_> = kill
        .targets
        .iter()
        .map(|target| (target.pid, target.comm.clone(), target.uid, target.auid, target.session))
        .collect();
    if printed.is_empty() {
        // The one that the arguments name: it was not there.
        assert!(targets.pop().is_none_or(|target| target.1.is_none()));
    }
    assert_eq!(targets, printed);
}

/// Our events with this key or about it, beside what was printed.
fn beside<'a>(log: &[u8], text: &'a str) -> Vec<(Event, Vec<&'a str>)> {
    let mut ours = events(log);
    let pairs: Vec<_> = printed(text)
        .into_iter()
        .map(|lines| {
            // "node=web04 type=X msg=audit(11/20/26 05:05:43.337:522694) : "
            let (node, _) = lines[0].split_once("type=").unwrap();
            let node = node.trim_start_matches("node=").trim_end();
            let (head, _) = lines[0].split_once(") : ").unwrap();
            let (time, serial) = head.rsplit_once(':').unwrap();
            let (_, clock) = time.rsplit_once(' ').unwrap();
            let at = ours.iter().position(|event| {
                event.id.stamp.serial.to_string() == serial && *event.id.node == *node.as_bytes()
            });
            let event = ours.remove(at.unwrap_or_else(|| panic!("{serial}")));
            let millis = event.id.stamp.millis;
            assert_eq!(
                format!("{}.{:03}", crate::audit::record::time::clock(millis, 0), millis % 1000),
                clock
            );
            (event, lines)
        })
        .collect();
    for event in &ours {
        // What ausearch did not print has another key, or none.
        assert!(
            pairs.iter().all(|(other, _)| event.keys().is_empty() || event.keys() != other.keys())
        );
    }
    pairs
}

#[test]
fn every_kill_of_the_recordings() {
    for (log, text) in [
        (
            &include_bytes!("../../../tests/fixtures/audit/raw.log")[..],
            include_str!("../../../tests/fixtures/audit/raw_ausearch.txt"),
        ),
        (
            include_bytes!("../../../tests/fixtures/audit/enriched.log"),
            include_str!("../../../tests/fixtures/audit/enriched_ausearch.txt"),
        ),
    ] {
        let (mut kills, mut targets, mut changes) = (0, 0, 0);
        for (event, lines) in beside(log, text) {
            if lines.iter().any(|line| line.contains("type=CONFIG_CHANGE")) {
                // The rule's own coming and going: it carries the key, and is no event of that key.
                assert!(event.keys().is_empty() && Kill::of(&event).is_none());
                assert_eq!(ConfigChange::of(&event)[0].keys, ["my_temporary_kill_audit"]);
                assert_actor(&ConfigChange::of(&event)[0].by, &lines);
                changes += 1;
                continue;
            }
            let kill = Kill::of(&event).unwrap();
            assert_kill(&kill, &lines);
            kills += 1;
            targets += kill.targets.len();
        }
        assert_eq!((kills, changes), (32, 2));
        let objects = text.lines().filter(|line| line.starts_with("type=OBJ_PID")).count();
        assert_eq!(targets, objects + 1, "and the process that was not there");
        assert_eq!(events(log).iter().filter_map(Kill::of).count(), 32);
    }
}

#[test]
fn every_kill_of_other_machines_calls_and_hosts() {
    for (log, text, expected) in [
        (
            &include_bytes!("../../../tests/fixtures/audit/odd.log")[..],
            include_str!("../../../tests/fixtures/audit/odd_ausearch.txt"),
            9,
        ),
        (
            include_bytes!("../../../tests/fixtures/audit/nodes.log"),
            include_str!("../../../tests/fixtures/audit/nodes_ausearch.txt"),
            2,
        ),
    ] {
        let mut kills = 0;
        for (event, lines) in beside(log, text) {
            if let Some(kill) = Kill::of(&event) {
                assert_kill(&kill, &lines);
                kills += 1;
            } else {
                assert!(line(&lines, "SYSCALL").contains("a2=SIG0"));
                assert_eq!(event.keys(), ["telltale_kill"]);
            }
        }
        assert_eq!(kills, expected);
    }
}

#[test]
fn every_failed_fork_of_the_recordings() {
    let mut count = 0;
    let log = include_bytes!("../../../tests/fixtures/audit/nproc.log");
    for (event, lines) in
        beside(log, include_str!("../../../tests/fixtures/audit/nproc_ausearch.txt"))
    {
        let Some(fork) = FailedFork::of(&event) else {
            assert_eq!(ConfigChange::of(&event).len(), 1);
            continue;
        };
        let call = line(&lines, "SYSCALL");
        assert_eq!(fork.call.name(), field(call, "syscall"));
        assert_exit(false, -11, &lines);
        assert_actor(&fork.actor, &lines);
        assert_keys(&fork.keys, &lines);
        count += 1;
    }
    assert_eq!(count, events(log).iter().filter_map(FailedFork::of).count());
    assert_eq!(count, 13);
}
