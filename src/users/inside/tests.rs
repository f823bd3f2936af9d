use super::super::limits::Nproc;
use super::super::namespaces::Place;
use super::*;
use crate::sys::userns::Level;

/// A process with so many threads in these namespaces, the innermost first.
fn process(uid: u32, threads: u32, soft: u64, levels: &[(u64, u32)], cgroup: &str) -> Process {
    let charged = levels.last().map_or(0, |&(_, owner)| owner);
    let levels = levels.iter().map(|&(inode, owner)| Level { inode, owner });
    let inside = Some(Inside::Levels(levels.collect()));
    Process {
        real_uid: uid,
        threads,
        place: Place { charged, bound: false, inside },
        nproc: Some(Nproc { soft: Limit::Tasks(soft), hard: Limit::Unlimited }),
        ..Process::in_cgroup(cgroup)
    }
}

fn table(processes: Vec<Process>) -> HashMap<u32, Process> {
    (1..).zip(processes).collect()
}

fn own_group(process: &Process) -> Option<PathBuf> {
    let path = process.cgroup.as_deref()?;
    Some(std::str::from_utf8(path).unwrap().into())
}

#[test]
fn each_level_counts_for_the_owner_of_the_one_below() {
    // 9 is made by 1500 in our own, 8 by 2000 in 9, 7 by 3000 in 8.
    let table = table(vec![
        process(4000, 5, 40, &[(7, 3000), (8, 2000), (9, 1500)], ""),
        process(4000, 1, 30, &[(7, 3000), (8, 2000), (9, 1500)], ""),
        process(3000, 2, 20, &[(8, 2000), (9, 1500)], ""),
        process(2000, 1, 10, &[(9, 1500)], ""),
    ]);
    let counts = count(&table, own_group);
    let of = |inode, uid| {
        let count = &counts[&(Namespace::Inode(inode), uid)];
        (count.tasks, count.limit, count.estimated)
    };
    assert_eq!(of(7, 4000), (6, Some(Limit::Tasks(30)), false));
    assert_eq!(of(8, 3000), (8, Some(Limit::Tasks(20)), true));
    assert_eq!(of(9, 2000), (9, Some(Limit::Tasks(10)), true));
    assert_eq!(counts.len(), 3);
}

#[test]
fn an_owner_without_processes_there_has_a_count_and_no_limit() {
    let counts = count(&table(vec![process(4000, 5, 40, &[(7, 3000), (8, 2000)], "")]), own_group);
    let owner = &counts[&(Namespace::Inode(8), 3000)];
    assert_eq!((owner.tasks, owner.limit, owner.estimated), (5, None, true));
}

#[test]
fn the_room_is_the_least_of_all_levels_and_unknown_where_one_is() {
    let inner = process(4000, 5, 40, &[(8, 2000), (9, 1500)], "");
    let owner = |soft| process(2000, 1, soft, &[(9, 1500)], "");
    let user = |limit: u64| {
        let limits = Some((Limit::Tasks(limit), Limit::Tasks(limit)));
        BTreeMap::from([(1500, Usage { tasks: 7, limits, ..Usage::default() })])
    };
    let of = |processes: Vec<Process>, users: &BTreeMap<u32, Usage>| {
        let counts = count(&table(processes), own_group);
        room(&counts[&(Namespace::Inode(8), 4000)], &counts, users)
    };
    let tasks = |tasks| Some(Limit::Tasks(tasks));
    assert_eq!(of(vec![inner.clone(), owner(100)], &user(1000)), tasks(35), "its own");
    assert_eq!(of(vec![inner.clone(), owner(10)], &user(1000)), tasks(4), "the level above");
    assert_eq!(of(vec![inner.clone(), owner(100)], &user(9)), tasks(2), "the owner outside");
    assert_eq!(of(vec![inner.clone()], &user(1000)), None, "nobody tells the level above");
    assert_eq!(of(vec![inner.clone(), owner(100)], &BTreeMap::new()), None, "nor the owner's");
    let mut roots = process(4000, 5, 40, &[(8, 0)], "");
    roots.place.charged = 0;
    assert_eq!(of(vec![roots.clone()], &BTreeMap::new()), tasks(35), "root's have no maximum");
    roots.threads = 40;
    assert_eq!(of(vec![roots], &BTreeMap::new()), tasks(0));
}

