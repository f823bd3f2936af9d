//! Types of audit records: their numbers and names.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Names of consecutive numbers from the first on; `-` where there is none
/// (`include/uapi/linux/audit.h`, and `libaudit.h` for what programs and auditd write).
const NAMES: [(u16, &str); 14] = [
    (1005, "USER LOGIN"),
    (
        1100,
        "USER_AUTH USER_ACCT USER_MGMT CRED_ACQ CRED_DISP USER_START USER_END USER_AVC \
         USER_CHAUTHTOK USER_ERR CRED_REFR USYS_CONFIG USER_LOGIN USER_LOGOUT ADD_USER DEL_USER \
         ADD_GROUP DEL_GROUP DAC_CHECK CHGRP_ID TEST TRUSTED_APP USER_SELINUX_ERR USER_CMD \
         USER_TTY CHUSER_ID GRP_AUTH SYSTEM_BOOT SYSTEM_SHUTDOWN SYSTEM_RUNLEVEL SERVICE_START \
         SERVICE_STOP GRP_MGMT GRP_CHAUTHTOK MAC_CHECK ACCT_LOCK ACCT_UNLOCK USER_DEVICE \
         SOFTWARE_UPDATE",
    ),
    (
        1200,
        "DAEMON_START DAEMON_END DAEMON_ABORT DAEMON_CONFIG - DAEMON_ROTATE DAEMON_RESUME \
         DAEMON_ACCEPT DAEMON_CLOSE DAEMON_ERR",
    ),
    (
        1300,
        "SYSCALL - PATH IPC SOCKETCALL CONFIG_CHANGE SOCKADDR CWD - EXECVE - IPC_SET_PERM MQ_OPEN \
         MQ_SENDRECV MQ_NOTIFY MQ_GETSETATTR KERNEL_OTHER FD_PAIR OBJ_PID TTY EOE BPRM_FCAPS \
         CAPSET MMAP NETFILTER_PKT NETFILTER_CFG SECCOMP PROCTITLE FEATURE_CHANGE REPLACE \
         KERN_MODULE FANOTIFY TIME_INJOFFSET TIME_ADJNTPVAL BPF EVENT_LISTENER URINGOP OPENAT2 \
         DM_CTRL DM_EVENT",
    ),
    (
        1400,
        "AVC SELINUX_ERR AVC_PATH MAC_POLICY_LOAD MAC_STATUS MAC_CONFIG_CHANGE MAC_UNLBL_ALLOW \
         MAC_CIPSOV4_ADD MAC_CIPSOV4_DEL MAC_MAP_ADD MAC_MAP_DEL MAC_IPSEC_ADDSA \
         MAC_IPSEC_DELSA MAC_IPSEC_ADDSPD MAC_IPSEC_DELSPD MAC_IPSEC_EVENT MAC_UNLBL_STCADD \
         MAC_UNLBL_STCDEL MAC_CALIPSO_ADD MAC_CALIPSO_DEL IPE_ACCESS IPE_CONFIG_CHANGE \
         IPE_POLICY_LOAD LANDLOCK_ACCESS LANDLOCK_DOMAIN MAC_TASK_CONTEXTS MAC_OBJ_CONTEXTS",
    ),
    (
        1500,
        "APPARMOR APPARMOR_AUDIT APPARMOR_ALLOWED APPARMOR_DENIED APPARMOR_HINT APPARMOR_STATUS \
         APPARMOR_ERROR APPARMOR_KILL",
    ),
    (1700, "ANOM_PROMISCUOUS ANOM_ABEND ANOM_LINK ANOM_CREAT"),
    (
        1800,
        "INTEGRITY_DATA INTEGRITY_METADATA INTEGRITY_STATUS INTEGRITY_HASH INTEGRITY_PCR \
         INTEGRITY_RULE INTEGRITY_EVM_XATTR INTEGRITY_POLICY_RULE",
    ),
    (2000, "KERNEL"),
    (
        2100,
        "ANOM_LOGIN_FAILURES ANOM_LOGIN_TIME ANOM_LOGIN_SESSIONS ANOM_LOGIN_ACCT \
         ANOM_LOGIN_LOCATION ANOM_MAX_DAC ANOM_MAX_MAC ANOM_AMTU_FAIL ANOM_RBAC_FAIL \
         ANOM_RBAC_INTEGRITY_FAIL ANOM_CRYPTO_FAIL ANOM_ACCESS_FS ANOM_EXEC ANOM_MK_EXEC \
         ANOM_ADD_ACCT ANOM_DEL_ACCT ANOM_MOD_ACCT ANOM_ROOT_TRANS ANOM_LOGIN_SERVICE \
         ANOM_LOGIN_ROOT ANOM_ORIGIN_FAILURES ANOM_SESSION",
    ),
    (
        2200,
        "RESP_ANOMALY RESP_ALERT RESP_KILL_PROC RESP_TERM_ACCESS RESP_ACCT_REMOTE \
         RESP_ACCT_LOCK_TIMED RESP_ACCT_UNLOCK_TIMED RESP_ACCT_LOCK RESP_TERM_LOCK RESP_SEBOOL \
         RESP_EXEC RESP_SINGLE RESP_HALT RESP_ORIGIN_BLOCK RESP_ORIGIN_BLOCK_TIMED \
         RESP_ORIGIN_UNBLOCK_TIMED",
    ),
    (
        2300,
        "USER_ROLE_CHANGE ROLE_ASSIGN ROLE_REMOVE LABEL_OVERRIDE LABEL_LEVEL_CHANGE \
         USER_LABELED_EXPORT USER_UNLABELED_EXPORT DEV_ALLOC DEV_DEALLOC FS_RELABEL \
         USER_MAC_POLICY_LOAD ROLE_MODIFY USER_MAC_CONFIG_CHANGE USER_MAC_STATUS",
    ),
    (
        2400,
        "CRYPTO_TEST_USER CRYPTO_PARAM_CHANGE_USER CRYPTO_LOGIN CRYPTO_LOGOUT CRYPTO_KEY_USER \
         CRYPTO_FAILURE_USER CRYPTO_REPLAY_USER CRYPTO_SESSION CRYPTO_IKE_SA CRYPTO_IPSEC_SA",
    ),
    (
        2500,
        "VIRT_CONTROL VIRT_RESOURCE VIRT_MACHINE_ID VIRT_INTEGRITY_CHECK VIRT_CREATE VIRT_DESTROY \
         VIRT_MIGRATE_IN VIRT_MIGRATE_OUT",
    ),
];

