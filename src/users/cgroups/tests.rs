use std::fs;

use super::super::hierarchy::MAX_GROUPS;
use super::super::hierarchy::tests::sysfs;
use super::selection::NEAREST;
use super::*;

fn scrape(cgroups: &mut Cgroups) -> String {
    let mut found = Found::default();
    cgroups.collect(&mut found).unwrap();
    String::from_utf8(found.metrics.encode()).unwrap()
}

#[test]
fn hierarchies_of_either_version_are_found() {
    for root in ["", "unified", "pids"] {
        let sysfs = sysfs(root, &[("a", "3", "9", 0)]);
        let text = scrape(&mut Cgroups::new(sysfs.path()));
        assert!(text.contains("telltale_cgroup_tasks{cgroup=\"/a\"} 3\n"), "{root}: {text}");
        assert!(text.contains("telltale_cgroup_tasks_limit{cgroup=\"/a\"} 9\n"));
    }
}

#[test]
fn without_a_controller_nothing_is_shown_and_that_is_said() {
    let sysfs = tempfile::tempdir().unwrap();
    let mut found = Found::default();
    Cgroups::new(sysfs.path()).collect(&mut found).unwrap();
    assert!(found.metrics.encode().is_empty() && found.warnings[0].contains("Linux 4.3"));
}

#[test]
fn the_root_of_a_cgroup_namespace_is_shown_too() {
    let sysfs = sysfs("", &[(".", "20", "30", 0), ("a", "5", "max", 0)]);
    let text = scrape(&mut Cgroups::new(sysfs.path()));
    assert!(text.contains("telltale_cgroup_tasks_limit{cgroup=\"/\"} 30\n"), "{text}");
}

#[test]
fn empty_cgroups_cost_no_walk_and_a_flood_of_them_hides_nobody() {
    let mut groups = vec![
        ("system.slice".to_owned(), "9", "max"),
        ("system.slice/victim.service".to_owned(), "9", "10"),
        ("user.slice".to_owned(), "60", "max"),
        ("user.slice/user-7.slice".to_owned(), "60", "max"),
        ("user.slice/user-7.slice/empty".to_owned(), "0", "1"),
    ];
    for nth in 0..30 {
        groups.push((format!("user.slice/user-7.slice/full{nth}"), "1", "1"));
        groups.push((format!("user.slice/user-7.slice/decoy{nth}"), "0", "0"));
        groups.push((format!("user.slice/user-7.slice/empty/deep{nth}"), "0", "1"));
    }
    let groups: Vec<_> = groups.iter().map(|(path, now, max)| (&**path, *now, *max, 0)).collect();
    let sysfs = sysfs("", &groups);
    let (walked, cut) = Hierarchy::find(sysfs.path()).unwrap().walk().unwrap();
    assert!(!cut && walked.len() == 5 + 60, "nothing below an empty one: {}", walked.len());
    let text = scrape(&mut Cgroups::new(sysfs.path()));
    assert!(text.contains("telltale_cgroup_tasks{cgroup=\"/system.slice/victim.service\"} 9\n"));
    assert_eq!(text.matches("\ntelltale_cgroup_tasks{").count(), NEAREST);
}

#[test]
fn more_groups_than_the_bound_end_the_walk_and_that_is_said() {
    let names: Vec<String> = (0..MAX_GROUPS + 10).map(|nth| format!("g{nth}")).collect();
    let groups: Vec<_> = names.iter().map(|name| (&**name, "1", "9", 0)).collect();
    let sysfs = sysfs("", &groups);
    let mut found = Found::default();
    Cgroups::new(sysfs.path()).collect(&mut found).unwrap();
    assert_eq!(found.warnings, [CUT]);
}

#[test]
fn the_nearest_are_shown_and_those_that_reject() {
    let names: Vec<String> = (0..40).map(|nth| format!("g{nth:02}")).collect();
    let tasks: Vec<String> = (0..40).map(|nth| nth.to_string()).collect();
    let mut groups: Vec<_> =
        names.iter().zip(&tasks).map(|(name, tasks)| (&**name, &**tasks, "100", 5)).collect();
    groups.push(("unlimited", "1", "max", 2));
    let sysfs = sysfs("", &groups);
    let mut cgroups = Cgroups::new(sysfs.path());
    let text = scrape(&mut cgroups);
    let shown = |text: &str| text.matches("\ntelltale_cgroup_tasks{").count();
    assert_eq!(shown(&text), NEAREST, "what was rejected before we looked does not count");
    assert!(text.contains("tasks{cgroup=\"/g20\"} 20\n") && !text.contains("/g19"));

    let rejects = |group: &str, count: u32| {
        let path = sysfs.path().join("fs/cgroup").join(group).join("pids.events");
        fs::write(path, format!("max {count}\n")).unwrap();
    };
    rejects("g00", 6);
    rejects("unlimited", 3);
    for _ in 0..2 {
        let text = scrape(&mut cgroups);
        assert_eq!(shown(&text), NEAREST + 2, "and it stays");
        assert!(text.contains("rejected_forks_total{cgroup=\"/g00\"} 1\n"));
        assert!(!text.contains("rejected_forks_total{cgroup=\"/g39\"}"), "it has rejected none");
        assert!(text.contains("tasks_limit{cgroup=\"/unlimited\"} +Inf\n"));
    }
    // Made anew under its old name, it has rejected nothing yet.
    rejects("g00", 0);
    assert_eq!(shown(&scrape(&mut cgroups)), NEAREST + 1);
    rejects("g00", 1);
    assert_eq!(shown(&scrape(&mut cgroups)), NEAREST + 2);
}

#[test]
fn the_groups_own_count_of_events_is_taken_where_there_is_one() {
    // Version 2 since Linux 6.11: the slice has what the service below it rejected, too.
    let groups = [("a.slice", "9", "100", 0), ("a.slice/b.service", "9", "9", 0)];
    let sysfs = sysfs("", &groups);
    let events = |group: &str, file: &str, count: u32| {
        let path = sysfs.path().join("fs/cgroup").join(group).join(file);
        fs::write(path, format!("max {count}\n")).unwrap();
    };
    for (group, _, _, _) in groups {
        events(group, "pids.events.local", 0);
    }
    let mut cgroups = Cgroups::new(sysfs.path());
    scrape(&mut cgroups);
    for (group, file) in [
        ("a.slice", "pids.events"),
        ("a.slice/b.service", "pids.events"),
        ("a.slice/b.service", "pids.events.local"),
    ] {
        events(group, file, 3);
    }
    let text = scrape(&mut cgroups);
    assert_eq!(text.matches("\ntelltale_cgroup_rejected_forks_total{").count(), 1, "{text}");
    assert!(text.contains("rejected_forks_total{cgroup=\"/a.slice/b.service\"} 3\n"));
    assert!(text.contains("telltale_cgroups_pressed{state=\"rejecting\"} 1\n"));
    assert!(text.contains("telltale_cgroups_pressed{state=\"near\"} 1\n"));
    let info = "telltale_cgroup_info{cgroup=\"/a.slice/b.service\",unit=\"b.service\",pod_uid=\"\",\
                container_id=\"\",runtime=\"\"} 1\n";
    assert!(text.contains(info), "{text}");
}
