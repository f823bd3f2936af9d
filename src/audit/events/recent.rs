//! The last stories, for pages and the log. They begin anew with each start.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::actor::Actor;
use super::anomalies::{ConfigChange, Crash, Daemon};
use super::facts::Facts;
use super::forks::FailedFork;
use super::signals::{Kill, name};
use super::story::{Reader, Teller};
use crate::audit::record::time::{clock, rfc3339};
use crate::text::escape;

/// Stories of each kind.
const MOST: usize = 200;

/// Targets of one story: `kill -1` names every process of the host.
const MOST_TARGETS: usize = 50;

/// Lines of the log in so much time, of one user but root and of all of them: anybody may send a million signals.
const LOGGED_OF_USER: u32 = 50;
const LOGGED_OF_USERS: u32 = 200;
const LOGGED: u32 = 400;
const LOG_WINDOW: Duration = Duration::from_secs(10);

/// Times in the log are in UTC.
const PUBLIC: Teller = Teller { reader: Reader::Public, offset: 0 };

/// What happened to auditing itself, or to a process by its own fault.
#[derive(Debug, Clone)]
pub enum Incident {
    Weakened(ConfigChange),
    /// auditd came or went.
    Daemon(Daemon),
    Crash(Crash),
    /// The kernel or systemd ended a process, which the audit log does not say.
    Line(LogLine),
}

/// A line of the system's log.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When it was written, in milliseconds since 1970; when it was read where it does not say.
    pub millis: u64,
    pub text: String,
}

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
    log: Log,
}

/// What was logged in the present window.
#[derive(Debug, Clone, Default)]
struct Log {
    began: Option<Instant>,
    /// By real user; root's are 0's.
    lines: HashMap<Option<u32>, u32>,
    left_out: u64,
}

impl Log {
    /// Whether one more line of this user may be written; notes it.
    fn allows(&mut self, uid: Option<u32>, now: Instant) -> bool {
        self.expire(now);
        self.began.get_or_insert(now);
        let root = self.lines.get(&Some(0)).copied().unwrap_or(0);
        let all: u32 = self.lines.values().sum();
        let own = self.lines.entry(uid).or_default();
        let full = uid != Some(0) && (*own >= LOGGED_OF_USER || all - root >= LOGGED_OF_USERS);
        if full || all >= LOGGED {
            self.left_out += 1;
            return false;
        }
        *own += 1;
        true
    }

    /// Says at the end of the window what was left out.
    fn expire(&mut self, now: Instant) {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) < LOG_WINDOW) {
            return;
        }
        if self.left_out > 0 {
            tracing::warn!(target: "telltale::kill", left_out = self.left_out, "stories not logged");
        }
        *self = Self::default();
    }
}

impl Recent {
    /// Takes what is worth a story.
    pub fn add(&mut self, facts: Facts) {
        if let Some(mut kill) = facts.kill {
            kill.keep_targets(MOST_TARGETS);
            self.log_kill(&kill);
            push(&mut self.kills, kill, |kill| kill.sender.uid);
        }
        if let Some(fork) = facts.fork {
            self.log_actor("telltale::fork", &fork.actor, |teller| teller.fork(&fork));
            push(&mut self.forks, fork, |fork| fork.actor.uid);
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
            if let Some(actor) = incident.actor() {
                self.log_actor("telltale::audit", actor, |teller| incident.told(teller));
            }
            self.push_incident(incident);
        }
    }

    /// Takes a line of the log that says what ended a process.
    pub fn add_line(&mut self, millis: u64, text: &[u8]) {
        let text = String::from_utf8_lossy(&text[..text.len().min(MOST_BYTES)]).into_owned();
        let line = LogLine { millis, text };
        self.push_incident(Incident::Line(line));
    }

    /// Says what was not logged, where that is due.
    pub fn expire(&mut self) {
        self.log.expire(Instant::now());
    }

    fn push_incident(&mut self, incident: Incident) {
        push(&mut self.incidents, incident, |one| one.actor().and_then(|actor| actor.uid));
    }

    /// One structured line for another story.
    fn log_actor(&mut self, target: &str, actor: &Actor, told: impl FnOnce(Teller) -> String) {
        if !self.log.allows(actor.uid, Instant::now()) {
            return;
        }
        let story = told(PUBLIC);
        let (comm, pid, uid, auid) = (actor.comm.as_deref(), actor.pid, actor.uid, actor.auid);
        // The target of a line is fixed where it is written.
        if target == "telltale::fork" {
            tracing::info!(target: "telltale::fork", comm, pid, uid, auid, "{story}");
        } else {
            tracing::info!(target: "telltale::audit", comm, pid, uid, auid, "{story}");
        }
    }

    /// One structured line for each signal: target `telltale::kill`.
    fn log_kill(&mut self, kill: &Kill) {
        if !self.log.allows(kill.sender.uid, Instant::now()) {
            return;
        }
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
            PUBLIC.kill(kill)
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

    pub fn told(&self, teller: Teller) -> String {
        match self {
            Self::Weakened(change) => teller.change(change),
            Self::Daemon(daemon) => teller.daemon(daemon),
            Self::Crash(crash) => teller.crash(crash),
            Self::Line(line) => {
                format!("{} log: {}", clock(line.millis, teller.offset), escape(&line.text))
            }
        }
    }
}

/// Where there is no room, the oldest of the user who has most makes it: nobody pushes others' stories out.
fn push<T>(stories: &mut VecDeque<T>, story: T, user: impl Fn(&T) -> Option<u32>) {
    stories.push_back(story);
    if stories.len() <= MOST {
        return;
    }
    let mut by_user = HashMap::<_, usize>::new();
    for story in &*stories {
        *by_user.entry(user(story)).or_default() += 1;
    }
    let most = by_user.values().max().copied().unwrap_or(0);
    let oldest = stories.iter().position(|story| by_user[&user(story)] == most);
    stories.remove(oldest.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::{events, sent};

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

    #[test]
    fn many_of_one_user_push_no_other_out() {
        let mut recent = Recent::default();
        let mut kill = |uid: u32, comm: &str| {
            recent.add(Facts::of(&sent(18, uid, comm)));
        };
        (0..300).for_each(|_| kill(1500, "noise"));
        kill(0, "killer.sh");
        (0..300).for_each(|_| kill(1500, "noise"));
        assert_eq!(recent.kills.len(), MOST);
        assert!(recent.kills.iter().any(|kill| kill.sender.comm.as_deref() == Some("killer.sh")));
        let noise = recent.log.lines[&Some(1500)];
        assert_eq!((noise, recent.log.lines[&Some(0)]), (LOGGED_OF_USER, 1));
        assert_eq!(recent.log.left_out, 600 - u64::from(LOGGED_OF_USER));
    }
}
