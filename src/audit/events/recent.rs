//! The last stories, for pages and the log. They begin anew with each start.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::actor::Actor;
use super::anomalies::{ConfigChange, Crash, Daemon};
use super::facts::Facts;
use super::forks::FailedFork;
use super::json::escaped;
use super::signals::{Kill, name};
use super::story::{Reader, Teller};
use super::time::{clock, rfc3339};

/// Stories of each kind.
const MOST: usize = 200;

/// Targets of one story: `kill -1` names every process of the host.
const MOST_TARGETS: usize = 50;

/// Lines of the log in so much time: anybody may send a million signals.
const LOGGED: u32 = 200;
const LOG_WINDOW: Duration = Duration::from_secs(10);

/// What happened to auditing itself, or to a process by its own fault.
#[derive(Debug, Clone)]
pub enum Incident {
    /// Auditing was weakened.
    Weakened(ConfigChange),
    /// auditd came or went.
    Daemon(Daemon),
    /// A process crashed.
    Crash(Crash),
    /// The kernel or systemd ended a process, which the audit log does not say.
    Line(LogLine),
}

/// A line of the system's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When it was read, in milliseconds since 1970.
    pub millis: u64,
    /// Who wrote it.
    pub program: String,
    /// What it says.
    pub message: String,
}

/// Signatures of lines that say what ended a process.
pub const ENDINGS: [&str; 6] = [
    "kernel-oom-kill",
    "kernel-memcg-oom-kill",
    "systemd-oomd-kill",
    "systemd-unit-oom",
    "systemd-main-process-killed",
    "hw-memory-process-killed",
];

/// Of a longer line the rest is left out.
const MOST_BYTES: usize = 300;

/// The last of each kind, the latest last.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    /// Signals.
    pub kills: VecDeque<Kill>,
    /// Failed forks.
    pub forks: VecDeque<FailedFork>,
    /// The rest.
    pub incidents: VecDeque<Incident>,
    /// When the present window of the log began, lines in it, and stories left out.
    window: Option<(Instant, u32, u64)>,
}

impl Recent {
    /// Takes what is worth a story.
    pub fn add(&mut self, facts: Facts) {
        if let Some(mut kill) = facts.kill {
            kill.keep_targets(MOST_TARGETS);
            self.log(&kill, Instant::now());
            push(&mut self.kills, kill);
        }
        if let Some(fork) = facts.fork {
            push(&mut self.forks, fork);
        }
        let weakened = facts.changes.into_iter().filter(ConfigChange::weakens);
        let mut incidents: Vec<_> = weakened.map(Incident::Weakened).collect();
        // Rotating its log is auditd's daily business.
        let daemon = facts.daemon.filter(|daemon| {
            matches!(&*daemon.what, "DAEMON_START" | "DAEMON_END" | "DAEMON_ABORT" | "DAEMON_ERR")
        });
        incidents.extend(daemon.map(Incident::Daemon));
        incidents.extend(facts.crash.map(Incident::Crash));
        for incident in incidents {
            push(&mut self.incidents, incident);
        }
    }

