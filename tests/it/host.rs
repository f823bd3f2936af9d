//! The reference host as a directory: 300 processes of 30 users, with one of every kind that matters.

use std::fs::{create_dir_all, write};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A host below a temporary directory, for `--path.*`.
pub struct Host {
    root: TempDir,
    next_pid: u32,
}

/// One process of the host.
#[derive(Clone, Copy)]
pub struct Process<'a> {
    pub command: &'a [u8],
    pub state: &'a str,
    pub uid: u32,
    pub threads: u32,
    /// Soft and hard `RLIMIT_NPROC`.
    pub nproc: (&'a str, &'a str),
    pub capabilities: u64,
    pub uid_map: &'a str,
    /// Below `/sys/fs/cgroup`.
    pub cgroup: &'a str,
}

const INITIAL: &str = "         0          0 4294967295\n";
const ALL_CAPABILITIES: u64 = 0x1ff_ffff_ffff;

/// An ordinary process; a test changes what it is about.
pub const PROCESS: Process<'static> = Process {
    command: b"sleep",
    state: "S (sleeping)",
    uid: 0,
    threads: 1,
    nproc: ("31416", "31416"),
    capabilities: 0,
    uid_map: INITIAL,
    cgroup: "",
};

const STAT: &str = "cpu  1 0 1 9 0 0 0 0 0 0\ncpu0 1 0 1 9 0 0 0 0 0 0\nctxt 9\nbtime 1795000000\n\
    processes 4242\nprocs_running 1\nprocs_blocked 0\n";

const LOGROTATE: &str = "logrotate state -- version 2\n\"/var/log/syslog\" 2026-11-20-5:13:11\n\
    \"/var/log/btmp\" 2026-11-1-0:0:0\n";