/// Longest type that is taken for one.
const MAX_LENGTH: usize = 40;

/// What kind of record a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Its number, perhaps one that has no name here.
    Number(u16),
    /// A name that is not known here.
    Name(&'a str),
}

impl<'a> Kind<'a> {
    /// The system call itself.
    pub const SYSCALL: Self = Self::Number(1300);
    /// One file of a system call.
    pub const PATH: Self = Self::Number(1302);
    /// A change of the audit configuration.
    pub const CONFIG_CHANGE: Self = Self::Number(1305);
    /// A process that a system call was aimed at.
    pub const OBJ_PID: Self = Self::Number(1318);
    /// End of an event; only on the wire, never in files.
    pub const EOE: Self = Self::Number(1320);
    /// The command line; the last record of an event that has a system call.
    pub const PROCTITLE: Self = Self::Number(1327);
    /// An operation of `io_uring`, where others have a system call (Linux 5.16).
    pub const URINGOP: Self = Self::Number(1336);
    /// A process that ended by a signal that dumps core.
    pub const ANOM_ABEND: Self = Self::Number(1701);

    /// From `SYSCALL`, `1300`, `UNKNOWN[1300]` or a name of days to come.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        let inside = bytes
            .strip_prefix(b"UNKNOWN[")
            .and_then(|rest| rest.strip_suffix(b"]"))
            .unwrap_or(bytes);
        if inside.is_empty() || inside.len() > MAX_LENGTH || !inside.iter().all(plain) {
            return None;
        }
        let text = std::str::from_utf8(inside).ok()?;
        if inside[0].is_ascii_digit() {
            return text.parse().ok().map(Self::Number);
        }
        Some(number(text).map_or(Self::Name(text), Self::Number))
    }

    /// As `ausearch` shows it: one name for one number, whatever the line calls it.
    pub fn label(self) -> Cow<'a, str> {
        match self {
            Self::Number(number) => {
                name(number).map_or_else(|| Cow::Owned(format!("UNKNOWN[{number}]")), Cow::Borrowed)
            }
            Self::Name(name) => Cow::Borrowed(name),
        }
    }

    /// Whether such a record, when it is the first of its event, is also the last.
    ///
    /// Programs (1100 to 1199 and 2100 to 2999) and auditd (1200 to 1299) write one record, and so
    /// does the kernel of a crash. Not so `CONFIG_CHANGE` and `LOGIN`: since Linux 5.x the system
    /// call that made the change follows them, and with it who did it.
    pub fn is_alone(self) -> bool {
        matches!(self, Self::Number(1005 | 1100..=1299 | 1701 | 2000 | 2100..=2999))
    }

    /// What names who did it: one for each event.
    pub fn is_call(self) -> bool {
        self == Self::SYSCALL || self == Self::URINGOP
    }
}

