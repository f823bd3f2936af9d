//! The system calls that send signals and make processes, as each architecture numbers them.

use crate::audit::record::{Record, Value};

/// A call that is of interest here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `kill(pid, sig)`
    Kill,
    /// `tkill(tid, sig)`
    Tkill,
    /// `tgkill(tgid, tid, sig)`
    Tgkill,
    /// `rt_sigqueueinfo(tgid, sig, info)`
    Sigqueue,
    /// `rt_tgsigqueueinfo(tgid, tid, sig, info)`
    Tgsigqueue,
    /// `pidfd_send_signal(pidfd, sig, info, flags)`, Linux 5.1
    PidfdSignal,
    /// `fork()`
    Fork,
    /// `vfork()`
    Vfork,
    /// `clone(…)`, also of threads
    Clone,
    /// `clone3(…)`, Linux 5.3
    Clone3,
    /// `execve(…)`
    Execve,
    /// `execveat(…)`, Linux 3.19
    Execveat,
}

/// Name, and number on `x86_64`, its x32 ABI, i386, aarch64 and arm; where a call is missing, none.
type Row = (Call, &'static str, [Option<u32>; 5]);

const CALLS: [Row; 12] = [
    (Call::Kill, "kill", [Some(62), Some(62), Some(37), Some(129), Some(37)]),
    (Call::Tkill, "tkill", [Some(200), Some(200), Some(238), Some(130), Some(238)]),
    (Call::Tgkill, "tgkill", [Some(234), Some(234), Some(270), Some(131), Some(268)]),
    (Call::Sigqueue, "rt_sigqueueinfo", [Some(129), Some(524), Some(178), Some(138), Some(178)]),
    (
        Call::Tgsigqueue,
        "rt_tgsigqueueinfo",
        [Some(297), Some(536), Some(335), Some(240), Some(363)],
    ),
    (Call::PidfdSignal, "pidfd_send_signal", [Some(424); 5]),
    (Call::Fork, "fork", [Some(57), Some(57), Some(2), None, Some(2)]),
    (Call::Vfork, "vfork", [Some(58), Some(58), Some(190), None, Some(190)]),
    (Call::Clone, "clone", [Some(56), Some(56), Some(120), Some(220), Some(120)]),
    (Call::Clone3, "clone3", [Some(435); 5]),
    (Call::Execve, "execve", [Some(59), Some(520), Some(11), Some(221), Some(11)]),
    (Call::Execveat, "execveat", [Some(322), Some(545), Some(358), Some(281), Some(387)]),
];

/// Added to the numbers of the x32 ABI.
const X32: u32 = 0x4000_0000;

impl Call {
    /// The call of a SYSCALL record; `None` where it is another one, or cannot be known.
    ///
    /// By number where the architecture is known, else by the name that auditd added with
    /// `log_format = ENRICHED`.
    pub fn of(record: &Record<'_>) -> Option<Self> {
        let number = record.number::<u32>("syscall");
        let arch = record.get("arch").and_then(Value::hex);
        if let (Some(number), Some(arch)) = (number, arch)
            && let Some(column) = column(arch, number)
        {
            let number = if column == 1 { number & !X32 } else { number };
            return CALLS.iter().find(|row| row.2[column] == Some(number)).map(|row| row.0);
        }
        let name = record.name_of("SYSCALL").map(Value::raw);
        CALLS.iter().find(|row| Some(row.1.as_bytes()) == name).map(|row| row.0)
    }

    /// Its name, as `ausyscall` gives it.
    pub fn name(self) -> &'static str {
        CALLS.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// The arguments that say to whom and what: the positions of process, thread and signal.
    pub fn signal_arguments(self) -> Option<(Option<usize>, Option<usize>, usize)> {
        match self {
            Self::Kill | Self::Sigqueue => Some((Some(0), None, 1)),
            Self::Tkill => Some((None, Some(0), 1)),
            Self::Tgkill | Self::Tgsigqueue => Some((Some(0), Some(1), 2)),
            Self::PidfdSignal => Some((None, None, 1)),
            _ => None,
        }
    }

    /// Whether it makes a task.
    pub fn is_fork(self) -> bool {
        matches!(self, Self::Fork | Self::Vfork | Self::Clone | Self::Clone3)
    }

    /// Whether it starts a program.
    pub fn is_exec(self) -> bool {
        matches!(self, Self::Execve | Self::Execveat)
    }
}

/// Which column of the table: `AUDIT_ARCH_*` of `include/uapi/linux/audit.h`.
fn column(arch: u64, number: u32) -> Option<usize> {
    match arch {
        0xc000_003e => Some(usize::from(number & X32 != 0)),
        0x4000_0003 => Some(2),
        0xc000_00b7 => Some(3),
        0x4000_0028 => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(fields: &str) -> Option<&'static str> {
        let line = format!("type=SYSCALL msg=audit(1.2:3): {fields}");
        Call::of(&Record::parse(line.as_bytes()).unwrap()).map(Call::name)
    }

    /// What `ausyscall ARCH NAME --exact` of audit 3.0.9 says.
    #[test]
    fn numbers_of_all_architectures() {
        let table: [(&str, [u32; 12]); 4] = [
            ("c000003e", [62, 200, 234, 129, 297, 424, 57, 58, 56, 435, 59, 322]),
            ("40000003", [37, 238, 270, 178, 335, 424, 2, 190, 120, 435, 11, 358]),
            ("c00000b7", [129, 130, 131, 138, 240, 424, 0, 0, 220, 435, 221, 281]),
            ("40000028", [37, 238, 268, 178, 363, 424, 2, 190, 120, 435, 11, 387]),
        ];
        for (arch, numbers) in table {
            for (number, row) in numbers.into_iter().zip(CALLS) {
                let expected = (number != 0).then_some(row.1);
                assert_eq!(call(&format!("arch={arch} syscall={number}")), expected);
            }
        }
        assert_eq!(call("arch=c000003e syscall=1073741886"), Some("kill"));
        assert_eq!(call("arch=c000003e syscall=1073742348"), Some("rt_sigqueueinfo"));
        // The same number is another call elsewhere.
        assert_eq!(call("arch=c00000b7 syscall=62"), None);
        assert_eq!(call("arch=c000003e syscall=129"), Some("rt_sigqueueinfo"));
    }

    #[test]
    fn by_name_where_the_architecture_is_not_known() {
        let s390 = "arch=80000016 syscall=37";
        assert_eq!(call(s390), None);
        assert_eq!(call(&format!("{s390}\x1dARCH=s390x SYSCALL=kill")), Some("kill"));
        assert_eq!(call(&format!("{s390}\x1dARCH=s390x SYSCALL=kilt")), None);
        assert_eq!(call("syscall=62"), None);
        assert_eq!(call("arch=zz syscall=-1"), None);
    }
}
