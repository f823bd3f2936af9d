use super::*;
use crate::unknown_lines::stub;
use proptest::prelude::*;

fn masked(message: &[u8]) -> (String, Gaps) {
    let mut mask = Mask::default();
    let gaps = mask.fill(message);
    (stub::text(mask.bytes(), gaps), gaps)
}

#[test]
fn what_varies_is_taken_out() {
    for (message, expected) in [
        (
            "Accepted publickey for ann from 127.0.0.1 port 52834 ssh2: ED25519 SHA256:RiVevImr6Sh0lb9I98xbhsWR6CxkgkgKD21K1s4+jKw",
            "Accepted publickey for ann from <*> port <*> ssh2: ED25519 SHA256:<*>",
        ),
        (
            "pam_limits(sshd:session): Could not set limit for 'nofile' to soft=1024, hard=-1: Operation not permitted; uid=0,euid=0",
            "pam_limits(sshd:session): Could not set limit for '<*>' to soft=<*>, hard=<*>: Operation not permitted; uid=<*>,euid=<*>",
        ),
        (
            "session opened for user ann(uid=1500) by (uid=0)",
            "session opened for user ann(uid=<*>) by (uid=<*>)",
        ),
        ("(CRON) error (can't fork)", "(CRON) error (can't fork)"),
        ("(CRON) error (grandchild #5119 failed)", "(CRON) error (grandchild #<*> failed)"),
        (
            "msg='op=PAM:setcred grantors=a,b,c acct=\"x y\"'",
            "msg='op=<*> grantors=<*> acct=\"<*>\"'",
        ),
        ("audit(1795150347.977:3): arch=c000003e tty=(none)", "audit(<*>): arch=<*> tty=<*>"),
        (
            "segfault at 0 ip 00005564d6c01132 error 6 in sv[1132,5564d6c01000+1000] likely",
            "segfault at <*> ip <*> error <*> in sv[<*>] likely",
        ),
        ("mem_cgroup_out_of_memory+0xc0/0x110", "mem_cgroup_out_of_memory+<*>"),
        ("BIOS-e820: [mem 0x00000000fffc0000-0x00000000ffffffff]", "BIOS-e820: [mem <*>]"),
        ("pci 0000:00:03.0: [8086:100e] type 00", "pci <*>: [<*>] type <*>"),
        ("user@1500.service: Failed in 3ms, err -11", "user@<*>.service: Failed in <*>, err <*>"),
        ("from fe80::1ff:fe23:4567:890a port 22", "from <*> port <*>"),
        ("from [2001:db8::abcd]:46482 dead:beef", "from [<*>]:<*> dead:beef"),
        ("link de:ad:be:ef:00:aa up, a::b stays", "link <*> up, a::b stays"),
        ("volume dfab0d9c-aaaa-bbbb-cccc-abcdefabcdef", "volume <*>"),
        ("2026-11-20T05:13:11.573Z 28/Jan/2019:10:55:46", "<*> <*>"),
        ("Mon Jan  8 it May be", "Mon <*> <*> it May be"),
        ("하드웨어 오류 7", "하드웨어 오류 <*>"),
        ("x == y, a => b, n >= 3", "x == y, a => b, n >= <*>"),
        ("on /dev/sda1 and eth0, x86_64", "on /dev/sda1 and eth0, x86_64"),
    ] {
        assert_eq!(masked(message.as_bytes()).0, expected);
    }
}

#[test]
fn white_space_and_length_are_told_apart() {
    assert_eq!(masked(b"a b").1, Gaps::default());
    for wide in [" a b", "a  b", "a\tb", "a b "] {
        assert_eq!(masked(wide.as_bytes()), ("a b".to_owned(), Gaps { wide: true, cut: false }));
    }
    assert_eq!(masked(b" \t ").0, "");
    let words = "w ".repeat(MAX_TOKENS + 1);
    let (text, gaps) = masked(words.as_bytes());
    assert_eq!((text.matches('w').count(), gaps.cut), (MAX_TOKENS, true));
    let (text, gaps) = masked(&vec![b'x'; 64 * 1024]);
    assert_eq!((text.len(), gaps.cut), (MAX_BYTES + " …".len(), true));
    assert!(masked("é".repeat(400).as_bytes()).0.starts_with("ééé"));
}

#[test]
fn what_cannot_be_shown_is_a_hole() {
    for message in [&b"a\xff\xfeb c"[..], b"a\0b c", b"a\x1b\x07b c", "a\u{202e}b c".as_bytes()] {
        assert_eq!(masked(message).0, "a<*>b c");
    }
}

proptest! {
    #[test]
    fn any_message_is_survived(message in proptest::collection::vec(any::<u8>(), 0..700)) {
        let mut mask = Mask::default();
        mask.fill(&message);
        prop_assert!(mask.bytes().len() <= MAX_BYTES);
        prop_assert!(std::str::from_utf8(mask.bytes()).is_ok());
        let words = mask.bytes().split(|&byte| byte == b' ');
        prop_assert!(mask.bytes().is_empty() || words.clone().all(|word| !word.is_empty()));
        prop_assert!(words.count() <= MAX_TOKENS);
    }
}