fn number(name: &str) -> Option<u16> {
    static NUMBERS: LazyLock<HashMap<&str, u16>> = LazyLock::new(|| {
        let all = NAMES.iter().flat_map(|&(first, names)| {
            (first..).zip(names.split_ascii_whitespace()).map(|(number, name)| (name, number))
        });
        all.filter(|(name, _)| *name != "-").collect()
    });
    NUMBERS.get(name).copied()
}

fn name(number: u16) -> Option<&'static str> {
    let &(first, names) = NAMES.iter().rev().find(|(first, _)| *first <= number)?;
    names.split_ascii_whitespace().nth(usize::from(number - first)).filter(|name| *name != "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(bytes: &[u8]) -> Option<String> {
        Kind::parse(bytes).map(|kind| kind.label().into_owned())
    }

    #[test]
    fn one_name_for_one_number() {
        for form in [&b"SYSCALL"[..], b"1300", b"UNKNOWN[1300]"] {
            assert_eq!(Kind::parse(form), Some(Kind::SYSCALL));
            assert_eq!(label(form).as_deref(), Some("SYSCALL"));
        }
        // As libaudit 3.0.9 numbers them.
        for (number, name) in [
            (1006, "LOGIN"),
            (1112, "USER_LOGIN"),
            (1138, "SOFTWARE_UPDATE"),
            (1201, "DAEMON_END"),
            (1209, "DAEMON_ERR"),
            (1305, "CONFIG_CHANGE"),
            (1318, "OBJ_PID"),
            (1320, "EOE"),
            (1327, "PROCTITLE"),
            (1335, "EVENT_LISTENER"),
            (1336, "URINGOP"),
            (1419, "MAC_CALIPSO_DEL"),
            (1507, "APPARMOR_KILL"),
            (1701, "ANOM_ABEND"),
            (1807, "INTEGRITY_POLICY_RULE"),
            (2121, "ANOM_SESSION"),
            (2215, "RESP_ORIGIN_UNBLOCK_TIMED"),
            (2313, "USER_MAC_STATUS"),
            (2409, "CRYPTO_IPSEC_SA"),
            (2507, "VIRT_MIGRATE_OUT"),
        ] {
            assert_eq!(Kind::parse(name.as_bytes()), Some(Kind::Number(number)), "{name}");
            assert_eq!(label(number.to_string().as_bytes()).as_deref(), Some(name));
        }
        assert_eq!(label(b"1204").as_deref(), Some("UNKNOWN[1204]"));
        assert_eq!(label(b"UNKNOWN[1399]").as_deref(), Some("UNKNOWN[1399]"));
        assert_eq!(label(b"BRAND_NEW").as_deref(), Some("BRAND_NEW"));
    }

    #[test]
    fn what_is_no_type() {
        for bad in [
            &b""[..],
            b"syscall",
            b"SYS CALL",
            b"99999",
            b"12x",
            b"UNKNOWN[",
            b"UNKNOWN[]",
            b"A\"B",
        ] {
            assert_eq!(Kind::parse(bad), None, "{}", String::from_utf8_lossy(bad));
        }
        assert_eq!(Kind::parse(&[b'A'; 41]), None);
    }
}
