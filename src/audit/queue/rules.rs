//! The keys of audit rules, from `struct audit_rule_data`.

/// Fields whose value is the length of a string that follows the fixed part, in order
/// (`audit_data_to_entry` in `kernel/auditfilter.c`): `SELinux` subjects and objects, watches,
/// directories, executables, and the key.
const STRING_FIELDS: [u32; 14] = [13, 14, 15, 16, 17, 19, 20, 21, 22, 23, 105, 107, 112, KEY];

/// `AUDIT_FILTERKEY`.
const KEY: u32 = 210;

/// Parts the keys of a rule that has several.
const KEY_SEPARATOR: u8 = 1;

/// Most fields of a rule, and words of its mask of system calls.
const MAX_FIELDS: usize = 64;

/// The keys of one rule; none where it has none or its bytes make no sense.
pub(crate) fn keys(rule: &[u8]) -> Vec<&[u8]> {
    key(rule)
        .map(|key| key.split(|&byte| byte == KEY_SEPARATOR).filter(|key| !key.is_empty()).collect())
        .unwrap_or_default()
}

fn key(rule: &[u8]) -> Option<&[u8]> {
    // flags, action, field_count, mask[64], fields[64], values[64], fieldflags[64], buflen, buf[].
    let word = |nth: usize| {
        rule.get(nth * 4..nth * 4 + 4)?.first_chunk().map(|&bytes| u32::from_ne_bytes(bytes))
    };
    let count = usize::try_from(word(2)?).ok()?.min(MAX_FIELDS);
    let (fields, values) = (3 + MAX_FIELDS, 3 + 2 * MAX_FIELDS);
    let mut strings = rule.get((4 + 4 * MAX_FIELDS) * 4..)?;
    for nth in 0..count {
        let field = word(fields + nth)?;
        if !STRING_FIELDS.contains(&field) {
            continue;
        }
        let (string, rest) =
            strings.split_at_checked(usize::try_from(word(values + nth)?).ok()?)?;
        if field == KEY {
            return Some(string);
        }
        strings = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A rule with these fields; strings follow in order.
    fn rule(fields: &[(u32, u32)], strings: &[u8]) -> Vec<u8> {
        let mut words = vec![0u32; 4 + 4 * MAX_FIELDS];
        words[2] = u32::try_from(fields.len()).unwrap();
        for (nth, &(field, value)) in fields.iter().enumerate() {
            words[3 + MAX_FIELDS + nth] = field;
            words[3 + 2 * MAX_FIELDS + nth] = value;
        }
        *words.last_mut().unwrap() = u32::try_from(strings.len()).unwrap();
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend_from_slice(strings);
        bytes
    }

    #[test]
    fn the_key_is_found_behind_other_strings() {
        // arch=, -F exe=/bin/kill, -k telltale_kill
        let bytes = rule(&[(11, 0xc000_003e), (112, 9), (210, 13)], b"/bin/killtelltale_kill");
        assert_eq!(keys(&bytes), [b"telltale_kill"]);
        let bytes = rule(&[(210, 7)], b"one\x01two");
        assert_eq!(keys(&bytes), [b"one", b"two"]);
        assert!(keys(&rule(&[(11, 4)], b"abcd")).is_empty());
    }

    #[test]
    fn lengths_that_lie_are_no_key() {
        for value in [8, u32::MAX] {
            assert!(keys(&rule(&[(210, value)], b"one\x01two")).is_empty());
        }
        assert!(keys(&rule(&[(210, 3)], b"")).is_empty());
    }

    proptest! {
        #[test]
        fn any_rule_is_survived(
            count: u32,
            fields in proptest::collection::vec((0u32..256, 0u32..40), 0..64),
            strings in proptest::collection::vec(any::<u8>(), 0..80),
            cut in 0usize..1200,
        ) {
            let mut bytes = rule(&fields, &strings);
            bytes[8..12].copy_from_slice(&count.to_ne_bytes());
            keys(&bytes);
            bytes.truncate(cut);
            keys(&bytes);
        }
    }
}
