use super::*;

/// A sysfs whose pids hierarchy lies at `root`, with these groups: path, current, max, rejected.
pub(crate) fn sysfs(root: &str, groups: &[(&str, &str, &str, u32)]) -> tempfile::TempDir {
    let sysfs = tempfile::tempdir().unwrap();
    let base = sysfs.path().join("fs/cgroup").join(root);
    fs::create_dir_all(&base).unwrap();
    if root != "pids" {
        fs::write(base.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
    }
    fs::write(base.join("cgroup.procs"), "").unwrap();
    for (pid, (path, current, max, rejected)) in (1..).zip(groups) {
        let group = base.join(path);
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("pids.current"), format!("{current}\n")).unwrap();
        fs::write(group.join("pids.max"), format!("{max}\n")).unwrap();
        fs::write(group.join("pids.events"), format!("max {rejected}\n")).unwrap();
        fs::write(group.join("cgroup.procs"), format!("{pid}\n")).unwrap();
    }
    sysfs
}

#[test]
fn version_1_is_used_where_version_2_has_no_pids_controller() {
    let sysfs = sysfs("pids", &[("a", "3", "9", 0)]);
    let unified = sysfs.path().join("fs/cgroup/unified");
    fs::create_dir(&unified).unwrap();
    fs::write(unified.join("cgroup.controllers"), "hugetlb\n").unwrap();
    assert!(Hierarchy::find(sysfs.path()).unwrap().root.ends_with("pids"));
}

#[test]
fn the_path_of_a_process_is_that_of_the_pids_controller() {
    let file = b"9:name=systemd:/init\n8:cpu,pids:/a:b/c\n0::/unified\n";
    assert_eq!(Version::One.pids_path(file), Some(&b"a:b/c"[..]));
    assert_eq!(Version::Two.pids_path(file), Some(&b"unified"[..]));
    assert_eq!(Version::One.pids_path(b"0::/\n"), None);
    assert_eq!(Version::Two.pids_path(b"0::/\n"), Some(&b""[..]));
}

/// The rooms of processes 1, 2, … in these cgroups.
fn rooms(sysfs: &Path, cgroups: &[&str]) -> Rooms {
    let table = (1..).zip(cgroups).map(|(pid, cgroup)| (pid, Process::in_cgroup(cgroup)));
    Hierarchy::find(sysfs).unwrap().rooms(&table.collect())
}

/// A room whose fullest group is this one.
fn full(group: &str, room: u64, share: f64) -> CgroupRoom {
    CgroupRoom { room: Limit::Tasks(room), share, fullest: Some(Path::new(group).into()) }
}

#[test]
fn the_tightest_group_above_decides() {
    let groups = [
        ("outer", "8", "10", 0),
        ("outer/inner", "8", "max", 0),
        ("outer/inner/deep", "4", "100", 0),
        ("free", "5", "max", 0),
    ];
    let sysfs = sysfs("", &groups);
    let paths = ["outer", "outer/inner", "outer/inner/deep", "free", "gone", "outer/gone", ""];
    let tight = full("outer", 2, 0.8);
    let rooms = rooms(sysfs.path(), &paths);
    let expected = [1, 2, 3, 6].map(|pid| (pid, tight.clone()));
    assert_eq!(rooms.processes, HashMap::from(expected));
    // A group that is gone limits nobody any more; those above it do.
    assert!(rooms.unknown.is_empty() && !rooms.outside);
}

#[test]
fn what_cannot_be_looked_at_is_unknown_and_never_unlimited() {
    let sysfs =
        sysfs("", &[("a", "3", "9", 0), ("odd", "3", "many", 0), ("odd/below", "1", "9", 0)]);
    fs::remove_file(sysfs.path().join("fs/cgroup/a/pids.current")).unwrap();
    let rooms = rooms(sysfs.path(), &["../outer", "a", "odd", "odd/below"]);
    assert!(rooms.processes.is_empty());
    assert_eq!(rooms.unknown, HashSet::from([1, 2, 3, 4]));
    assert!(rooms.outside);
}

#[test]
fn the_root_of_a_cgroup_namespace_is_limited_too() {
    let sysfs = sysfs("", &[(".", "20", "30", 0), ("a", "5", "max", 0)]);
    let room = full("", 10, 20.0 / 30.0);
    let rooms = rooms(sysfs.path(), &["", "a"]).processes;
    assert_eq!(rooms, HashMap::from([(1, room.clone()), (2, room)]));
}
