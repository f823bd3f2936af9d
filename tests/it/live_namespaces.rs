//! What the kernel counts inside user namespaces: each scene forks until it is refused, and the exporter says
//! the same.

use std::process::Command;

use super::common::{
    Exporter, Load, Need, Scrape, exporter_command, free_uid, load::load_command, need,
};

/// The series of this family of the uid, with their values: namespace by namespace.
fn rows(scrape: &Scrape, family: &str, uid: u32) -> Vec<f64> {
    let (start, end) = (format!("telltale_namespace_{family}{{"), format!(",uid=\"{uid}\"}}"));
    let series = scrape.series().filter(|s| s.starts_with(&start) && s.ends_with(&end));
    let mut values: Vec<f64> = series.map(|series| scrape.value(series)).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Tasks, limits and rooms of the uid in all namespaces.
fn numbers(exporter: &Exporter, uid: u32) -> [Vec<f64>; 3] {
    let scrape = exporter.scrape();
    ["tasks", "tasks_limit", "fork_headroom_tasks"].map(|family| rows(&scrape, family, uid))
}

fn load(words: &str) -> Load {
    Load::start(&words.split(' ').collect::<Vec<_>>())
}

/// Uids that no container of the host and no other test has: 65,536 from here on.
fn base() -> u32 {
    free_uid() * 5000
}

/// Forks until it is refused, as this uid in the namespace of a process.
fn probe(pid: u32, uid: u32, nproc: u32) -> Load {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-U", "-S", &uid.to_string(), "-G", &uid.to_string()]);
    command.arg(load_command().get_program());
    command.args(["--nproc", &format!("{nproc}:{nproc}"), "fork", "1000"]);
    Load::spawn(command)
}

#[test]
fn the_inner_user_of_an_unprivileged_container() {
    if !need(&[Need::Root]) {
        return;
    }
    let base = base();
    let exporter = Exporter::start(&[]);
    // LXC, or dockerd's userns-remap: the namespace belongs to root.
    let full = load(&format!("--userns -/-/0:{base}:65536 --nproc 40:40 --uid 1000 fork 100"));
    assert!(full.refused && full.made == 39, "{}", full.made);
    assert_eq!(numbers(&exporter, base + 1000), [vec![40.0], vec![40.0], vec![0.0]]);
    let page = exporter.get("/").text();
    let row = page.lines().find(|line| line.contains(&(base + 1000).to_string())).unwrap();
    assert!(row.contains(" 40 ") && !row.contains("estimate"), "{row}");
    let scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", base + 1000, ""), None, "charged to root outside");
}

#[test]
fn two_containers_with_one_map_have_a_count_each() {
    if !need(&[Need::Root, Need::Tool("nsenter")]) {
        return;
    }
    let base = base();
    let uid = base + 1000;
    let exporter = Exporter::start(&[]);
    let map = format!("--userns -/-/0:{base}:65536 --nproc 40:40 --uid 1000");
    let full = load(&format!("{map} fork 100"));
    let half = load(&format!("{map} fork 9"));
    assert!(full.refused && full.made == 39 && !half.refused);
    assert_eq!(numbers(&exporter, uid), [vec![10.0, 40.0], vec![40.0; 2], vec![0.0, 30.0]]);
    // The kernel lets 30 more in, of which the prober is one.
    let more = probe(half.pid(), 1000, 40);
    assert!(more.refused && more.made == 29, "{}", more.made);
    assert_eq!(numbers(&exporter, uid)[2], [0.0, 0.0]);
}

#[test]
fn a_map_of_several_ranges() {
    if !need(&[Need::Root]) {
        return;
    }
    let (base, outside) = (base(), free_uid());
    let exporter = Exporter::start(&[]);
    // Proxmox' way to hand one uid of the host through.
    let map = format!("0:{base}:1000,1000:{outside}:1,1001:{}:64000", base + 1001);
    let through = load(&format!("--userns -/-/{map} --nproc 12:20 --uid 1000 fork 100"));
    let other = load(&format!("--userns -/-/{map} --nproc 25:25 --uid 1001 threads 100"));
    assert!(through.refused && through.made == 11 && other.refused && other.made == 24);
    assert_eq!(numbers(&exporter, outside), [vec![12.0], vec![12.0], vec![0.0]]);
    assert_eq!(numbers(&exporter, base + 1001), [vec![25.0], vec![25.0], vec![0.0]]);
    // Outside the same number has a count of its own.
    let plain = load(&format!("--uid {outside} --nproc 9:9 fork 100"));
    assert!(plain.refused && plain.made == 8);
    assert_eq!(exporter.scrape().user("tasks", outside, ""), Some(9.0));
}

#[test]
fn three_namespaces_one_within_the_other() {
    if !need(&[Need::Root]) {
        return;
    }
    let (owner, other) = (free_uid(), free_uid());
    let exporter = Exporter::start(&[]);
    let nested = |owner: u32, soft: [&str; 3], nproc: &str| {
        let [first, second, third] = soft;
        let map = format!(
            "--userns {owner}/{first}/0:{owner}:1 --userns -/{second}/0:0:1 --userns -/{third}/0:0:1"
        );
        load(&format!("{map} --nproc {nproc} fork 1000"))
    };
    // Its own limit stops it: each level counts all of it, and only the innermost has processes.
    let own = nested(owner, ["60", "60", "60"], "30:60");
    assert!(own.refused && own.made == 29, "{}", own.made);
    assert_eq!(numbers(&exporter, owner), [vec![30.0; 3], vec![30.0], vec![0.0]]);
    assert_eq!(exporter.scrape().user("tasks", owner, ""), Some(30.0), "charged to it outside");

    // A maximum that was frozen two levels up stops it. Nobody can read that: no room is claimed.
    let frozen = nested(other, ["60", "40", "60"], "60:60");
    assert!(frozen.refused && frozen.made == 39, "{}", frozen.made);
    assert_eq!(numbers(&exporter, other), [vec![40.0; 3], vec![60.0], vec![]]);
}

#[test]
fn the_owners_limit_outside_stops_a_rootless_container_too() {
    if !need(&[Need::Root]) {
        return;
    }
    let (base, owner) = (base(), free_uid());
    let exporter = Exporter::start(&[]);
    let session = load(&format!("--uid {owner} --nproc 50:50 fork 9"));
    let map = format!("0:{owner}:1,1:{base}:65536");
    let rootless = load(&format!("--userns {owner}/50/{map} --nproc 300:300 --uid 7 fork 1000"));
    assert!(!session.refused && rootless.refused && rootless.made == 39, "{}", rootless.made);
    let uid = base + 6;
    assert_eq!(numbers(&exporter, uid), [vec![40.0], vec![300.0], vec![0.0]]);
    assert_eq!(
        exporter.scrape().user("fork_headroom_tasks", owner, ",ceiling=\"rlimit\""),
        Some(0.0)
    );
}

#[test]
fn without_ptrace_access_it_is_said_to_be_approximate() {
    if !need(&[Need::Root, Need::Tool("setpriv")]) {
        return;
    }
    let base = base();
    // As root without that capability, which reads the map and not the namespace.
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]);
    command.arg(exporter_command().get_program());
    let exporter = Exporter::spawn(command);
    let full = load(&format!("--userns -/-/0:{base}:65536 --nproc 40:40 --uid 1000 fork 100"));
    assert!(full.refused);
    assert_eq!(numbers(&exporter, base + 1000), [vec![40.0], vec![40.0], vec![0.0]]);
    let page = exporter.get("/").text();
    assert!(page.contains("! users: /proc/PID/ns/user cannot be read"), "{page}");
}
