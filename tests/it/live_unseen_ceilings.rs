//! Ceilings that the exporter cannot see, or sees through a container's eyes: never unlimited.

use std::process::Command;

use super::common::{Exporter, Load, Need, exporter_command, free_uid, load::load_command, need};
use super::live_cgroups::{Cgroup, pids_root};

fn tools() -> bool {
    need(&[Need::Root, Need::Tool("unshare"), Need::Tool("nsenter"), Need::Tool("mount")])
}

/// The exporter as README runs it in a container: in a group of its own, in a private cgroup namespace, with
/// the host's root mounted below a directory, or without.
fn exporter_in(group: &Cgroup, host: Option<&std::path::Path>) -> Exporter {
    let enter = "echo $$ > \"$1/cgroup.procs\"; shift; exec \"$@\"";
    let mounts = match host {
        Some(_) => "mount --rbind / \"$1\" && mount --make-rslave \"$1\"",
        // Docker mounts the hierarchies anew, each with the container's own group as its root.
        None => {
            "umount -l /sys/fs/cgroup && mount -t tmpfs none /sys/fs/cgroup && \
                 mkdir /sys/fs/cgroup/pids && mount -t cgroup -o pids none /sys/fs/cgroup/pids"
        }
    };
    let mut command = Command::new("sh");
    command.args(["-c", enter, "sh"]).arg(group.path());
    command.args(["unshare", "--cgroup", "--mount", "--propagation", "private", "sh", "-c"]);
    command.arg(format!("{mounts}; shift; exec \"$@\"")).arg("sh");
    command.arg(host.unwrap_or(std::path::Path::new("/"))).arg(exporter_command().get_program());
    if let Some(host) = host {
        for (name, below) in [("procfs", "proc"), ("sysfs", "sys"), ("rootfs", "")] {
            command.arg(format!("--path.{name}={}", host.join(below).display()));
        }
    }
    Exporter::spawn(command)
}

#[test]
fn a_container_with_a_private_cgroup_namespace_sees_the_hosts_rooms() {
    if !tools() {
        return;
    }
    let uid = free_uid();
    let outer = Cgroup::new(&pids_root(), &format!("telltale-docker-{uid}"), "max");
    outer.delegate();
    let ours = Cgroup::new(outer.path(), "exporter", "max");
    let sister = Cgroup::new(outer.path(), "sister", "15");
    let far = Cgroup::new(&pids_root(), &format!("telltale-far-{uid}"), "40");
    let host = tempfile::tempdir().unwrap();
    let exporter = exporter_in(&ours, Some(host.path()));

    let room = |uid| exporter.scrape().user("fork_headroom_tasks", uid, ",ceiling=\"cgroup\"");
    let load = far.load(uid, 100);
    assert!(load.refused && load.made == 39);
    assert_eq!(room(uid), Some(0.0), "as the kernel says");
    // One beside us in the same branch, of which the path tells less.
    let near = free_uid();
    let load = sister.load(near, 9);
    assert!(!load.refused);
    assert_eq!(room(near), Some(5.0));
    assert!(sister.load(free_uid(), 100).refused, "and the kernel refuses the sixth");
    let page = exporter.get("/").text();
    assert!(page.contains(&format!("cgroup /telltale-far-{uid} is full")), "{page}");
}

#[test]
fn a_container_without_the_hosts_hierarchy_says_that_it_does_not_see() {
    if !tools() || !pids_root().ends_with("pids") {
        return;
    }
    let uid = free_uid();
    let ours = Cgroup::new(&pids_root(), &format!("telltale-own-{uid}"), "max");
    let far = Cgroup::new(&pids_root(), &format!("telltale-far-{uid}"), "20");
    let exporter = exporter_in(&ours, None);
    let load = far.load(uid, 100);
    assert!(load.refused);
    let scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(20.0));
    assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"cgroup\""), None);
    let page = exporter.get("/").text();
    assert!(page.contains("! users: some processes are in cgroups that cannot be seen"), "{page}");
    let row = page.lines().find(|line| line.contains(&uid.to_string())).unwrap();
    assert!(row.contains("cgroup not seen") && row.contains("unknown"), "{row}");
    assert!(!row.contains("unlimited") && !row.contains("0 % used"), "{row}");
}

/// Whether each pid namespace has a `pid_max` of its own (Linux 6.14).
fn pid_max_of_namespaces() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}

#[test]
fn the_pid_max_of_a_container_is_said_to_be_out_of_sight() {
    if !tools() {
        return;
    }
    let uid = free_uid();
    let in_namespace = |count: &str| {
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]);
        command.arg("echo 320 > /proc/sys/kernel/pid_max; \"$@\"; true").arg("sh");
        command.arg(load_command().get_program());
        command.args(["--uid", &uid.to_string(), "--nproc", "1000:1000", "fork", count]);
        Load::spawn(command)
    };
    let exporter = Exporter::start(&[]);
    let row = || {
        let page = exporter.get("/").text();
        page.lines().find(|line| line.contains(&uid.to_string())).unwrap().to_owned()
    };
    // What it advises, run by the operator.
    let advised = |row: &str| {
        let (_, command) = row.split_once("nsenter ").expect(row);
        let output = Command::new("nsenter").args(command.split(' ').take(5)).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let some = in_namespace("4");
    if !pid_max_of_namespaces() {
        assert!(!row().contains("pid_max"), "{}", row());
        return;
    }
    assert!(!row().contains(" 0 % used") && !row().contains("unlimited"), "{}", row());
    assert_eq!(advised(&row()).trim(), "320");
    drop(some);

    let full = in_namespace("600");
    assert!(full.refused && full.made < 330, "out of numbers: {}", full.made);
    let scrape = exporter.scrape();
    assert_eq!(scrape.user("tasks", uid, ""), Some(full.made as f64 + 1.0));
    assert_eq!(scrape.user("fork_headroom_tasks", uid, ",ceiling=\"cgroup\""), None, "not +Inf");
    // Full, it lets nobody in; that says it as well.
    assert!(advised(&row()).contains("fork failed"), "{}", advised(&row()));
}

#[test]
fn in_another_pid_namespace_than_proc_the_hosts_pid_max_is_absent() {
    if !tools() || !pid_max_of_namespaces() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child"]).arg(exporter_command().get_program());
    let exporter = Exporter::spawn(command);
    let scrape = exporter.scrape();
    assert_eq!(scrape.get("telltale_host_tasks_limit{ceiling=\"pid_max\"}"), None);
    assert!(scrape.value("telltale_host_tasks_limit{ceiling=\"threads_max\"}") > 0.0);
    let page = exporter.get("/").text();
    assert!(page.contains("! host: kernel.pid_max belongs to each pid namespace"), "{page}");
    let ours = Exporter::start(&[]).scrape();
    assert!(ours.value("telltale_host_tasks_limit{ceiling=\"pid_max\"}") > 0.0);
}
