//! A node full of pods, of which half reject forks: none of them may hide behind the others.

use super::common::{Exporter, Load, Need, eventually, free_uid, need};
use super::live_cgroups::{Cgroup, pids_root};

/// One pod as the kubelet and containerd make it: the limit at the pod, the processes in the container.
struct Pod {
    name: String,
    load: Option<Load>,
    container: Cgroup,
    slice: Cgroup,
}

const PODS: u32 = 60;

/// All pods of one node below a slice of its own.
fn pods(node: &Cgroup, uid: u32) -> Vec<Pod> {
    let make = |nth: u32| {
        let name = format!("kubepods-burstable-pod{uid:08}_{nth:04}.slice");
        let slice = Cgroup::new(node.path(), &name, "6");
        slice.delegate();
        let container = Cgroup::new(slice.path(), &format!("cri-containerd-c{nth}.scope"), "max");
        // The first half fills its pod and goes on trying, the rest stays just below.
        let count = if nth < PODS / 2 { 100 } else { 4 };
        let load = container.load(uid, count);
        assert_eq!(load.refused, nth < PODS / 2, "{nth}");
        Pod { name, load: Some(load), container, slice }
    };
    (0..PODS).map(make).collect()
}

impl Drop for Pod {
    fn drop(&mut self) {
        drop(self.load.take());
    }
}

#[test]
fn every_pod_that_rejects_forks_is_shown_and_all_are_counted() {
    if !need(&[Need::Root]) {
        return;
    }
    let uid = free_uid();
    let node = Cgroup::new(&pids_root(), &format!("kubepods-{uid}.slice"), "max");
    node.delegate();
    let exporter = Exporter::start(&[]);
    exporter.scrape();
    let pods = pods(&node, uid);
    let scrape = exporter.scrape();
    let path = |pod: &Pod, scope: bool| {
        let group = if scope { pod.container.path() } else { pod.slice.path() };
        format!("/{}", group.strip_prefix(pids_root()).unwrap().display())
    };
    // Who counts a rejection: on version 1 where the task is, later where the limit is.
    let version_1 = pids_root().ends_with("pids");
    for pod in &pods[..PODS as usize / 2] {
        let counts = path(pod, version_1);
        let rejected = format!("telltale_cgroup_rejected_forks_total{{cgroup=\"{counts}\"}}");
        assert!(scrape.value(&rejected) >= 1.0, "{}", pod.name);
        // The limit that did it is told as well.
        let slice = path(pod, false);
        assert_eq!(scrape.value(&format!("telltale_cgroup_tasks{{cgroup=\"{slice}\"}}")), 6.0);
        assert_eq!(
            scrape.value(&format!("telltale_cgroup_tasks_limit{{cgroup=\"{slice}\"}}")),
            6.0
        );
        let uid = pod.name.trim_start_matches("kubepods-burstable-pod").trim_end_matches(".slice");
        let info = format!(
            "telltale_cgroup_info{{cgroup=\"{slice}\",unit=\"{}\",pod_uid=\"{}\",container_id=\"\",runtime=\"\"}}",
            pod.name,
            uid.replace('_', "-"),
        );
        assert_eq!(scrape.value(&info), 1.0);
    }
    // Other tests' groups may be among them.
    let pressed =
        |state| exporter.scrape().value(&format!("telltale_cgroups_pressed{{state=\"{state}\"}}"));
    assert!(pressed("rejecting") >= f64::from(PODS / 2));
    assert!(pressed("near") >= f64::from(PODS));

    // The same series at each scrape, whoever is fuller at the moment.
    let shown = || {
        let scrape = exporter.scrape();
        let slices = pods.iter().map(|pod| path(pod, false));
        let there =
            |path: &String| scrape.get(&format!("telltale_cgroup_tasks{{cgroup=\"{path}\"}}"));
        slices.filter(|path| there(path).is_some()).collect::<Vec<_>>()
    };
    let first = shown();
    let extra = pods[PODS as usize - 1].container.load(uid, 100);
    assert!(extra.refused);
    eventually("the one that fills up now is shown at once", || {
        shown().contains(&path(&pods[PODS as usize - 1], false))
    });
    let now = shown();
    assert!(first.iter().all(|path| now.contains(path)), "{first:?} {now:?}");
    drop(extra);
}

/// Docker's default: root in every container. Which of them is full, and by what?
#[test]
fn of_many_containers_of_root_the_full_one_is_named_with_its_command() {
    if !need(&[Need::Root]) {
        return;
    }
    let nth = free_uid();
    let docker = Cgroup::new(&pids_root(), &format!("telltale-docker-{nth}"), "max");
    docker.delegate();
    let container = |name: &str, max: &str| Cgroup::new(docker.path(), name, max);
    let (small, large) = (container("aaa", "9"), container("bbb", "500"));
    let exporter = Exporter::start(&[]);
    let load = |group: &Cgroup, name: &str, count: u32| {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "echo $$ > \"$1/cgroup.procs\"; shift; exec \"$@\"", "sh"]);
        command.arg(group.path()).arg(super::common::load::load_command().get_program());
        command.args(["--uid", "0", "--name", name, "fork", &count.to_string()]);
        Load::spawn(command)
    };
    // app-aaa and app-bbb.
    let full = load(&small, "6170702d616161", 100);
    let roomy = load(&large, "6170702d626262", 60);
    assert!(full.refused && full.made == 8 && !roomy.refused);
    // Groups of other tests may be as full, at this moment.
    eventually("the full container is named, and its command first", || {
        let page = exporter.get("/").text();
        let row = page.lines().find(|line| line.trim_start().starts_with("root ")).unwrap();
        let named = format!("cgroup /telltale-docker-{nth}/aaa is full");
        let commands = row.split(" is full").nth(1).unwrap_or_default();
        row.contains(&named) && commands.trim_start().starts_with("app-aaa ×9")
    });
}
