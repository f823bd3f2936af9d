//! What is shown of the users: ranked, bounded, and exported as metrics.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::hierarchy::Rooms;
use super::inside;
use super::limits::Limit;
use super::logins::Login;
use super::scan::Unseen;
use super::status::State;
use super::table::{Process, Usage};
use crate::metrics::{Desc, Metrics, OTHER};
use crate::text;

/// Users shown one by one; the tasks of the rest are summed up.
pub(crate) const MAX_USERS: usize = 200;

/// Users whose commands are shown, and how many of each.
const MAX_USERS_WITH_COMMANDS: usize = 10;
const MAX_COMMANDS: usize = 5;

/// Nearness to a ceiling from which the commands are shown.
const PRESSED: f64 = 0.5;

const TASKS: Desc = Desc::gauge(
    "telltale_user_tasks",
    "Tasks (threads; unreaped zombies count) that the kernel charges to the real uid.",
);
const PEAK: Desc = Desc::gauge(
    "telltale_user_tasks_peak",
    "Highest number of tasks in the last 2 minutes, sampled each second within a CPU budget.",
);
const PROCESSES: Desc = Desc::gauge(
    "telltale_user_processes",
    "Thread groups by the state of their leader; zombie: no live thread is left.",
);
const LIMIT: Desc = Desc::gauge(
    "telltale_user_tasks_limit",
    "Lowest and highest soft RLIMIT_NPROC among the user's processes that it binds.",
);
const LOGIN_LIMIT: Desc = Desc::gauge(
    "telltale_user_login_tasks_limit",
    "Limit that a new login of the user would have: RLIMIT_NPROC by PAM, or pids.max of the user's slice.",
);
const HEADROOM: Desc = Desc::gauge(
    "telltale_user_fork_headroom_tasks",
    "Tasks the user can still create: below its lowest RLIMIT_NPROC (rlimit), in its tightest pids cgroup (cgroup), \
     in a new login (login).",
);
const BLOCKED: Desc = Desc::gauge(
    "telltale_user_processes_blocked",
    "Processes of the user whose own soft RLIMIT_NPROC is reached: they cannot fork now.",
);
const COMMAND: Desc = Desc::gauge(
    "telltale_user_command_tasks",
    "Tasks by command name, the 5 with most, for users past half of a limit.",
);
const UNREADABLE: Desc = Desc::gauge(
    "telltale_users_unreadable_processes",
    "Processes that exist but could not be read (hidepid): above 0, the numbers of users are partial.",
);

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub uid: u32,
    /// Name, or the number where there is none.
    pub user: String,
    /// What its processes add up to now.
    pub usage: Usage,
    /// Most tasks of the last two minutes.
    pub peak: u64,
    /// Commands with most tasks, where the user is pressed.
    pub commands: Vec<(String, u64)>,
    /// What its next login finds, where that is known and it has an account.
    pub login: Option<Login>,
}

impl Row {
    /// Whether its next login fails.
    pub(crate) fn login_fails(&self) -> bool {
        self.login.as_ref().is_some_and(Login::fails)
    }
}

/// All users of one collection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// At most [`MAX_USERS`], nearest to a ceiling first.
    pub rows: Vec<Row>,
    /// Tasks of the users beyond; `None` when there are none.
    pub other_tasks: Option<u64>,
    /// What could not be seen.
    pub unseen: Unseen,
    /// What is counted inside user namespaces, nearest to a limit first.
    pub namespaces: Vec<inside::Row>,
}

impl Report {
    /// Ranks users by nearness to a ceiling, so that the bound never hides one in danger.
    pub(crate) fn ranked(mut rows: Vec<Row>, unseen: Unseen) -> Self {
        rows.sort_by(|a, b| {
            let key = |row: &Row| (row.usage.blocked > 0, row.login_fails());
            let (near_a, near_b) = (a.usage.nearness(), b.usage.nearness());
            key(b)
                .cmp(&key(a))
                .then(near_b.total_cmp(&near_a))
                .then(b.usage.tasks.cmp(&a.usage.tasks))
                .then(a.uid.cmp(&b.uid))
        });
        let rest = rows.split_off(rows.len().min(MAX_USERS));
        let other_tasks = (!rest.is_empty()).then(|| rest.iter().map(|row| row.usage.tasks).sum());
        Self { rows, other_tasks, unseen, namespaces: Vec::new() }
    }