impl Host {
    /// A host without processes: kernel 6.1, cgroup v2.
    pub fn empty() -> Self {
        let host = Self { root: TempDir::new().unwrap(), next_pid: 1 };
        host.file("proc/loadavg", "0.42 0.36 0.30 2/641 4242\n");
        host.file("proc/stat", STAT);
        host.file("proc/sys/kernel/pid_max", "4194304\n");
        host.file("proc/sys/kernel/threads-max", "62832\n");
        host.file("proc/sys/kernel/osrelease", "6.1.0-28-amd64\n");
        host.file("proc/self/uid_map", INITIAL);
        host.file("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
        host.file("root/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n");
        host
    }

    /// The reference host.
    pub fn reference() -> Self {
        let mut host = Self::empty();
        host.cgroup("init.scope", "1", "max", 0);
        host.cgroup("system.slice", "150", "max", 0);
        for unit in 0..30 {
            host.cgroup(&format!("system.slice/unit{unit:02}.service"), "5", "4915", 0);
        }
        host.cgroup("user.slice", "1100", "max", 0);
        host.cgroup("user.slice/user-500.slice", "1003", "10813", 0);
        host.cgroup("user.slice/user-500.slice/session-7.scope", "1003", "max", 0);
        host.cgroup("machine.slice", "60", "64", 3);
        host.cgroup("machine.slice/build", "60", "max", 3);

        let root = Process { capabilities: ALL_CAPABILITIES, ..PROCESS };
        host.add(Process { command: b"systemd", cgroup: "init.scope", ..root });
        for worker in 0..119 {
            let command = format!("kworker/{worker}:0-events");
            host.add(Process { command: command.as_bytes(), state: "I (idle)", ..root });
        }
        // Seed 000: 1,024 processes are allowed, and a script multiplies.
        let happytuk = Process {
            uid: 500,
            nproc: ("1024", "1024"),
            cgroup: "user.slice/user-500.slice/session-7.scope",
            ..PROCESS
        };
        host.add(Process { command: b"java", threads: 943, ..happytuk });
        for _ in 0..48 {
            host.add(Process { command: b"tomcat_accesslo", state: "D (disk sleep)", ..happytuk });
        }
        host.add(Process { command: b"tomcat_accesslo", state: "Z (zombie)", ..happytuk });
        host.add(Process { command: b"\xb8\xae\xb4\xaa\xbd\xba", threads: 7, ..happytuk });
        host.add(Process {
            command: b"sshd",
            threads: 4,
            nproc: ("unlimited", "unlimited"),
            ..happytuk
        });
        // Blocked: beyond its limit, as root may start it there.
        for _ in 0..6 {
            let nproc = ("5", "5");
            host.add(Process { command: b"worker", uid: 501, nproc, ..PROCESS });
        }
        // A scanner's knock: sshd's sandbox may not fork, and is no alarm.
        host.add(Process { command: b"sshd", uid: 74, nproc: ("0", "0"), ..PROCESS });
        // A rootless container, and the session that started it.
        let rootless = "         0       1001          1\n         1     100000      65536\n";
        host.add(Process { command: b"podman", uid: 1001, ..PROCESS });
        host.add(Process {
            command: b"postgres",
            uid: 100_998,
            threads: 20,
            uid_map: rootless,
            capabilities: ALL_CAPABILITIES,
            ..PROCESS
        });
        // A builder that its cgroup stops, not its limit.
        for _ in 0..5 {
            let cgroup = "machine.slice/build";
            host.add(Process { command: b"cc1", uid: 1002, threads: 12, cgroup, ..PROCESS });
        }
        // Exempt by capability, without a name, without a limit.
        host.add(Process {
            command: b"agent",
            uid: 902,
            capabilities: 1 << 24,
            nproc: ("1", "1"),
            ..PROCESS
        });
        host.add(Process { command: b"nameless", uid: 4711, ..PROCESS });
        host.add(Process {
            command: b"free",
            uid: 1003,
            nproc: ("unlimited", "unlimited"),
            ..PROCESS
        });
        // 21 daemons with users of their own share the rest.
        let mut passwd = "root:x:0:0:root:/root:/bin/bash\nsshd:x:74:74::/:/sbin/nologin\n\
             happytuk:x:500:500::/home/happytuk:/bin/bash\nworker:x:501:501::/:/bin/sh\n\
             podman:x:1001:1001::/:/bin/sh\nbuilder:x:1002:1002::/:/bin/sh\n\
             agent:x:902:902::/:/bin/sh\nfree:x:1003:1003::/:/bin/sh\n"
            .to_owned();
        for daemon in 0..21 {
            let uid = 910 + daemon;
            let line = format!("daemon{daemon:02}:x:{uid}:{uid}::/:/sbin/nologin\n");
            passwd.push_str(&line);
        }
        host.file("root/etc/passwd", &passwd);
        let mut daemon = 0;
        while host.next_pid <= 299 {
            let state = if daemon == 3 { "R (running)" } else { PROCESS.state };
            let cgroup = format!("system.slice/unit{daemon:02}.service");
            host.add(Process {
                command: b"daemon",
                uid: 910 + daemon,
                threads: 1 + daemon % 4,
                state,
                cgroup: &cgroup,
                ..PROCESS
            });
            daemon = (daemon + 1) % 21;
        }
        host.file("root/var/log/syslog", "");
        host.file("root/var/log/auth.log", "");
        host.file("root/var/lib/logrotate/status", LOGROTATE);
        // One that is listed and cannot be made out.
        host.file("proc/300/status", "");
        host
    }

    /// Adds a process; returns its pid.
    pub fn add(&mut self, process: Process<'_>) -> u32 {
        let pid = self.next_pid;
        self.next_pid += 1;
        let Process { command, state, uid, threads, nproc: (soft, hard), capabilities, .. } =
            process;
        let mut status = b"Name:\t".to_vec();
        status.extend_from_slice(command);
        status.extend_from_slice(
            format!(
                "\nUmask:\t0022\nState:\t{state}\nTgid:\t{pid}\nNgid:\t0\nPid:\t{pid}\nPPid:\t1\n\
                 TracerPid:\t0\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{uid}\t{uid}\t{uid}\t{uid}\n\
                 FDSize:\t64\nGroups:\t{uid} \nNStgid:\t{pid}\nThreads:\t{threads}\nSigQ:\t0/1\n\
                 CapInh:\t0000000000000000\nCapPrm:\t{capabilities:016x}\n\
                 CapEff:\t{capabilities:016x}\nCapBnd:\t000001ffffffffff\n"
            )
            .as_bytes(),
        );
        self.file(&format!("proc/{pid}/status"), status);
        let limits = format!(
            "Limit                     Soft Limit           Hard Limit           Units     \n\
             Max cpu time              unlimited            unlimited            seconds   \n\
             Max processes             {soft:<20} {hard:<20} processes \n"
        );
        self.file(&format!("proc/{pid}/limits"), limits);
        self.file(&format!("proc/{pid}/uid_map"), process.uid_map);
        for thread in 0..threads {
            create_dir_all(self.path(&format!("proc/{pid}/task/{}", pid + thread * 1000))).unwrap();
        }
        self.file(&format!("proc/{pid}/cgroup"), format!("0::/{}\n", process.cgroup));
        pid
    }

    /// Adds a cgroup: its pids.current, pids.max and rejected forks.
    pub fn cgroup(&self, path: &str, current: &str, max: &str, rejected: u32) {
        let file =
            |name: &str, text: String| self.file(&format!("sys/fs/cgroup/{path}/{name}"), text);
        file("pids.current", format!("{current}\n"));
        file("pids.max", format!("{max}\n"));
        file("pids.events", format!("max {rejected}\n"));
    }

    /// Writes a file below the host.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        create_dir_all(path.parent().unwrap()).unwrap();
        write(path, content).unwrap();
    }

    /// A path below the host.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// The flags that make the exporter look at this host.
    pub fn flags(&self) -> [String; 3] {
        let flag = |name: &str, path: &Path| format!("--path.{name}={}", path.display());
        [
            flag("procfs", &self.path("proc")),
            flag("sysfs", &self.path("sys")),
            flag("rootfs", &self.path("root")),
        ]
    }
}
