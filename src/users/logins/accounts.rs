//! Accounts and their groups, from `etc/passwd` and `etc/group`.

use std::collections::HashMap;

/// Somebody who can log in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub name: Box<[u8]>,
    pub uid: u32,
    /// The primary group; `None` where only the name service knows the account.
    pub gid: Option<u32>,
    /// The groups that it is in, the primary one included: name and number.
    groups: Vec<(Box<[u8]>, u32)>,
}

impl Account {
    /// One that only the name service knows: nothing is known of its groups.
    pub(super) fn of_name_service(name: &str, uid: u32) -> Self {
        Self { name: name.as_bytes().into(), uid, ..Self::default() }
    }

    /// Whether it is in the group of this name; `None` where that cannot be told.
    pub(super) fn is_in_group(&self, group: &[u8]) -> Option<bool> {
        self.gid.map(|_| self.groups.iter().any(|(name, _)| **name == *group))
    }

    /// Whether it is in the group of this number.
    pub(super) fn is_in_gid(&self, gid: u32) -> Option<bool> {
        let primary = self.gid?;
        Some(primary == gid || self.groups.iter().any(|&(_, other)| other == gid))
    }
}

/// The accounts by uid; where several share one, the first, as getpwuid(3) has it.
pub(super) fn parse(passwd: &[u8], group: &[u8]) -> HashMap<u32, Account> {
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse::<u32>().ok();
    let mut accounts: HashMap<u32, Account> = HashMap::new();
    for line in passwd.split(|&byte| byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let [name, _, uid, gid, ..] = *fields.as_slice() else { continue };
        let (Some(uid), Some(gid)) = (number(uid), number(gid)) else { continue };
        // A leading + or - is for the old compat service of nsswitch.conf.
        if !matches!(name.first(), Some(b'+' | b'-') | None) {
            accounts.entry(uid).or_insert_with(|| Account {
                name: name.into(),
                uid,
                gid: Some(gid),
                groups: Vec::new(),
            });
        }
    }
    let by_name: HashMap<Box<[u8]>, u32> =
        accounts.values().map(|account| (account.name.clone(), account.uid)).collect();
    for line in group.split(|&byte| byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b':').collect();
        let [name, _, gid, members, ..] = *fields.as_slice() else { continue };
        let Some(gid) = number(gid) else { continue };
        for member in members.split(|&byte| byte == b',') {
            let account = by_name.get(member.trim_ascii()).and_then(|uid| accounts.get_mut(uid));
            if let Some(account) = account {
                account.groups.push((name.into(), gid));
            }
        }
        for account in accounts.values_mut().filter(|account| account.gid == Some(gid)) {
            account.groups.push((name.into(), gid));
        }
    }
    accounts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_the_primary_one_and_those_that_name_the_account() {
        let passwd =
            b"root:x:0:0::/:\nora:x:54:540::/:\ntwin:x:54:1::/:\n+nis::::::\nbroken\n-x:x:9:9:::\n";
        let group = b"dba:x:540:\nwheel:x:10:root,ora\nother:x:11:nobody\nbad:x:y:ora\nshort:x:9\n";
        let accounts = parse(passwd, group);
        assert_eq!(accounts.len(), 2);
        let ora = &accounts[&54];
        assert_eq!((&*ora.name, ora.gid), (&b"ora"[..], Some(540)));
        for (name, is_in) in [("dba", true), ("wheel", true), ("other", false), ("bad", false)] {
            assert_eq!(ora.is_in_group(name.as_bytes()), Some(is_in), "{name}");
        }
        assert_eq!(
            [540, 10, 11].map(|gid| ora.is_in_gid(gid)),
            [Some(true), Some(true), Some(false)]
        );
        let far = Account::of_name_service("far", 7);
        assert_eq!((far.is_in_group(b"dba"), far.is_in_gid(540)), (None, None));
    }
}
