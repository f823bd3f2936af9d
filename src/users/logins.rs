//! What a new login gets: the soft limit on processes that PAM would give it, and the room in its slice.
//!
//! A daemon from boot may run with 16,384 while every login of its user gets 1,024 from a file of the
//! distribution; then all is well until somebody logs in. [`pam_stack`] says whether a service calls
//! `pam_limits`, [`limits_conf`] what its files say. Where they say nothing, a session keeps the limit of the
//! daemon that made it. Everything is read below `--path.rootfs`.

mod accounts;
mod files;
mod limits_conf;
mod pam_stack;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::hierarchy::Hierarchy;
use super::limits::{self, Limit, Nproc};
use super::table::{CgroupRoom, Process};
use crate::sys::proc::Proc;
use crate::text;
use accounts::Account;
use files::{read_below, resolve_below};
use limits_conf::Given;
use pam_stack::{Call, Step};

/// Where PAM's files may lie; the first that has one is used (pam.conf(5), and what distributions with
/// read-only `/etc` build in).
const PAM_DIRECTORIES: [&str; 4] =
    ["etc/pam.d", "usr/lib/pam.d", "usr/etc/pam.d", "usr/share/pam.d"];

/// Where the vendor's `security/limits.conf` may lie.
const VENDOR_DIRECTORIES: [&str; 3] =
    ["usr/etc/security", "usr/share/security", "usr/lib/security"];

/// Files of limits.d that are read.
const MAX_FILES: usize = 256;

/// How deep files of PAM include each other.
const MAX_INCLUDES: usize = 16;

/// Free tasks below which a login over ssh fails: its session and its shell.
const FOR_A_SHELL: u64 = 2;

/// The same where systemd starts the user's manager first.
const FOR_A_FIRST_MANAGER: u64 = 4;

/// What one user's next login finds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Login {
    /// The tightest of what PAM gives and of the user's slice.
    pub limit: Limit,
    /// Where that is written.
    pub from: String,
    /// Tasks that can still be created below it.
    pub room: Limit,
    /// Free tasks that a login needs.
    pub needs: u64,
    /// Other ways in that give something else: service, limit, where it is written.
    pub others: Vec<(String, Limit, String)>,
}

impl Login {
    /// Whether the next one fails.
    pub(crate) fn fails(&self) -> bool {
        self.room < Limit::Tasks(self.needs)
    }
}

/// What is known of the logins of the users who have an account.
#[derive(Debug, Default)]
pub(crate) struct Outlook {
    /// By uid.
    pub logins: HashMap<u32, Login>,
    /// Why some are not known.
    pub warnings: Vec<String>,
}

/// A host as far as logins are concerned.
pub(crate) struct Host<'a> {
    /// Root of its files.
    pub rootfs: &'a Path,
    /// Its procfs.
    pub procfs: &'a Path,
    /// Its processes.
    pub table: &'a HashMap<u32, Process>,
    /// Its pids hierarchy, if it has one.
    pub hierarchy: Option<&'a Hierarchy>,
    /// Whether slices of users may be out of sight.
    pub slices_unseen: bool,
}

/// One way to begin a session.
struct Door {
    service: String,
    /// The limits of who opens it, and who that is.
    base: Nproc,
    keeper: String,
    calls: Vec<Files>,
}

/// The files of one call of `pam_limits`.
struct Files {
    files: Vec<(PathBuf, Vec<u8>)>,
    /// `set_all`: the session starts from the limits of process 1.
    from_init: bool,
}

