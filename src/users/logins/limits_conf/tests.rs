use super::super::accounts;
use super::*;
use proptest::prelude::*;

const BASE: Nproc = Nproc { soft: Limit::Tasks(8000), hard: Limit::Unlimited };

fn account(name: &str) -> Account {
    let passwd = b"root:x:0:0::/:\noracle:x:54:540::/:\nbob:x:1000:1000::/:\n";
    let group = b"root:x:0:\ndba:x:540:\nusers:x:100:bob\nbob:x:1000:\n";
    let accounts = accounts::parse(passwd, group);
    accounts.into_values().find(|account| &*account.name == name.as_bytes()).unwrap()
}

/// What one file gives: the soft limit, and the line that did it (0: none).
fn given(text: &str, account: &Account) -> (Option<u64>, usize) {
    let files = [(PathBuf::from("/f"), text.as_bytes().to_vec())];
    let given = apply(&files, account, BASE).unwrap();
    let soft = match given.nproc.soft {
        Limit::Tasks(tasks) => Some(tasks),
        Limit::Unlimited => None,
    };
    (soft, given.line.map_or(0, |line| line.number))
}

#[test]
fn the_more_specific_line_wins_wherever_it_stands_and_the_later_among_equals() {
    let oracle = account("oracle");
    let cases = [
        ("", (Some(8000), 0)),
        ("* soft nproc 1024", (Some(1024), 1)),
        ("* soft nproc 1024\n* soft nproc 2048", (Some(2048), 2)),
        ("oracle soft nproc 16384\n* soft nproc 1024", (Some(16384), 1)),
        ("oracle soft nproc 16384\n@dba soft nproc 5\n* soft nproc 6", (Some(16384), 1)),
        ("* soft nproc 1024\n@dba soft nproc 4096", (Some(4096), 2)),
        ("@dba soft nproc 4096\n* soft nproc 1024", (Some(4096), 1)),
        ("@other soft nproc 4096\n* soft nproc 1024", (Some(1024), 2)),
        ("* - nproc 77", (Some(77), 1)),
        // A hard limit alone cuts the soft one that is handed on.
        ("* hard nproc 500", (Some(500), 1)),
        ("* soft nproc 900\n* hard nproc 500", (Some(500), 2)),
        ("* hard nproc unlimited\noracle soft nproc -1", (None, 2)),
        ("oracle soft nproc infinity", (None, 1)),
        // Ranges of uids are as specific as a name.
        ("50:60 soft nproc 31\n* soft nproc 1", (Some(31), 1)),
        (":54 soft nproc 32", (Some(32), 1)),
        (":55 soft nproc 32", (Some(8000), 0)),
        ("55: soft nproc 33", (Some(8000), 0)),
        ("54: soft nproc 33", (Some(33), 1)),
        ("@500:600 soft nproc 34", (Some(34), 1)),
        ("@:540 soft nproc 35", (Some(35), 1)),
        ("@541: soft nproc 36", (Some(8000), 0)),
        // Nothing at all for one that is exempt, not even what stood before.
        ("* soft nproc 9\noracle -", (Some(8000), 2)),
        ("* soft nproc 9\n@dba -", (Some(8000), 2)),
        ("* soft nproc 9\nbob -\n* -", (Some(9), 1)),
        // What is not for it.
        (
            "* soft nofile 9\n# * soft nproc 1\n* soft nproc\n* soft nproc lots\n% soft nproc 4\n",
            (Some(8000), 0),
        ),
        ("*\tSOFT  NPROC\t12 # why", (Some(12), 1)),
    ];
    for (text, expected) in cases {
        assert_eq!(given(text, &oracle), expected, "{text}");
    }
}

#[test]
fn supplementary_groups_count_by_name_and_exact_number_and_not_in_ranges() {
    let bob = account("bob");
    assert_eq!(given("@users soft nproc 5", &bob), (Some(5), 1));
    assert_eq!(given("@:100 soft nproc 5", &bob), (Some(5), 1));
    assert_eq!(given("@50:200 soft nproc 5", &bob), (Some(8000), 0));
}

#[test]
fn root_is_bound_by_its_own_name_alone() {
    let root = account("root");
    assert_eq!(given("* soft nproc 5\n@root soft nproc 6", &root), (Some(8000), 0));
    assert_eq!(given("* soft nproc 5\nroot soft nproc 7", &root), (Some(7), 2));
}

#[test]
fn a_group_that_nobody_tells_leaves_the_limit_unknown_unless_it_has_no_say() {
    let far = Account::of_name_service("far", 5000);
    let of = |text: &str| apply(&[(PathBuf::from("/f"), text.as_bytes().to_vec())], &far, BASE);
    let line = |number| Line { file: "/f".into(), number };
    assert_eq!(of("* soft nproc 9\n@staff soft nproc 5"), Err(line(2)));
    assert_eq!(of("@staff soft nofile 5\n* soft nproc 9").unwrap().line, Some(line(2)));
    assert_eq!(of("@staff - nproc 5\nfar - nproc 6").unwrap().line, Some(line(2)));
    assert_eq!(
        of("@staff - nproc 5\nfar soft nproc 6"),
        Err(line(1)),
        "the hard limit may be lower"
    );
    assert_eq!(of("far - nproc 6\n@staff -"), Err(line(2)));
}

#[test]
fn files_come_one_after_the_other() {
    let files = [("/a", "* soft nproc 1"), ("/b", "\n* soft nproc 2")];
    let files = files.map(|(file, text)| (PathBuf::from(file), text.as_bytes().to_vec()));
    let given = apply(&files, &account("bob"), BASE).unwrap();
    assert_eq!(given.line.unwrap().to_string(), "/b:2");
}

proptest! {
    #[test]
    fn any_file_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let files = [(PathBuf::from("/f"), bytes)];
        let _ = apply(&files, &account("bob"), BASE);
    }
}
