"""Users and processes of a host: who is running out, against which ceiling, because of what, and when?"""

import ceilings
import thresholds as t
from board import Board
from links import from_row, from_series, whole
from panels import bars, column, graph, paint, stat, table
from query import (
    BLOCKED, CGROUP_USE, HOST_USE, NO_RULES, ROOM, USER_LIMIT, USER_USE, gained, target)

WHO = "job, instance, user, uid"
NAME = "{{instance}} {{user}}"
LIMIT, USE = USER_LIMIT, USER_USE
TIME_LEFT = (f"user:telltale_time_to_limit:seconds{{@user}} and on ({WHO})"
             f" {USE} > {t.USER_PRESSED}")
ONE = from_series("users", "Only ${__field.labels.user}", user="user")
NO_LIMIT = "no limits, " + NO_RULES
NOT_GROWING = "nobody past half of a limit grows"


def build():
    board = Board(
        "telltale-users", "Telltale / Users and processes",
        "Who is running out of processes, against which ceiling, because of which commands, and how"
        " much time is left? Tasks are counted as the kernel charges them: threads and zombies of the"
        " real uid.", extra="user")
    board.section("Is it OK?", (4, *((panel, 3) for panel in answers())))
    board.section("Users against their limits", (9, (use(), 12), (headroom(), 12)),
                  (9, (table_of_users(), 24)), (9, (tasks(), 12), (commands(), 12)),
                  (8, (time_left(), 12), (blocked(), 12)))
    board.section("Processes: states and births", (8, (states(), 12), (zombies(), 12)),
                  (8, (forks(), 8), (failed(), 8), (whose_forks_failed(), 8)), collapsed=True)
    board.section("Logins, namespaces, pids cgroups and the host itself", (8, (cgroups(), 12), (rejected(), 12)),
                  (8, (table_of_cgroups(), 10), (host(), 7), (host_tasks(), 7)),
                  (8, (ceilings.pressed(), 10), (ceilings.whose(), 14)),
                  (8, (ceilings.namespaces(), 10), (ceilings.table_of_namespaces(), 14)),
                  (8, (ceilings.logins(), 24)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Fullest user", "Highest share of the lowest process limit among the chosen users"
        " (telltale_user_tasks_peak / telltale_user_tasks_limit).",
        f"max({USE})", unit="percentunit", level=t.USER_USE, no_value=NO_LIMIT)
    yield stat(
        "Fewest forks left", "Tasks that the user with the least room can still create, over process"
        " limits and pids cgroups (telltale_user_fork_headroom_tasks). At 0 the next fork fails.",
        f"min({ROOM})", unit="short", level=t.FORKS_LEFT,
        no_value=NO_LIMIT)
    yield stat(
        "Least time left", "When the first user past half of its limit is out of processes if its"
        " tasks go on growing as in the last half hour; one jump is no trend.",
        f"min({TIME_LEFT})", unit="s", level=t.USER_TIME_LEFT, no_value=NOT_GROWING)
    yield stat(
        "Processes that cannot fork", "Processes whose own limit is reached: each fork of theirs"
        " fails now (telltale_user_processes_blocked).",
        f"sum({BLOCKED})", level=t.USER_BLOCKED, no_value=NO_LIMIT)
    yield stat(
        "Forks refused by a cgroup", "Forks that pids cgroups rejected in the selected time"
        " (telltale_cgroup_rejected_forks_total).",
        f"sum({gained('telltale_cgroup_rejected_forks_total', '$__range', 'job, instance')})",
        level=t.CGROUP_REJECTED, no_value="no pids cgroup")
    yield stat(
        "Lasting zombies", "Ended processes that nobody waited for in the last 10 minutes, of the user with"
        ' most; they still fill the limit (telltale_user_processes{state="zombie"}).',
        'max(min_over_time(telltale_user_processes{@user, state="zombie"}[10m]))'
        " or 0 * count(telltale_user_tasks{@user})", level=t.ZOMBIES, no_value="no user found")
    yield stat(
        "Host's fullest ceiling", "All tasks of the host against pid_max and threads-max, which bind"
        " root too (telltale_host_tasks / telltale_host_tasks_limit).",
        f"max({HOST_USE})", unit="percentunit", level=t.HOST_USE,
        no_value="no host, " + NO_RULES)
    yield stat(
        "Processes not readable", "Processes that exist but could not be read, as with hidepid: above"
        " 0 the numbers on this page are partial (telltale_users_unreadable_processes).",
        "sum(telltale_users_unreadable_processes{@host})", level=t.PARTIAL, no_value="no host found",
        links=[whole("exporter")])


def use():
    return graph(
        "How full is each user's process limit?",
        "Highest number of tasks of 2 minutes against the lowest soft limit that binds one of the user's"
        " processes (limits below 16, by which daemons forbid themselves to fork, apart); the 10"
        " fullest at each moment. Above 100 % is lawful where processes have different limits.",
        [target(f"topk(10, {USE})", NAME)], unit="percentunit", level=t.USER_USE, no_value=NO_LIMIT,
        links=[ONE])


def headroom():
    least = f"{LIMIT} < +Inf and on ({WHO}) topk(1, {USE})"
    level = t.USER_USE
    return graph(
        "How many forks are left to each user, and under which ceiling?",
        "Tasks that a user can still create before its process limit (rlimit) or a pids cgroup"
        " (cgroup) refuses: the 10 with the least room at each moment. The dashed lines are where the"
        " alerts begin for the fullest user.",
        [target(f"bottomk(10, {ROOM})", NAME + " {{ceiling}}"),
         target(f"{1 - level.warning:.2f} * ({least})", "warning below, {{user}}"),
         target(f"{1 - level.critical:.2f} * ({least})", "critical below, {{user}}")],
        unit="short", decimals=0, log=True, level=t.Level(alerts=level.alerts), no_value=NO_LIMIT,
        links=[ONE],
        overrides=[("warning below.*", paint(t.ORANGE, dashed=True)),
                   ("critical below.*", paint(t.RED, dashed=True))])


def table_of_users():
    keep = "topk(50, telltale_user_tasks{@user})"
    rows = [
        ("Tasks", f"max by ({WHO}) ({keep})", column("short", 0)),
        ("Peak, 2 min", "max by (%s) (telltale_user_tasks_peak{@user})" % WHO, column("short", 0)),
        ("Limit", f"max by ({WHO}) ({LIMIT})", column("short", 0)),
        ("Full", f"max by ({WHO}) ({USE})", column("percentunit", 0, t.USER_USE)),
        ("Forks left", f"min by ({WHO}) ({ROOM})",
         column("short", 0)),
        ("Cannot fork", f"max by ({WHO}) ({BLOCKED})",
         column("short", 0, t.USER_BLOCKED)),
        ("Time left", f"min by ({WHO}) ({TIME_LEFT})", column("s", 0, t.USER_TIME_LEFT)),
    ]
    columns = {
        "instance": ("Instance", column(links=[from_row("audit"), from_row("logs")])),
        "user": ("User", column(links=[
            from_row("users", "Only ${__data.fields.user}", user="user")])),
        "uid": ("uid", column(width=70)),
    }
    for index, (heading, _, properties) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, properties)
    columns["job"] = ("Job", None)
    return table(
        "How is each user?", "One line per user, the fullest first. The limit is the lowest soft limit"
        " that binds one of the user's processes; no limit means that none is bound (root, for one)."
        " Time left is as in the panel below.",
        [target(expr, table=True) for _, expr, _ in rows], columns, sort="Full",
        no_value="no user found")