    /// Takes a line of the log that says what ended a process.
    pub fn add_line(&mut self, millis: u64, program: &[u8], message: &[u8]) {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_BYTES)]).into_owned()
        };
        let line = LogLine { millis, program: text(program), message: text(message) };
        push(&mut self.incidents, Incident::Line(line));
    }

    /// One structured line for each story: target `telltale::kill`.
    fn log(&mut self, kill: &Kill, now: Instant) {
        let (began, lines, left_out) = self.window.get_or_insert((now, 0, 0));
        if now.saturating_duration_since(*began) >= LOG_WINDOW {
            if *left_out > 0 {
                tracing::warn!(target: "telltale::kill", left_out = *left_out, "stories not logged");
            }
            (*began, *lines, *left_out) = (now, 0, 0);
        }
        if *lines >= LOGGED {
            *left_out += 1;
            return;
        }
        *lines += 1;
        let teller = Teller { reader: Reader::Public, offset: 0 };
        let sender = &kill.sender;
        let targets: Vec<_> =
            kill.targets.iter().map(|target| target.comm.as_deref().unwrap_or("unknown")).collect();
        tracing::info!(
            target: "telltale::kill",
            time = rfc3339(kill.id.stamp.millis),
            serial = kill.id.stamp.serial,
            signal = &*name(kill.signal),
            success = kill.success,
            sender = sender.comm,
            sender_pid = sender.pid,
            uid = sender.uid,
            auid = sender.auid,
            targets = targets.join(","),
            target_pid = kill.targets.first().and_then(|target| target.pid),
            key = kill.keys.first(),
            "{}",
            teller.kill(kill)
        );
    }

    /// Users that are named in the stories.
    pub fn uids(&self) -> BTreeSet<u32> {
        let mut uids = BTreeSet::new();
        for actor in self.actors() {
            uids.extend(actor.uid.into_iter().chain(actor.auid));
        }
        uids.extend(self.kills.iter().flat_map(|kill| &kill.targets).filter_map(|one| one.uid));
        uids
    }

    fn actors(&self) -> impl Iterator<Item = &Actor> {
        let incidents = self.incidents.iter().filter_map(Incident::actor);
        let kills = self.kills.iter().map(|kill| &kill.sender);
        kills.chain(self.forks.iter().map(|fork| &fork.actor)).chain(incidents)
    }

    /// With the names of users, where auditd has not written them.
    #[must_use]
    pub fn named(mut self, names: &HashMap<u32, String>) -> Self {
        let put = |actor: &mut Actor| {
            let name = |uid: Option<u32>| names.get(&uid?).cloned();
            actor.names.user = actor.names.user.take().or_else(|| name(actor.uid));
            actor.names.login = actor.names.login.take().or_else(|| name(actor.auid));
        };
        for kill in &mut self.kills {
            put(&mut kill.sender);
            for target in &mut kill.targets {
                let name = target.uid.and_then(|uid| names.get(&uid).cloned());
                target.user = target.user.take().or(name);
            }
        }
        self.forks.iter_mut().for_each(|fork| put(&mut fork.actor));
        self.incidents.iter_mut().filter_map(Incident::actor_mut).for_each(put);
        self
    }
}

impl Incident {
    /// When, in milliseconds since 1970.
    pub fn millis(&self) -> u64 {
        match self {
            Self::Weakened(change) => change.id.stamp.millis,
            Self::Daemon(daemon) => daemon.id.stamp.millis,
            Self::Crash(crash) => crash.id.stamp.millis,
            Self::Line(line) => line.millis,
        }
    }

    fn actor(&self) -> Option<&Actor> {
        match self {
            Self::Weakened(change) => Some(&change.by),
            Self::Daemon(daemon) => Some(&daemon.by),
            Self::Crash(crash) => Some(&crash.process),
            Self::Line(_) => None,
        }
    }

    fn actor_mut(&mut self) -> Option<&mut Actor> {
        match self {
            Self::Weakened(change) => Some(&mut change.by),
            Self::Daemon(daemon) => Some(&mut daemon.by),
            Self::Crash(crash) => Some(&mut crash.process),
            Self::Line(_) => None,
        }
    }

    /// In a sentence.
    pub fn told(&self, teller: Teller) -> String {
        match self {
            Self::Weakened(change) => teller.change(change),
            Self::Daemon(daemon) => teller.daemon(daemon),
            Self::Crash(crash) => teller.crash(crash),
            Self::Line(line) => {
                let time = clock(line.millis, teller.offset);
                format!("{time} {}: {}", escaped(&line.program), escaped(&line.message))
            }
        }
    }
}

fn push<T>(stories: &mut VecDeque<T>, story: T) {
    if stories.len() >= MOST {
        stories.pop_front();
    }
    stories.push_back(story);
}

#[cfg(test)]
mod tests {
    use super::super::testing::events;
    use super::*;

    #[test]
    fn the_last_are_kept_and_named() {
        let mut recent = Recent::default();
        let raw = events(include_bytes!("../../../tests/fixtures/audit/raw.log"));
        for _ in 0..10 {
            raw.iter().map(Facts::of).for_each(|facts| recent.add(facts));
        }
        assert_eq!((recent.kills.len(), recent.incidents.len() > 2), (MOST, true));
        assert!(recent.uids().contains(&0));
        let named = recent.named(&HashMap::from([(0, "root".to_owned())]));
        let last = named.kills.iter().rev().find(|kill| kill.sender.uid == Some(0)).unwrap();
        assert_eq!(last.sender.names.user.as_deref(), Some("root"));
    }
}
