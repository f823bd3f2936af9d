"""Panels on ceilings beside a user's own limit: pods and containers, namespaces, logins."""

from panels import column, graph, table
from query import CGROUP_USE, gained, target


def pressed():
    return graph(
        "How many cgroups are in trouble?",
        "Pids cgroups at 80 % of their own limit or more (near), and those that rejected a fork in the last"
        " 10 minutes (rejecting): all of them, those too that have no series of their own"
        " (telltale_cgroups_pressed).",
        [target("topk(10, telltale_cgroups_pressed{@host})", "{{instance}} {{state}}")],
        unit="short", decimals=0, no_value="no pids cgroup")


def whose():
    by = "job, instance, cgroup"
    info = "group_left (unit, pod_uid, container_id, runtime) telltale_cgroup_info{@host}"
    gain = gained("telltale_cgroup_rejected_forks_total", "$__range", by)
    columns = {
        "instance": ("Instance", None), "runtime": ("Runtime", None), "unit": ("Unit", None),
        "pod_uid": ("Pod uid", None), "container_id": ("Container", None), "cgroup": ("Cgroup", None),
        "Value #A": ("Full", column("percentunit", 0)), "Value #B": ("Rejected", column("short", 0)),
        "job": ("Job", None),
    }
    return table(
        "Whose are they?",
        "Cgroups near their limit or rejecting forks, with what their path says of the unit, pod and container"
        " (telltale_cgroup_info); the pod uid joins with kube-state-metrics.",
        [target(f"topk(50, max by ({by}) ({CGROUP_USE})) * on ({by}) {info}", table=True),
         target(f"topk(50, {gain} > 0) * on ({by}) {info}", table=True)], columns, sort="Full",
        no_value="no pids cgroup has a limit")


def namespaces():
    room = "telltale_namespace_fork_headroom_tasks{@host} < +Inf"
    return graph(
        "How many forks are left inside user namespaces?",
        "Room of each uid, as seen outside, in containers with a user namespace of their own, over all levels up to"
        " their owner (telltale_namespace_fork_headroom_tasks); the 10 with the least at each moment.",
        [target(f"bottomk(10, {room})", "{{instance}} {{namespace}} {{uid}}")], unit="short", decimals=0,
        log=True, no_value="no user namespace has a limit")


def table_of_namespaces():
    by = "job, instance, namespace, uid"
    rows = [
        ("Tasks", f"topk(50, max by ({by}) (telltale_namespace_tasks{{@host}}))"),
        ("Limit", f"max by ({by}) (telltale_namespace_tasks_limit{{@host}})"),
        ("Forks left", f"min by ({by}) (telltale_namespace_fork_headroom_tasks{{@host}})"),
    ]
    columns = {"instance": ("Instance", None), "namespace": ("Namespace", None),
               "uid": ("uid outside", column(width=100))}
    for index, (heading, _) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, column("short", 0))
    columns["job"] = ("Job", None)
    return table(
        "What is counted inside user namespaces?",
        "Tasks of a uid, as seen outside, in a container's user namespace, against the lowest soft limit there; a"
        " namespace is called by the cgroup of its oldest process.",
        [target(expr, table=True) for _, expr in rows], columns, sort="Tasks",
        no_value="no process is in a user namespace of its own")


def logins():
    who = "job, instance, user, uid"
    room = 'telltale_user_fork_headroom_tasks{@user, ceiling="login"}'
    rows = [
        ("Tasks", f"max by ({who}) (topk(50, telltale_user_tasks{{@user}}))"),
        ("A login may have", f"max by ({who}) (telltale_user_login_tasks_limit{{@user}})"),
        ("Processes may have", f'max by ({who}) (telltale_user_tasks_limit{{@user, bound="lowest"}})'),
        ("Forks left to a login", f"min by ({who}) ({room})"),
    ]
    columns = {"instance": ("Instance", None), "user": ("User", None), "uid": ("uid", column(width=70))}
    for index, (heading, _) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, column("short", 0))
    columns["job"] = ("Job", None)
    return table(
        "Could each user log in?",
        "What a new login would get (telltale_user_login_tasks_limit) beside the lowest limit of the processes that"
        " run: a daemon from boot keeps its own. Below 2 forks left a login fails.",
        [target(expr, table=True) for _, expr in rows], columns, sort="Tasks", no_value="no user found")