def time_left():
    return bars(
        "Who runs out first if it goes on like this?",
        "Room under the limit divided by growth in the last half hour, where a single jump is no trend."
        " Only users who are past half of their limit and grow; the 10 with the least time.",
        f"bottomk(10, {TIME_LEFT})", NAME, unit="s", decimals=0, level=t.USER_TIME_LEFT,
        maximum=6 * 3600, no_value=NOT_GROWING, links=[ONE])


def tasks():
    chosen = f"and on ({WHO}) topk(5, telltale_user_tasks{{@user}})"
    return graph(
        "How many tasks has each user, and what may it have?",
        "Tasks, their highest value of the last 2 minutes, and the lowest limit, of the 5 users with"
        " most tasks at each moment; choose a user to see another. An unlimited user has no limit"
        " line.",
        [target("topk(5, telltale_user_tasks{@user})", NAME),
         target(f"telltale_user_tasks_peak{{@user}} {chosen}", NAME + " peak"),
         target(f"{LIMIT} < +Inf {chosen}", NAME + " limit")],
        unit="short", decimals=0, no_value="no user found", links=[ONE],
        overrides=[(".* peak", paint(t.BLUE, width=1)), (".* limit", paint(t.RED, dashed=True))])


def commands():
    return graph(
        "Which commands fill it?",
        "Tasks by command, for users who are past half of their limit; the 5 largest commands each"
        " (telltale_user_command_tasks), 15 lines at most. The one that grows is the one to look at.",
        [target("topk(15, telltale_user_command_tasks{@user})", NAME + " {{command}}")],
        unit="short", decimals=0, no_value="no user is past half of its limit", links=[ONE])