    /// Fills in the commands of the users who are pressed. Those that stand in the user's fullest cgroup come
    /// first: root may be in many containers.
    pub(crate) fn add_commands(&mut self, table: &HashMap<u32, Process>, rooms: Option<&Rooms>) {
        // The user's fullest cgroup, and by command the tasks in it and all.
        type Counted<'a> = (Option<Arc<Path>>, HashMap<&'a [u8], (u64, u64)>);
        let pressed = self.rows.iter().filter(|row| row.usage.nearness() >= PRESSED);
        let pressed = pressed.take(MAX_USERS_WITH_COMMANDS);
        let mut users: HashMap<u32, Counted<'_>> = pressed
            .map(|row| (row.uid, (row.usage.fullest_cgroup().cloned(), HashMap::new())))
            .collect();
        for (pid, process) in table {
            let Some((fullest, commands)) = users.get_mut(&process.place.charged) else { continue };
            let threads = u64::from(process.threads);
            let room = rooms.and_then(|rooms| rooms.processes.get(pid));
            let inside = fullest.is_some() && room.is_some_and(|room| room.fullest == *fullest);
            let (within, all) = commands.entry(&process.command).or_default();
            *within += if inside { threads } else { 0 };
            *all += threads;
        }
        for row in &mut self.rows {
            let Some((_, commands)) = users.remove(&row.uid) else { continue };
            let mut by_text: HashMap<String, (u64, u64)> = HashMap::new();
            for (command, (within, all)) in commands {
                let sum = by_text.entry(text::label(command)).or_default();
                *sum = (sum.0 + within, sum.1 + all);
            }
            let mut commands: Vec<_> = by_text.into_iter().collect();
            commands.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            commands.truncate(MAX_COMMANDS);
            row.commands = commands.into_iter().map(|(command, (_, all))| (command, all)).collect();
        }
    }

    pub(crate) fn export(&self, metrics: &mut Metrics) {
        for row in &self.rows {
            let uid = row.uid.to_string();
            let labels = [("user", &*row.user), ("uid", &*uid)];
            let with = |name, value| [labels[0], labels[1], (name, value)];
            let usage = &row.usage;
            metrics.add(&TASKS, &labels, usage.tasks as f64);
            metrics.add(&PEAK, &labels, row.peak as f64);
            for (state, name) in State::ALL {
                let count = usage.processes[state as usize];
                // Those are asked for by rules and boards; what else nobody is in is absent.
                let always = matches!(state, State::Running | State::DiskSleep | State::Zombie);
                if count == 0 && !always {
                    continue;
                }
                metrics.add(&PROCESSES, &with("state", name), count as f64);
            }
            if let Some((lowest, highest)) = usage.limits {
                metrics.add(&LIMIT, &with("bound", "lowest"), lowest.value());
                metrics.add(&LIMIT, &with("bound", "highest"), highest.value());
                metrics.add(&BLOCKED, &labels, usage.blocked as f64);
            }
            if let Some(login) = &row.login {
                metrics.add(&LOGIN_LIMIT, &labels, login.limit.value());
            }
            let login = row.login.as_ref().map(|login| login.room);
            let rooms = [
                ("rlimit", usage.rlimit_room()),
                ("cgroup", usage.cgroup_room()),
                ("login", login),
            ];
            for (ceiling, room) in rooms {
                if let Some(room) = room {
                    metrics.add(&HEADROOM, &with("ceiling", ceiling), Limit::value(room));
                }
            }
            for (command, tasks) in &row.commands {
                metrics.add(&COMMAND, &with("command", command), *tasks as f64);
            }
        }
        if let Some(tasks) = self.other_tasks {
            metrics.add(&TASKS, &[("user", OTHER), ("uid", OTHER)], tasks as f64);
        }
        metrics.add(&UNREADABLE, &[], self.unseen.total() as f64);
    }

    /// Says so when the numbers are partial, and what to do. Without counts, so that it is logged
    /// once and not whenever they change.
    pub(crate) fn warning(&self) -> Option<String> {
        (self.unseen.total() > 0).then(|| {
            "some processes cannot be read (/proc is mounted with hidepid, or a security module \
             refuses): users' numbers are partial. Give the exporter CAP_SYS_PTRACE, or the group \
             of the mount's gid= option"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::namespaces::Place;

    fn row(uid: u32, tasks: u64, limit: Option<u64>) -> Row {
        let limits = limit.map(|limit| (Limit::Tasks(limit), Limit::Tasks(limit)));
        let blocked = u64::from(limit.is_some_and(|limit| tasks >= limit));
        let usage = Usage { tasks, limits, blocked, ..Usage::default() };
        Row { uid, user: format!("u{uid}"), usage, peak: tasks, commands: Vec::new(), login: None }
    }

    fn text(report: &Report) -> String {
        let mut metrics = Metrics::default();
        report.export(&mut metrics);
        String::from_utf8(metrics.encode()).unwrap()
    }

    #[test]
    fn nobody_in_danger_falls_below_the_bound() {
        let mut rows: Vec<_> = (0..300).map(|uid| row(uid, 1000, Some(100_000))).collect();
        rows.push(row(900, 9, Some(10)));
        rows.push(row(901, 10, Some(10)));
        let report = Report::ranked(rows, Unseen::default());
        assert_eq!(report.rows.len(), MAX_USERS);
        assert_eq!([report.rows[0].uid, report.rows[1].uid], [901, 900]);
        assert_eq!(report.other_tasks, Some(102 * 1000));
        assert!(
            text(&report).contains("telltale_user_tasks{user=\"other\",uid=\"other\"} 102000\n")
        );
        assert!(!text(&report).contains("headroom_tasks{user=\"other\""));
    }

    #[test]
    fn what_is_not_known_is_absent() {
        let text = text(&Report::ranked(vec![row(7, 3, None)], Unseen::default()));
        assert!(text.contains("telltale_user_tasks{user=\"u7\",uid=\"7\"} 3\n"));
        for absent in ["tasks_limit", "headroom", "blocked", "command", "other\",uid"] {
            assert!(!text.contains(absent), "{absent}\n{text}");
        }
    }

    #[test]
    fn commands_of_pressed_users_only_and_equal_texts_are_summed() {
        let process = |charged, command: &[u8], threads| Process {
            command: command.into(),
            threads,
            place: Place::own(charged, true),
            ..Process::in_cgroup("")
        };
        let commands: [&[u8]; 7] = [b"\xff", b"\\xff", b"a", b"b", b"c", b"d", b"e"];
        let mut processes: Vec<_> = commands.iter().map(|command| process(1, command, 3)).collect();
        processes.push(process(2, b"calm", 5));
        let table = (1..).zip(processes).collect();
        let mut report =
            Report::ranked(vec![row(1, 21, Some(40)), row(2, 5, Some(100))], Unseen::default());
        report.add_commands(&table, None);
        let shown: Vec<_> = report.rows[0].commands.iter().map(|(c, n)| (&**c, *n)).collect();
        assert_eq!(shown, [("\\xff", 6), ("a", 3), ("b", 3), ("c", 3), ("d", 3)]);
        assert!(report.rows[1].commands.is_empty());
    }

    #[test]
    fn commands_of_the_fullest_cgroup_come_first() {
        use super::super::table::CgroupRoom;
        let room = |group: &str, share: f64| CgroupRoom {
            room: Limit::Tasks(1),
            share,
            fullest: Some(Path::new(group).into()),
        };
        let process = |command: &[u8], threads| Process {
            command: command.into(),
            threads,
            place: Place::own(0, false),
            ..Process::in_cgroup("")
        };
        let table: HashMap<_, _> = (1..)
            .zip([
                process(b"app-a", 20),
                process(b"app-b", 60),
                process(b"sh", 3),
                process(b"sh", 300),
            ])
            .collect();
        let rooms =
            [(1, room("docker/a", 1.0)), (2, room("docker/b", 0.1)), (3, room("docker/a", 1.0))];
        let rooms = Rooms { processes: rooms.into(), ..Rooms::default() };
        let mut root = row(0, 383, None);
        root.usage.cgroup = Some(room("docker/a", 1.0));
        let mut report = Report::ranked(vec![root.clone()], Unseen::default());
        report.add_commands(&table, Some(&rooms));
        let shown = |report: &Report| {
            report.rows[0].commands.iter().map(|(c, n)| format!("{c} {n}")).collect::<Vec<_>>()
        };
        assert_eq!(shown(&report), ["app-a 20", "sh 303", "app-b 60"]);
        // Where its own limit is nearer, the most come first.
        root.usage.limits = Some((Limit::Tasks(100), Limit::Tasks(100)));
        let mut report = Report::ranked(vec![root], Unseen::default());
        report.add_commands(&table, Some(&rooms));
        assert_eq!(shown(&report), ["sh 303", "app-b 60", "app-a 20"]);
    }

    #[test]
    fn partial_numbers_say_so() {
        let unseen = Unseen { refused: 2, hidden: 3 };
        let report = Report::ranked(Vec::new(), unseen);
        assert!(text(&report).contains("telltale_users_unreadable_processes 5\n"));
        assert!(report.warning().unwrap().contains("CAP_SYS_PTRACE"));
        assert_eq!(Report::default().warning(), None);
    }
}
