use super::*;

/// Some groups, that a test changes between collections.
struct Host {
    selection: Selection,
    now: Instant,
    groups: Vec<(String, u64, u64, u64)>,
}

impl Host {
    fn new(groups: Vec<(String, u64, u64, u64)>) -> Self {
        Self { selection: Selection::default(), now: Instant::now(), groups }
    }

    /// One collection, so many seconds later.
    fn look(&mut self, seconds: u64) -> (Vec<Group>, Pressed) {
        self.now += Duration::from_secs(seconds);
        let limit = |limit| if limit == 0 { Limit::Unlimited } else { Limit::Tasks(limit) };
        let groups = self.groups.iter().map(|(path, tasks, max, rejected)| Group {
            path: path.into(),
            tasks: Some(*tasks),
            limit: limit(*max),
            rejected: Some(*rejected),
        });
        let groups = groups.collect();
        self.selection.choose(groups, self.now)
    }

    fn paths(&mut self, seconds: u64) -> Vec<String> {
        let (shown, _) = self.look(seconds);
        shown.iter().map(|group| group.path.display().to_string()).collect()
    }
}

/// A node of pods with a limit of 100, each with a container that has none.
fn pods(count: usize) -> Host {
    let slice = |nth| {
        format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{nth:04}.slice")
    };
    let pairs = (0..count).flat_map(|nth| {
        let scope = format!("{}/cri-containerd-c{nth}.scope", slice(nth));
        [(slice(nth), 85, 100, 0), (scope, 85, 0, 0)]
    });
    Host::new(pairs.collect())
}

#[test]
fn thirty_pods_that_reject_are_all_shown_with_the_limit_that_does() {
    let mut host = pods(60);
    host.look(0);
    // Version 1: the container counts, the pod's slice has the limit.
    for nth in 0..30 {
        host.groups[2 * nth].1 = 100;
        host.groups[2 * nth + 1].3 = 3;
    }
    let (shown, pressed) = host.look(15);
    let of = |ending: &str| {
        let path = |group: &&Group| group.path.to_string_lossy().ends_with(ending);
        shown.iter().filter(path).count()
    };
    assert_eq!(of(".scope"), 30, "one by one, and at once");
    assert!(of(".slice") >= 30);
    assert_eq!(pressed, Pressed { near: 60, rejecting: 30 }, "shown or not");
    for nth in 0..30 {
        let (slice, scope) = (&host.groups[2 * nth].0, &host.groups[2 * nth + 1].0);
        for path in [slice, scope] {
            assert!(shown.iter().any(|group| group.path == Path::new(path)), "{path}");
        }
    }
    // What rejected is shown for good, and news for ten minutes.
    assert_eq!(host.look(STAYS.as_secs()).1.rejecting, 0);
    let paths = host.paths(60);
    assert_eq!(paths.iter().filter(|path| path.contains("/cri-containerd-")).count(), 30);
}

#[test]
fn forty_that_change_places_at_each_look_keep_their_series() {
    let mut host = pods(40);
    let mut seen: Vec<HashSet<String>> = Vec::new();
    for look in 0..40_u64 {
        for (nth, group) in host.groups.iter_mut().enumerate() {
            group.1 = 82 + (nth as u64 * 7 + look * 5) % 17;
        }
        seen.push(host.paths(15).into_iter().collect());
    }
    // From when each was among the nearest once, the same ones for as long as a rule waits, and longer.
    let settled = &seen[10..];
    assert_eq!(settled[0].len(), 40);
    assert!(settled.iter().all(|paths| *paths == settled[0]));
}

#[test]
fn a_hundred_that_change_places_keep_forty_series() {
    let mut host = pods(100);
    let mut seen: Vec<HashSet<String>> = Vec::new();
    for look in 0..60_u64 {
        for (nth, group) in host.groups.iter_mut().enumerate() {
            group.1 = 82 + (nth as u64 * 31 + look * 13) % 17;
        }
        seen.push(host.paths(15).into_iter().collect());
    }
    assert!(seen.iter().all(|paths| paths.len() <= MOST_NEAR));
    let kept = seen[20..].iter().skip(1).fold(seen[20].clone(), |kept, paths| &kept & paths);
    assert!(kept.len() >= MOST_NEAR - NEAREST, "{}", kept.len());
}

#[test]
fn one_that_is_no_longer_near_goes_after_ten_minutes() {
    let mut host = pods(21);
    host.groups[0].1 = 1;
    let calm = host.groups[0].0.clone();
    assert!(!host.paths(0).contains(&calm));
    host.groups[0].1 = 99;
    assert!(host.paths(15).contains(&calm), "the nearest is shown at once");
    host.groups[0].1 = 1;
    assert!(host.paths(STAYS.as_secs() - 1).contains(&calm));
    assert!(!host.paths(2).contains(&calm));
}

#[test]
fn one_that_is_made_anew_or_gone_takes_its_series_with_it() {
    let mut host = Host::new(vec![("a".to_owned(), 5, 9, 7), ("b".to_owned(), 5, 9, 0)]);
    assert!(host.look(0).0.iter().all(|group| group.rejected == Some(0)), "not ours");
    host.groups[0].3 = 9;
    let (shown, pressed) = host.look(15);
    assert_eq!((shown[0].rejected, pressed.rejecting), (Some(2), 1));
    // Made anew.
    host.groups[0].3 = 0;
    assert_eq!(host.look(15).1.rejecting, 0);
    host.groups[0].3 = 1;
    assert_eq!(host.look(15).1.rejecting, 1);
    host.groups.remove(0);
    let (shown, pressed) = host.look(15);
    assert_eq!((shown.len(), pressed.rejecting), (1, 0));
}

#[test]
fn one_owner_fills_neither_list_and_what_rejects_now_takes_the_place_of_old_news() {
    // A user with groups below its own, and a service.
    let flood = |nth| (format!("user.slice/user-7.slice/x{nth:03}"), 1, 1, 0);
    let mut groups: Vec<_> = (0..300).map(flood).collect();
    groups.push(("system.slice/victim.service".to_owned(), 9, 10, 0));
    let mut host = Host::new(groups);
    let victim = "system.slice/victim.service".to_owned();
    assert!(host.paths(0).contains(&victim), "all of the user's are fuller");
    for group in &mut host.groups[..300] {
        group.3 = 1;
    }
    let paths = host.paths(15);
    assert!(paths.len() <= REJECTING_OF_ONE + MOST_NEAR && paths.contains(&victim));
    assert_eq!(host.look(15).1.rejecting, 300);

    // 100 units rejected long ago; another does now.
    let mut host =
        Host::new((0..101).map(|nth| (format!("s/u{nth:03}.service"), 1, 0, 0)).collect());
    // Each its own owner: a slice that holds them.
    for group in &mut host.groups {
        group.0 = group.0.replace("s/", "system.slice/");
    }
    host.look(0);
    for group in &mut host.groups[..100] {
        group.3 = 1;
    }
    assert_eq!(host.paths(15).len(), 100);
    host.groups[100].3 = 1;
    let last = host.groups[100].0.clone();
    assert!(!host.paths(15).contains(&last), "those are news still");
    assert!(host.paths(STAYS.as_secs()).contains(&last));
    assert_eq!(host.paths(15).len(), 100);
}