impl Host<'_> {
    /// What the next login of each of these users (uid, name, tasks) finds.
    pub(crate) fn outlook(&self, users: &[(u32, &str, u64)]) -> Outlook {
        let mut outlook = Outlook::default();
        let passwd = self.read_if_there("etc/passwd").ok().flatten().unwrap_or_default();
        let group = self.read_if_there("etc/group").ok().flatten().unwrap_or_default();
        let accounts = accounts::parse(&passwd, &group);
        let (init, doors) = match self.doors() {
            Ok(found) => found,
            Err(why) => {
                outlook.warnings.push(format!("what a login would get is not shown: {why}"));
                return outlook;
            }
        };
        let mut unknown = BTreeMap::new();
        for &(uid, name, tasks) in users {
            let by_service = || {
                // A name that is the number is none.
                (name != uid.to_string()).then(|| Account::of_name_service(name, uid))
            };
            let Some(account) = accounts.get(&uid).cloned().or_else(by_service) else { continue };
            match self.login(&account, tasks, init, &doors) {
                Ok(login) => {
                    outlook.logins.insert(uid, login);
                }
                Err(line) => {
                    unknown.entry(line).or_insert(account.name);
                }
            }
        }
        outlook.warnings.extend(unknown.into_iter().map(|(line, name)| {
            format!(
                "what a login of {} and others would get is not shown: {line}",
                text::label(&name)
            )
        }));
        outlook
    }

    fn login(
        &self,
        account: &Account,
        tasks: u64,
        init: Nproc,
        doors: &[Door],
    ) -> Result<Login, String> {
        let of = |door: &Door| {
            // Uid 0 is exempt, whatever a file says.
            if account.uid == 0 {
                return Ok((Limit::Unlimited, "root is exempt".to_owned()));
            }
            let mut given = Given { nproc: door.base, line: None };
            for call in &door.calls {
                let base = if call.from_init { init } else { given.nproc };
                let next = limits_conf::apply(&call.files, account, base).map_err(|line| {
                    format!("{line} is about a group, whose members the exporter cannot ask for")
                })?;
                given = Given { nproc: next.nproc, line: next.line.or(given.line) };
            }
            let from = given.line.map_or_else(|| door.keeper.clone(), |line| line.to_string());
            Ok::<_, String>((given.nproc.soft, from))
        };
        let Some((first, rest)) = doors.split_first() else {
            return Err("no PAM service is known".to_owned());
        };
        let (nproc, from) = of(first)?;
        let mut others = Vec::new();
        for door in rest {
            // What cannot be told of one of these can hardly be told of the first.
            if let Ok((limit, from)) = of(door)
                && limit != nproc
            {
                others.push((door.service.clone(), limit, from));
            }
        }
        let mut login = Login {
            limit: nproc,
            from,
            room: nproc.room(tasks),
            needs: self.needs(account),
            others,
        };
        if let Some((limit, room, from)) = self.slice(account.uid)? {
            if limit < login.limit {
                login.limit = limit;
                login.from.clone_from(&from);
            }
            if room < login.room {
                login.room = room;
                login.from = from;
            }
        }
        Ok(login)
    }

    /// The limit and the room of `user-UID.slice`, which is there while the user has a session.
    fn slice(&self, uid: u32) -> Result<Option<(Limit, Limit, String)>, String> {
        if self.slices_unseen {
            return Err("the slices of users cannot be seen from here".to_owned());
        }
        let Some(hierarchy) = self.hierarchy else { return Ok(None) };
        let path = PathBuf::from(format!("user.slice/user-{uid}.slice"));
        let unseen = || format!("/{} cannot be read", path.display());
        let (limit, room) = hierarchy.limit_and_room(&path).ok_or_else(unseen)?;
        if room == CgroupRoom::UNLIMITED {
            return Ok(None);
        }
        Ok(Some((limit, room.room, format!("pids.max of /{}", path.display()))))
    }

    /// How many tasks a login must be able to create.
    fn needs(&self, account: &Account) -> u64 {
        let manager = |process: &&Process| &*process.command == b"systemd";
        let managed = self.table.get(&1).is_some_and(|init| manager(&init));
        let has_one =
            self.table.values().any(|process| process.real_uid == account.uid && manager(&process));
        if managed && !has_one && account.uid != 0 { FOR_A_FIRST_MANAGER } else { FOR_A_SHELL }
    }

    /// The limits of process 1, and the ways in, that of a login first.
    fn doors(&self) -> Result<(Nproc, Vec<Door>), String> {
        let proc = Proc::open(self.procfs).map_err(|error| error.to_string())?;
        let read = |pid: u32| {
            let mut file = Vec::new();
            let read = proc.read(&format!("{pid}/limits"), &mut file);
            read.ok().and_then(|_| limits::parse(&file))
        };
        let init = read(1).ok_or("the limits of process 1 cannot be read")?;
        // The listener is the oldest: those of sessions come later.
        let daemon = |names: &[&str]| {
            let runs = |process: &&Process| {
                process.real_uid == 0
                    && names.iter().any(|name| &*process.command == name.as_bytes())
            };
            let pids = self.table.iter().filter(|(_, process)| runs(process));
            let pid = pids.map(|(&pid, _)| pid).min()?;
            let name = text::label(&self.table.get(&pid)?.command);
            Some((read(pid)?, format!("handed on by {name}, pid {pid}")))
        };
        let by_init = (init, "handed on by process 1".to_owned());
        let ssh = daemon(&["sshd"]).unwrap_or_else(|| by_init.clone());
        let cron = daemon(&["cron", "crond"]).unwrap_or_else(|| by_init.clone());
        let mut doors = Vec::new();
        let login = if self.service("sshd")?.is_some() {
            ("sshd", ssh.clone())
        } else {
            ("login", by_init)
        };
        for (names, (base, keeper)) in
            [(vec![login.0], login.1), (vec!["su"], ssh), (vec!["cron", "crond"], cron)]
        {
            let is_login = names[0] == login.0;
            for service in names {
                if !is_login && self.service(service)?.is_none() {
                    continue;
                }
                let mut calls = Vec::new();
                self.calls(service, MAX_INCLUDES, &mut calls)?;
                let calls = calls.iter().map(|call| self.files(call));
                let calls = calls.collect::<Result<_, _>>()?;
                let (service, keeper) = (service.to_owned(), keeper.clone());
                doors.push(Door { service, base, keeper, calls });
                break;
            }
        }
        Ok((init, doors))
    }

    /// The calls of `pam_limits` in a service's session stack, those of included files too.
    fn calls(&self, service: &str, depth: usize, calls: &mut Vec<Call>) -> Result<(), String> {
        // What has no file of its own has that of `other`.
        let file = match self.service(service)? {
            Some(file) => file,
            None => self.service("other")?.unwrap_or_default(),
        };
        for step in pam_stack::parse(&file) {
            match step {
                Step::Limits(call) => calls.push(call),
                Step::Include(name) if depth > 0 => self.calls(&name, depth - 1, calls)?,
                Step::Include(_) => {}
            }
        }
        Ok(())
    }

    /// The file of a PAM service.
    fn service(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(path) = name.strip_prefix('/') {
            return self.read_if_there(path);
        }
        for directory in PAM_DIRECTORIES {
            if let Some(file) = self.read_if_there(format!("{directory}/{name}"))? {
                return Ok(Some(file));
            }
        }
        Ok(None)
    }

    /// The files that a call of `pam_limits` reads, in its order.
    fn files(&self, call: &Call) -> Result<Files, String> {
        let from_init = call.set_all;
        let mut files = Vec::new();
        if let Some(path) = &call.conf {
            let file = self.read_if_there(path.trim_start_matches('/'))?.unwrap_or_default();
            files.push((path.into(), file));
            return Ok(Files { files, from_init });
        }
        let etc = ["etc/security"];
        for directory in etc.into_iter().chain(VENDOR_DIRECTORIES) {
            if let Some(file) = self.read_if_there(format!("{directory}/limits.conf"))? {
                files.push((PathBuf::from(format!("/{directory}/limits.conf")), file));
                break;
            }
        }
        // One in /etc stands for the vendor's of the same name; the order is that of their names.
        let mut parts: BTreeMap<std::ffi::OsString, String> = BTreeMap::new();
        for directory in VENDOR_DIRECTORIES.into_iter().chain(etc) {
            let directory = format!("{directory}/limits.d");
            let place = resolve_below(self.rootfs, Path::new(&directory));
            let entries = match place.and_then(std::fs::read_dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("/{directory}: {error}")),
            };
            for entry in entries.flatten().take(MAX_FILES) {
                let name = entry.file_name();
                if Path::new(&name).extension().is_some_and(|ending| ending == "conf") {
                    parts.insert(name, directory.clone());
                }
            }
        }
        for (name, directory) in parts.into_iter().take(MAX_FILES) {
            let path = Path::new(&directory).join(name);
            if let Some(file) = self.read_if_there(&path)? {
                files.push((Path::new("/").join(path), file));
            }
        }
        Ok(Files { files, from_init })
    }

    /// What a file of the host has; `None` where there is none.
    fn read_if_there(&self, path: impl AsRef<Path>) -> Result<Option<Vec<u8>>, String> {
        read_below(self.rootfs, path.as_ref())
    }
}

#[cfg(test)]
mod tests;
