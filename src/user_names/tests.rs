use super::*;
use proptest::prelude::*;

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\n\
    # comment\n+::::::\n-bad:x:9:9:::\nbroken\nuser\xff:x:1000:1000:::\n:x:1001:1:::\n\
    no:x:nan:1:::\n";

fn uids(uids: &[u32]) -> BTreeSet<u32> {
    uids.iter().copied().collect()
}

#[test]
fn first_name_of_a_uid_wins_and_odd_lines_are_skipped() {
    let names = parse_passwd(PASSWD, &uids(&[0, 9, 1000, 1001]));
    assert_eq!(names[&0], b"root");
    assert_eq!(names[&1000], b"user\xff");
    assert_eq!(names.len(), 2);
}

#[test]
fn without_a_name_service_it_is_passwd_or_the_number() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/passwd"), PASSWD).unwrap();
    let mut names = Names::new(root.path()).unwrap();
    let shown = names.resolve(&uids(&[0, 1000, 4711])).clone();
    assert_eq!((&*shown[&0], &*shown[&1000], &*shown[&4711]), ("root", "user\\xff", "4711"));
    // The name first shown stays.
    std::fs::write(root.path().join("etc/passwd"), "new:x:4711:1:::\nx:x:0:0:::\n").unwrap();
    let shown = names.resolve(&uids(&[0, 4711]));
    assert_eq!((&*shown[&0], &*shown[&4711]), ("root", "4711"));
}

/// As `Names::new` on the root, but with a passwd that has nobody.
fn with_service(lookup: fn(u32) -> Option<Vec<u8>>) -> Names {
    let service = Service::start(Box::new(lookup)).unwrap();
    Names { passwd: "/nonexistent".into(), service, shown: HashMap::new(), kept: HashMap::new() }
}

#[test]
fn the_name_service_answers_for_the_rest() {
    let mut names = with_service(|uid| (uid == 5000).then(|| b"ldapuser".to_vec()));
    let shown = names.resolve(&uids(&[5000, 5001]));
    assert_eq!((&*shown[&5000], &*shown[&5001]), ("ldapuser", "5001"));
}

#[test]
fn a_number_becomes_a_name_once_when_the_answer_comes_late() {
    let mut names = with_service(|_| {
        std::thread::sleep(PATIENCE + Duration::from_millis(300));
        Some(b"late".to_vec())
    });
    assert_eq!(names.resolve(&uids(&[7]))[&7], "7");
    let started = Instant::now();
    while names.resolve(&uids(&[7]))[&7] != "late" {
        assert!(started.elapsed() < Duration::from_secs(60), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_name_is_kept_while_the_uid_is_seen_and_asked_anew_after_an_hour() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let passwd = |text: &str| std::fs::write(root.path().join("etc/passwd"), text).unwrap();
    passwd("ann:x:5:5:::\n");
    let mut names = Names::new(root.path()).unwrap();
    let mut now = Instant::now();
    let mut at = |seconds: u64, asked: &[u32]| {
        now += Duration::from_secs(seconds);
        let shown = names.resolve_at(&uids(asked), now);
        asked.iter().map(|uid| shown[uid].clone()).collect::<Vec<_>>()
    };
    assert_eq!(at(0, &[5, 6]), ["ann", "6"]);
    passwd("bob:x:5:5:::\nkim:x:6:6:::\n");
    // Seen all the while, it keeps its name for hours; the number gets one within ten minutes, once.
    assert_eq!(at(60, &[5, 6]), ["ann", "6"]);
    assert_eq!(at(600, &[5, 6]), ["ann", "kim"]);
    passwd("bob:x:5:5:::\nlee:x:6:6:::\n");
    for _ in 0..5 {
        assert_eq!(at(1800, &[5, 6]), ["ann", "kim"]);
    }
    // Away for an hour: another may have the number.
    assert_eq!(at(1800, &[6]), ["kim"]);
    assert_eq!(at(1799, &[5, 6]), ["ann", "kim"]);
    assert_eq!(at(3600, &[5, 6]), ["bob", "lee"]);
}

#[test]
fn another_root_is_asked_over_its_sockets() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("run/systemd/userdb/io.systemd.Multiplexer");
    let question =
        b"{\"method\":\"io.systemd.UserDatabase.GetUserRecord\",\"parameters\":{\"uid\":5000,\
        \"service\":\"io.systemd.Multiplexer\"}}\0";
    let answer = b"{\"parameters\":{\"record\":{\"userName\":\"kim\",\"uid\":5000}}}\0";
    sockets::tests::serve(&socket, question.to_vec(), answer.to_vec(), true);
    let mut names = Names::new(root.path()).unwrap();
    let shown = names.resolve(&uids(&[5000, 5001]));
    assert_eq!((&*shown[&5000], &*shown[&5001]), ("kim", "5001"));
}

#[test]
fn a_lookup_that_panics_costs_one_name() {
    let mut names = with_service(|uid| {
        assert_ne!(uid, 5000, "as asked");
        Some(b"ldapuser".to_vec())
    });
    let shown = names.resolve(&uids(&[5000, 5001]));
    assert_eq!((&*shown[&5000], &*shown[&5001]), ("5000", "ldapuser"));
}

#[test]
fn a_hanging_name_service_costs_half_a_second_and_then_the_name() {
    let mut names = with_service(|_| {
        std::thread::sleep(Duration::from_secs(3600));
        None
    });
    let started = Instant::now();
    assert_eq!(names.resolve(&uids(&[5000, 5001]))[&5000], "5000");
    let first = started.elapsed();
    assert!(first >= PATIENCE && first < PATIENCE * 8, "{first:?}");
    let started = Instant::now();
    names.resolve(&uids(&[5000, 5001]));
    assert!(started.elapsed() < PATIENCE, "known uids do not wait");
    let started = Instant::now();
    assert_eq!(names.resolve(&uids(&[5002]))[&5002], "5002");
    assert!(started.elapsed() < PATIENCE, "nor do new ones while it still hangs");
}

#[test]
fn a_slow_answer_that_was_expected_arrives_in_time() {
    let mut names = with_service(|_| {
        std::thread::sleep(PATIENCE + Duration::from_millis(200));
        Some(b"slow".to_vec())
    });
    names.expect([7].into_iter());
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(names.resolve(&uids(&[7]))[&7], "slow");
}

proptest! {
    #[test]
    fn any_passwd_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        parse_passwd(&bytes, &uids(&[0, 1]));
    }
}
