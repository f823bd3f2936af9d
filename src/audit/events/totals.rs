//! What audit events add up to, and as which metrics it is shown.
//!
//! Labels come from outside, so each metric has a bound: first come, first served and for good, the rest
//! sums up in `other`, which never goes backwards.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::anomalies::{Change, ConfigChange};
use super::facts::Facts;
use super::forks::FailedFork;
use super::signals::{Kill, Scope, name};
use crate::metrics::{Desc, Metrics, OTHER};
use crate::text;

/// Types of events: libaudit knows about 200.
const MAX_TYPES: usize = 200;
const MAX_KEYS: usize = 50;
/// Sender, target, signal and outcome.
const MAX_SIGNALS: usize = 200;
/// Of those, what one user other than root may take, and all of them together: nobody must be able to hide the
/// next kill by sending many signals under many names.
const MAX_SIGNALS_OF_USER: u64 = 40;
const MAX_SIGNALS_OF_USERS: u64 = 150;
/// User and command of failed forks.
const MAX_FORKS: usize = 200;
/// Command and signal of crashes.
const MAX_CRASHES: usize = 50;
/// What was weakened, and by whom.
const MAX_WEAKENED: usize = 50;

/// Where a record does not say.
const UNKNOWN: &str = "unknown";

const EVENTS: Desc = Desc::counter(
    "telltale_audit_events_total",
    "Audit events, by the type of their first record.",
);
const KEYED: Desc = Desc::counter(
    "telltale_audit_keyed_events_total",
    "Audit events by the key of the rule that wanted them.",
);
const SIGNALS: Desc = Desc::counter(
    "telltale_audit_signals_total",
    "Signals by command names, one for each target; success: yes, no, unknown.",
);
const FAILED_FORKS: Desc = Desc::counter(
    "telltale_audit_failed_forks_total",
    "Forks and program starts refused with EAGAIN; process_limit: possible, or no for root, who has none.",
);
const CRASHES: Desc = Desc::counter(
    "telltale_audit_crashes_total",
    "Processes that a signal ended which dumps core (ANOM_ABEND).",
);
const WEAKENED: Desc = Desc::counter(
    "telltale_audit_weakened_total",
    "Changes after which less is audited or more can be lost, by who had logged in.",
);

/// Counts since the source was first followed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    events: BTreeMap<String, u64>,
    keyed: BTreeMap<String, u64>,
    /// By signal, sender, target, success.
    signals: BTreeMap<(String, String, String, String), u64>,
    /// How many of these each user but root was the first to need.
    taken: BTreeMap<User, u64>,
    /// By real user, command, and whether the process limit may be the reason.
    forks: BTreeMap<(User, String, bool), u64>,
    /// By command and signal.
    crashes: BTreeMap<(String, String), u64>,
    /// By change and who had logged in.
    weakened: BTreeMap<(String, User), u64>,
}

/// A user as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum User {
    Uid(u32),
    Unknown,
    Other,
}

impl User {
    fn of(uid: Option<u32>) -> Self {
        uid.map_or(Self::Unknown, Self::Uid)
    }

    /// Name and number as labels.
    fn labels(self, names: &HashMap<u32, String>) -> (String, String) {
        match self {
            Self::Uid(uid) => {
                let number = uid.to_string();
                (names.get(&uid).unwrap_or(&number).clone(), number)
            }
            Self::Unknown => (UNKNOWN.to_owned(), UNKNOWN.to_owned()),
            Self::Other => (OTHER.to_owned(), OTHER.to_owned()),
        }
    }
}