def blocked():
    return graph(
        "Which users cannot fork now?",
        "Processes whose own soft limit is reached (telltale_user_processes_blocked): a shell there"
        " says «fork: retry: Resource temporarily unavailable». Daemons that forbade themselves to fork"
        " (limits below 16) are left out.",
        [target(f"topk(10, {BLOCKED} > 0)", NAME)], unit="short",
        decimals=0, level=t.USER_BLOCKED, no_value="everybody can fork", links=[ONE])


def failed():
    by = "job, instance, user, command"
    gain = gained("telltale_audit_failed_forks_total", "$__rate_interval", by, "@user")
    return graph(
        "Whose forks were refused?",
        "Forks and execs that failed with EAGAIN, from the audit rule that is shipped for them"
        " (telltale_audit_failed_forks_total); the 10 most frequent at each moment.",
        [target(f"topk(10, {gain} > 0)", NAME + " {{command}}")], unit="short", decimals=0, bars=True,
        level=t.FAILED_FORKS, no_value="none refused, or the rule is not loaded",
        links=[from_series("audit")])


def states():
    colours = {"running": t.GREEN, "sleeping": t.BLUE, "idle": t.GREY, "disk_sleep": t.ORANGE,
               "stopped": "yellow", "zombie": t.PURPLE, "other": "dark-blue"}
    return graph(
        "What do the processes do?",
        "Processes by the state of their leader (telltale_user_processes). Growing zombie means that a"
        " parent does not wait for its children; growing disk_sleep that a disk or file server hangs.",
        [target("sum by (state) (telltale_user_processes{@user})", "{{state}}")], unit="short",
        decimals=0, stack=True, no_value="no user found",
        overrides=[(f"^{state}$", paint(colour)) for state, colour in colours.items()])


def zombies():
    zombie = 'telltale_user_processes{@user, state="zombie"}'
    return graph(
        "Who leaves zombies?",
        "Processes that have ended and that their parent does not wait for, per user: they count"
        " against the limit; the 10 largest at each moment.",
        [target(f"topk(10, {zombie} > 0)", NAME)], unit="short", decimals=0, level=t.ZOMBIES,
        no_value="no zombies", links=[ONE])


def forks():
    return graph(
        "How fast are tasks made?",
        "Tasks created per second on each host, threads included (telltale_host_forks_total); the 10"
        " fastest at each moment. Many forks with few tasks are short-lived commands.",
        [target("topk(10, rate(telltale_host_forks_total{@host}[$__rate_interval]))", "{{instance}}")],
        unit="ops", no_value="no host found")