#[test]
fn names_are_the_cgroups_and_are_kept_while_the_namespace_lives() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("fs/cgroup")).unwrap();
    std::fs::write(root.path().join("fs/cgroup/cgroup.controllers"), "pids").unwrap();
    let hierarchy = Hierarchy::find(root.path()).unwrap();
    let mut names = Names::default();
    let mut of = |processes: Vec<Process>| {
        let (mut rows, approximate) =
            names.rows(&table(processes), &BTreeMap::new(), root.path(), Some(&hierarchy));
        assert!(!approximate);
        rows.sort_by_key(|row| row.uid);
        rows.into_iter().map(|row| row.namespace).collect::<Vec<_>>()
    };
    let one = |uid, inode, cgroup| process(uid, 1, 40, &[(inode, 0)], cgroup);
    assert_eq!(of(vec![one(1, 70, "lxc/a")]), ["/lxc/a"]);
    // Another there; and the first has moved.
    assert_eq!(of(vec![one(1, 70, "lxc/b"), one(2, 71, "lxc/a")]), ["/lxc/a", "/lxc/a#71"]);
    // The first is gone: its name is free, the other keeps its own.
    assert_eq!(of(vec![one(2, 71, "lxc/a"), one(3, 72, "lxc/c")]), ["/lxc/a#71", "/lxc/c"]);
    // Two at once.
    assert_eq!(of(vec![one(1, 80, "x"), one(2, 81, "x")]), ["/x#80", "/x#81"]);
}

#[test]
fn without_the_kernels_number_the_map_and_the_container_tell_them_apart() {
    let like = |uid, map: &str, cgroup: &str| {
        let mut process = process(uid, 1, 40, &[], cgroup);
        process.place.inside = Some(Inside::Map(map.as_bytes().into()));
        process
    };
    let (one, other) = ("0 100000 65536\n", "0 200000 65536\n");
    let counts = count(
        &table(vec![
            like(101_000, one, "lxc.payload.a/x"),
            like(101_000, one, "lxc.payload.a/y"),
            like(101_000, one, "lxc.payload.b"),
            like(201_000, other, "lxc.payload.b"),
        ]),
        own_group,
    );
    let mut tasks: Vec<_> = counts.iter().map(|((_, uid), count)| (*uid, count.tasks)).collect();
    tasks.sort_unstable();
    assert_eq!(tasks, [(101_000, 1), (101_000, 2), (201_000, 1)]);
}

#[test]
fn the_nearest_come_first_and_no_more_than_the_bound() {
    let processes = (0..80).map(|nth| process(nth, 1 + nth % 7, 40, &[(u64::from(nth), 0)], "x"));
    let mut names = Names::default();
    let (rows, _) =
        names.rows(&table(processes.collect()), &BTreeMap::new(), Path::new("/nonexistent"), None);
    assert_eq!(rows.len(), MOST);
    assert!(rows.is_sorted_by(|a, b| a.share() >= b.share()));
    assert!(rows[0].namespace.starts_with('#'), "no cgroup is known: {}", rows[0].namespace);
    let mut metrics = Metrics::default();
    export(&rows, &mut metrics);
    let text = String::from_utf8(metrics.encode()).unwrap();
    assert_eq!(text.matches("\ntelltale_namespace_fork_headroom_tasks{").count(), MOST);
}

#[test]
fn the_start_time_is_found_behind_any_name() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("7")).unwrap();
    let fields: Vec<String> = (4..=22).map(|field| (field * 100).to_string()).collect();
    let stat = format!("7 (a) S (b) R {} 1 2\n", fields.join(" "));
    std::fs::write(dir.path().join("7/stat"), stat).unwrap();
    let proc = Proc::open(dir.path()).unwrap();
    assert_eq!(start_time(&proc, 7), Some(2200));
    assert_eq!(start_time(&proc, 8), None);
}
