//! The tables of users, and of what is counted in their namespaces.

use std::os::unix::ffi::OsStrExt as _;

use super::{Line, Mark, Table};
use crate::text;
use crate::users::limits::Limit;
use crate::users::report::{Report, Row};

/// Users shown on the page.
const USERS: usize = 20;

/// From this share of a limit on, a user is marked; the alerts' thresholds.
const NEAR: f64 = 0.8;

/// Every user and its ceilings.
pub(super) fn table(report: &Report) -> Table {
    let present = report.rows.iter().filter(|row| row.usage.tasks > 0);
    let rows = present.take(USERS).map(|row| {
        let usage = &row.usage;
        let mark = match usage.nearness() {
            _ if usage.blocked > 0 || row.login_fails() => Mark::Act,
            near if near >= 1.0 => Mark::Act,
            near if near >= NEAR => Mark::Watch,
            _ => Mark::Plain,
        };
        let cells = vec![
            row.user.clone(),
            row.uid.to_string(),
            usage.tasks.to_string(),
            row.peak.to_string(),
            limit(usage.limits.map(|(lowest, _)| lowest), "–"),
            limit(usage.rlimit_room(), "–"),
            match (&usage.cgroup, usage.cgroup_room()) {
                (None, _) => "–".to_owned(),
                (Some(_), room) => limit(room, "unknown"),
            },
            limit(row.login.as_ref().map(|login| login.room), "–"),
            verdict(row),
            commands(row),
        ];
        Line { mark, cells }
    });
    Table {
        title: "Users, the nearest to a limit first",
        heads: vec![
            "user",
            "uid",
            "tasks",
            "peak (2 min)",
            "lowest limit",
            "forks left: limit",
            "forks left: cgroup",
            "forks left: login",
            "state",
            "commands",
        ],
        rows: rows.collect(),
        empty: "none: the collector fails, or no user passes include and exclude",
    }
}

/// What a new login of each user gets, and where that is written.
pub(super) fn logins(report: &Report) -> Table {
    let present = report.rows.iter().filter(|row| row.usage.tasks > 0);
    let rows = present.take(USERS).filter_map(|row| {
        let login = row.login.as_ref()?;
        let others = login.others.iter().map(|(service, other, from)| {
            format!("{service}: {} ({from})", limit(Some(*other), ""))
        });
        let mark = if login.fails() { Mark::Act } else { Mark::Plain };
        let cells = vec![
            row.user.clone(),
            limit(Some(login.limit), ""),
            login.from.clone(),
            limit(Some(login.room), ""),
            login.needs.to_string(),
            others.collect::<Vec<_>>().join("; "),
        ];
        Some(Line { mark, cells })
    });
    Table {
        title: "What a new login gets",
        heads: vec!["user", "limit", "from", "forks left", "needs", "elsewhere"],
        rows: rows.collect(),
        empty: "no user here has an account, or the limits of logins cannot be read",
    }
}

/// What is counted inside user namespaces.
pub(super) fn namespaces(report: &Report) -> Table {
    let rows = report.namespaces.iter().take(USERS).map(|row| {
        let mark = match row.share() {
            share if share >= 1.0 => Mark::Act,
            share if share >= NEAR => Mark::Watch,
            _ => Mark::Plain,
        };
        let note = if row.estimated { "an estimate: namespaces below count here too" } else { "" };
        let cells = vec![
            row.namespace.clone(),
            row.uid.to_string(),
            row.tasks.to_string(),
            limit(row.limit, "unknown"),
            limit(row.room, "unknown"),
            note.to_owned(),
        ];
        Line { mark, cells }
    });
    Table {
        title: "User namespaces (containers), the nearest to a limit first",
        heads: vec!["namespace", "uid outside", "tasks", "lowest limit", "forks left", ""],
        rows: rows.collect(),
        empty: "none",
    }
}

fn limit(limit: Option<Limit>, none: &str) -> String {
    match limit {
        Some(Limit::Tasks(tasks)) => tasks.to_string(),
        Some(Limit::Unlimited) => "unlimited".to_owned(),
        None => none.to_owned(),
    }
}

fn verdict(row: &Row) -> String {
    let usage = &row.usage;
    let unseen = usage.cgroup_unknown > 0 || usage.own_pid_max.is_some();
    let cgroup = usage.fullest_cgroup();
    let cgroup = cgroup.map(|path| format!("/{}", text::label(path.as_os_str().as_bytes())));
    let mut parts = match usage.nearness() {
        _ if usage.blocked == 1 => vec!["1 process cannot fork".to_owned()],
        _ if usage.blocked > 1 => vec![format!("{} processes cannot fork", usage.blocked)],
        near if near >= 1.0 => vec![match &cgroup {
            Some(path) => format!("cgroup {path} is full"),
            None => "its limit is reached".to_owned(),
        }],
        // What is seen of it says little where another ceiling is not seen.
        near if near >= 0.01 || (near > 0.0 && !unseen) => {
            let of = cgroup.filter(|_| near >= NEAR).map(|path| format!(" of cgroup {path}"));
            vec![format!("{:.0} % used{}", near * 100.0, of.unwrap_or_default())]
        }
        _ => Vec::new(),
    };
    if let Some(login) = row.login.as_ref().filter(|login| login.fails()) {
        parts.push(format!(
            "a login fails: it may have {} ({})",
            limit(Some(login.limit), ""),
            text::label(login.from.as_bytes())
        ));
    }
    if usage.cgroup_unknown > 0 {
        parts.push("cgroup not seen, see the notes".to_owned());
    }
    if let Some(pid) = usage.own_pid_max {
        parts.push(format!(
            "pid_max of a container may be nearer: nsenter -t {pid} -p cat /proc/sys/kernel/pid_max"
        ));
    }
    parts.join("; ")
}

fn commands(row: &Row) -> String {
    let commands: Vec<_> =
        row.commands.iter().map(|(name, tasks)| format!("{name} ×{tasks}")).collect();
    commands.join(", ")
}