def whose_forks_failed():
    by = "job, instance, user, uid, command"
    gain = gained("telltale_audit_failed_forks_total", "$__range", by, "@user")
    columns = {
        "instance": ("Instance", column(links=[from_row("audit")])), "user": ("User", None),
        "uid": ("uid", column(width=70)), "command": ("Command", None),
        "Value": ("Refused", column("short", 0, t.FAILED_FORKS)), "job": ("Job", None),
    }
    return table(
        "Which commands were refused a fork in this time?",
        "Forks and execs that failed with EAGAIN in the selected time, by user and command; the 20"
        " most frequent (telltale_audit_failed_forks_total).",
        [target(f"topk(20, {gain} > 0)", table=True)], columns, sort="Refused",
        no_value="none refused, or the audit rule is not loaded")


def cgroups():
    return graph(
        "How full are the pids cgroups?",
        "Tasks against pids.max of the cgroup (telltale_cgroup_tasks / telltale_cgroup_tasks_limit):"
        " TasksMax of a unit or slice, the limit of a container. The 10 fullest at each moment; at"
        " 100 % forks in it are rejected.",
        [target(f"topk(10, {CGROUP_USE})", "{{instance}} {{cgroup}}")], unit="percentunit",
        level=t.CGROUP_USE, no_value="no pids cgroup has a limit, " + NO_RULES)


def rejected():
    by = "job, instance, cgroup"
    gain = gained("telltale_cgroup_rejected_forks_total", "$__rate_interval", by)
    return graph(
        "Which cgroups reject forks?",
        "Forks rejected by pids.max (telltale_cgroup_rejected_forks_total); the 10 most frequent at"
        " each moment. On cgroup v1, and v2 before Linux 6.11, they are counted in the cgroup of the task,"
        " not in the one whose limit was reached.",
        [target(f"topk(10, {gain} > 0)", "{{instance}} {{cgroup}}")], unit="short", decimals=0,
        bars=True, level=t.CGROUP_REJECTED, no_value="no fork was rejected")


def table_of_cgroups():
    by = "job, instance, cgroup"
    rows = [
        ("Tasks", f"topk(50, max by ({by}) (telltale_cgroup_tasks{{@host}}))"),
        ("Limit", f"max by ({by}) (telltale_cgroup_tasks_limit{{@host}})"),
        ("Full", f"max by ({by}) ({CGROUP_USE})"),
        ("Rejected", gained("telltale_cgroup_rejected_forks_total", "$__range", by)),
    ]
    properties = [column("short", 0), column("short", 0), column("percentunit", 0, t.CGROUP_USE),
                  column("short", 0, t.CGROUP_REJECTED)]
    columns = {"instance": ("Instance", None), "cgroup": ("Cgroup", None)}
    for index, (heading, _) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, properties[index])
    columns["job"] = ("Job", None)
    return table(
        "How is each pids cgroup?", "The cgroups nearest to their limit, and those that rejected forks"
        " in the selected time.",
        [target(expr, table=True) for _, expr in rows], columns, sort="Full",
        no_value="no pids cgroup has a limit")


def host():
    return graph(
        "How full is the host?",
        "All tasks, kernel threads included, against pid_max and threads-max"
        " (telltale_host_tasks / telltale_host_tasks_limit): root is bound too, nobody can log in at"
        " 100 %. The 10 fullest at each moment.",
        [target(f"topk(10, {HOST_USE})", "{{instance}} {{ceiling}}")], unit="percentunit",
        level=t.HOST_USE, no_value="no host, " + NO_RULES)


def host_tasks():
    worst = f"and on (job, instance) topk(3, max by (job, instance) ({HOST_USE}))"
    return graph(
        "How many tasks has the host, and what may it have?",
        "All tasks and the two ceilings (telltale_host_tasks, telltale_host_tasks_limit), of the 3"
        " fullest hosts. Raise kernel.pid_max or kernel.threads-max with sysctl.",
        [target(f"telltale_host_tasks{{@host}} {worst}", "{{instance}} tasks"),
         target(f"telltale_host_tasks_limit{{@host}} {worst}", "{{instance}} {{ceiling}}")],
        unit="short", decimals=0, log=True, no_value="no host, " + NO_RULES,
        overrides=[(".* (pid_max|threads_max)", paint(t.RED, dashed=True))])