/// Adds to a count, or where there is no room for another to the one that sums up the rest.
fn add<K: Ord>(counts: &mut BTreeMap<K, u64>, most: usize, key: K, rest: impl FnOnce(K) -> K) {
    let key = if counts.len() < most || counts.contains_key(&key) { key } else { rest(key) };
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

fn command(comm: Option<&str>) -> String {
    text::label(comm.unwrap_or(UNKNOWN).as_bytes())
}

impl Totals {
    /// Counts an event.
    pub fn add(&mut self, facts: &Facts) {
        if let Some(kind) = &facts.kind {
            add(&mut self.events, MAX_TYPES, kind.clone(), |_| OTHER.to_owned());
        }
        for key in &facts.keys {
            add(&mut self.keyed, MAX_KEYS, text::label(key.as_bytes()), |_| OTHER.to_owned());
        }
        if let Some(kill) = &facts.kill {
            self.add_kill(kill);
        }
        if let Some(fork) = &facts.fork {
            self.add_fork(fork);
        }
        if let Some(crash) = &facts.crash {
            let key = (command(crash.process.comm.as_deref()), name(crash.signal).into_owned());
            add(&mut self.crashes, MAX_CRASHES, key, |(_, signal)| (OTHER.to_owned(), signal));
        }
        for change in facts.changes.iter().filter(|change| change.weakens()) {
            let key = (weakened(change).to_owned(), User::of(change.by.auid));
            add(&mut self.weakened, MAX_WEAKENED, key, |(what, _)| (what, User::Other));
        }
    }

    /// The signal and its outcome stay where names are summed up: alerts ask for them. Whom `kill -1` names,
    /// every process of the host, has no series of its own.
    fn add_kill(&mut self, kill: &Kill) {
        let sender = command(kill.sender.comm.as_deref());
        for (target, outcome) in kill.counts() {
            let signal = name(kill.signal).into_owned();
            let target =
                if kill.scope == Scope::Everyone { OTHER.to_owned() } else { command(target) };
            let key = (signal, sender.clone(), target, outcome.label().to_owned());
            let most = if self.may_take(User::of(kill.sender.uid), &key) { MAX_SIGNALS } else { 0 };
            add(&mut self.signals, most, key, |(signal, _, _, success)| {
                (signal, OTHER.to_owned(), OTHER.to_owned(), success)
            });
        }
    }

    /// Whether a combination may have a series because of this sender; notes it.
    fn may_take(&mut self, sender: User, key: &(String, String, String, String)) -> bool {
        if sender == User::Uid(0) || self.signals.contains_key(key) {
            return true;
        }
        let all: u64 = self.taken.values().sum();
        let taken = self.taken.get(&sender).copied().unwrap_or(0);
        if taken >= MAX_SIGNALS_OF_USER || all >= MAX_SIGNALS_OF_USERS {
            return false;
        }
        self.taken.insert(sender, taken + 1);
        true
    }

    fn add_fork(&mut self, fork: &FailedFork) {
        let comm = command(fork.actor.comm.as_deref());
        let key = (User::of(fork.actor.uid), comm, fork.may_be_process_limit());
        add(&mut self.forks, MAX_FORKS, key, |(_, _, limit)| {
            (User::Other, OTHER.to_owned(), limit)
        });
    }

    /// The users whose names [`Totals::export`] needs.
    pub fn uids(&self) -> impl Iterator<Item = u32> {
        let users = self.forks.keys().map(|(user, ..)| *user);
        let users: BTreeSet<_> = users.chain(self.weakened.keys().map(|(_, user)| *user)).collect();
        users.into_iter().filter_map(|user| match user {
            User::Uid(uid) => Some(uid),
            User::Unknown | User::Other => None,
        })
    }

    /// The metrics.
    pub fn export(&self, names: &HashMap<u32, String>, metrics: &mut Metrics) {
        for (kind, count) in &self.events {
            metrics.add(&EVENTS, &[("type", kind)], *count as f64);
        }
        for (key, count) in &self.keyed {
            metrics.add(&KEYED, &[("key", key)], *count as f64);
        }
        for ((signal, sender, target, success), count) in &self.signals {
            let labels = [
                ("signal", &**signal),
                ("sender", sender),
                ("target", target),
                ("success", success),
            ];
            metrics.add(&SIGNALS, &labels, *count as f64);
        }
        for ((user, command, limit), count) in &self.forks {
            let (user, uid) = user.labels(names);
            let limit = if *limit { "possible" } else { "no" };
            let labels =
                [("user", &*user), ("uid", &uid), ("command", command), ("process_limit", limit)];
            metrics.add(&FAILED_FORKS, &labels, *count as f64);
        }
        for ((command, signal), count) in &self.crashes {
            let labels = [("command", &**command), ("signal", signal)];
            metrics.add(&CRASHES, &labels, *count as f64);
        }
        for ((change, user), count) in &self.weakened {
            // As ausearch says it: no login led there.
            let login =
                if *user == User::Unknown { "unset".to_owned() } else { user.labels(names).0 };
            metrics.add(&WEAKENED, &[("change", change), ("login", &login)], *count as f64);
        }
    }
}

/// What a change did, as a label.
fn weakened(change: &ConfigChange) -> &'static str {
    match &change.change {
        Change::RuleRemoved => "rule_removed",
        Change::RuleAdded { .. } => "exclude_rule_added",
        Change::Setting { name, .. } => match &**name {
            "audit_enabled" => "disabled",
            "audit_failure" => "failure_mode",
            "audit_backlog_limit" => "backlog_limit",
            "audit_rate_limit" => "rate_limit",
            "audit_backlog_wait_time" => "backlog_wait_time",
            "audit_pid" => "daemon_unregistered",
            _ => OTHER,
        },
        Change::Other(_) => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::testing::{events, sent};

    fn totals(text: &[u8]) -> Totals {
        let mut totals = Totals::default();
        for event in events(text) {
            totals.add(&Facts::of(&event));
        }
        totals
    }

    fn exported(totals: &Totals) -> String {
        let mut metrics = Metrics::default();
        let names = HashMap::from([(0, "root".to_owned()), (1500, "happytuk".to_owned())]);
        totals.export(&names, &mut metrics);
        String::from_utf8(metrics.encode()).unwrap()
    }

    #[test]
    fn the_recordings_add_up() {
        let raw = exported(&totals(include_bytes!("../../../tests/fixtures/audit/raw.log")));
        for line in [
            "telltale_audit_keyed_events_total{key=\"my_temporary_kill_audit\"} 32",
            "telltale_audit_events_total{type=\"SYSCALL\"} 33",
        ] {
            assert!(raw.lines().any(|is| is == line), "{line} in\n{raw}");
        }
        assert!(
            raw.contains("telltale_audit_weakened_total{change=\"rule_removed\",login="),
            "{raw}"
        );
        let nproc = exported(&totals(include_bytes!("../../../tests/fixtures/audit/nproc.log")));
        let user = "telltale_audit_failed_forks_total{user=\"happytuk\",uid=\"1500\",command=\"np\",process_limit=\"possible\"}";
        assert!(nproc.contains(user), "{nproc}");
    }

    #[test]
    fn one_user_cannot_hide_the_next_kill() {
        let mut totals = Totals::default();
        let mut kill = |uid: u32, comm: &str| {
            totals.add(&Facts::of(&sent(9, uid, comm)));
        };
        for nth in 0..300 {
            kill(1500, &format!("c{nth}"));
        }
        for uid in 2000..2020 {
            (0..60).for_each(|nth| kill(uid, &format!("u{uid}-{nth}")));
        }
        kill(0, "killer.sh");
        let text = exported(&totals);
        assert!(text.contains("signal=\"SIGKILL\",sender=\"killer.sh\""), "{text}");
        assert_eq!(totals.taken[&User::Uid(1500)], MAX_SIGNALS_OF_USER);
        let all: u64 = totals.signals.values().sum();
        assert_eq!(all, 300 + 20 * 60 + 1, "nothing is lost");
    }

    #[test]
    fn names_of_others_sum_up_and_the_signal_stays() {
        let mut totals = Totals::default();
        for nth in 0..300 {
            totals.add(&Facts::of(&sent(9, 0, &format!("c{nth}"))));
        }
        assert_eq!(totals.signals.len(), MAX_SIGNALS + 1);
        let text = exported(&totals);
        let rest = "telltale_audit_signals_total{signal=\"SIGKILL\",sender=\"other\",target=\"other\",success=\"yes\"} 100";
        assert!(text.lines().any(|line| line == rest), "{text}");
    }
}
