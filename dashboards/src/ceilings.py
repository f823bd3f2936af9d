"""Panels on ceilings beside a user's own limit: pods and containers, namespaces, logins."""

import thresholds as t
from links import from_row
from panels import graph
from query import CGROUP_USE, WHO, gained, target, worst
from tables import column, lettered, table

HOST = ("Host", column(links=[from_row("host")], width=150))


def pressed():
    pressed_in = "telltale_cgroups_pressed{@host}"
    return graph(
        "How many cgroups are in trouble?",
        "Pids cgroups at 80 % of their own limit or more (near), and those that rejected a fork in the last"
        " 10 minutes (rejecting): all of them, those too that have no series of their own"
        " (telltale_cgroups_pressed); the 10 with most in the selected time.",
        [target(worst(pressed_in, pressed_in, 10, "job, instance, state"), "{{instance}} {{state}}")],
        unit="locale", decimals=0, no_value="no pids cgroup")


def whose():
    by = "job, instance, cgroup"
    info = "group_left (unit, pod_uid, container_id, runtime) telltale_cgroup_info{@host}"
    gain = gained("telltale_cgroup_rejected_forks_total", "$__range", by)
    rows = [
        ("Full", f"topk(50, max by ({by}) ({CGROUP_USE})) * on ({by}) {info}",
         column("percentunit", 0, t.CGROUP_USE, bar=True, minimum=0, maximum=1, width=150)),
        ("Rejected", f"topk(50, {gain} > 0) * on ({by}) {info}", column("locale", 0, t.CGROUP_REJECTED, width=90)),
    ]
    columns = {"unit": ("Unit", column()), "host": HOST, "runtime": ("Runtime", column(width=90)),
               "pod_uid": ("Pod uid", column(width=200)), "container_id": ("Container", column(width=200))} \
        | lettered(rows)
    return table(
        "Whose are they?",
        "Cgroups near their limit or rejecting forks, with what their path says of the unit, pod and container"
        " (telltale_cgroup_info); the pod uid joins with kube-state-metrics.",
        [expr for _, expr, _ in rows], columns, sort=("Full", True), hide=["cgroup"],
        no_value="no pids cgroup has a limit")


def namespaces():
    room = "telltale_namespace_fork_headroom_tasks{@host}"
    return graph(
        "How many forks are left inside?",
        "Room of each uid, as seen outside, in containers with a user namespace of their own, over all levels up to"
        " their owner (telltale_namespace_fork_headroom_tasks); the 10 with the least now.",
        [target(f"bottomk(10, {room} < +Inf)", "{{instance}} {{namespace}} {{uid}}")], unit="locale", decimals=0,
        lowest_first=True, no_value="no user namespace has a limit")


def table_of_namespaces():
    by = "job, instance, namespace, uid"
    rows = [
        ("Tasks", f"topk(50, max by ({by}) (telltale_namespace_tasks{{@host}}))", column("locale", 0, width=90)),
        ("Limit", f"max by ({by}) (telltale_namespace_tasks_limit{{@host}})", column("locale", 0, width=90)),
        ("Forks left", f"min by ({by}) (telltale_namespace_fork_headroom_tasks{{@host}})",
         column("locale", 0, width=100)),
    ]
    columns = {"namespace": ("Namespace", column()), "host": HOST, "uid": ("uid outside", column(width=100))} \
        | lettered(rows)
    return table(
        "What is counted inside user namespaces?",
        "Tasks of a uid, as seen outside, in a container's user namespace, against the lowest soft limit there; a"
        " namespace is called by the cgroup of its oldest process.",
        [expr for _, expr, _ in rows], columns, sort=("Tasks", True),
        no_value="no process is in a user namespace of its own")


def logins():
    room = 'telltale_user_fork_headroom_tasks{@user, ceiling="login"}'
    rows = [
        ("Tasks", f"max by ({WHO}) (topk(50, telltale_user_tasks{{@user}}))", column("locale", 0, width=90)),
        ("A login may have", f"max by ({WHO}) (telltale_user_login_tasks_limit{{@user}})",
         column("locale", 0, width=140)),
        ("Processes may have", f'max by ({WHO}) (telltale_user_tasks_limit{{@user, bound="lowest"}})',
         column("locale", 0, width=150)),
        ("Forks left to a login", f"min by ({WHO}) ({room})", column("locale", 0, width=150)),
    ]
    columns = {"user": ("User", column()), "host": HOST, "uid": ("uid", column(width=90))} | lettered(rows)
    return table(
        "Could each user log in?",
        "What a new login would get (telltale_user_login_tasks_limit) beside the lowest limit of the processes that"
        " run: a daemon from boot keeps its own. Below 2 forks left a login fails.",
        [expr for _, expr, _ in rows], columns, sort=("Tasks", True), no_value="no user found")
