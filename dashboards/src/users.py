"""Users and processes: who is running out, against which ceiling, because of what, and when?"""

import ceilings
import thresholds as t
from board import Board
from links import from_row, from_series
from panels import counts, graph, paint, stat, states, values
from query import (
    BLOCKED, CGROUP_USE, HOST_USE, NO_RULES, ROOM, USER_LIMIT, USER_USE, WHO, gained, or_none, target, worst)
from tables import column, lettered, table

NAME = "{{instance}} {{user}}"
LIMIT, USE = USER_LIMIT, USER_USE
TASKS, COMMANDS = "telltale_user_tasks{@user}", "telltale_user_command_tasks{@user}"
TIME_LEFT = (f"user:telltale_time_to_limit:seconds{{@user}} and on ({WHO})"
             f" {USE} > {t.USER_PRESSED}")
ONE = from_series("users", "Only ${__field.labels.user}", user="user")
HERE = from_series("host")
NO_LIMIT = "no limits, " + NO_RULES
NOT_GROWING = values(vm1=("none", t.CALM))
BLOCKS = values(v0=("none", t.FAINT), v1=("cannot fork", t.RED))
NOBODY = "no further user was past half of its limit"
RANKS = ("Who is nearest?", "Who is second?", "Who is third?")


def build():
    board = Board(
        "telltale-users", "Telltale / Users and processes",
        "Who is running out of processes, against which ceiling, because of which commands, and how"
        " much time is left? Tasks are counted as the kernel charges them: threads and zombies of the"
        " real uid.", extra="user")
    board.tile_row(answers())
    board.top((10, (use(), 24)),
              (9, *((filled(nth), 8) for nth in range(len(RANKS)))),
              (11, (table_of_users(), 24)),
              (4, (blocked(), 24)))
    board.section("Pids cgroups", (9, (cgroups(), 24)), (9, (table_of_cgroups(), 24)), (7, (rejected(), 24)),
                  collapsed=True)
    board.section("Logins, containers and namespaces", (9, (ceilings.logins(), 24)),
                  (8, (ceilings.pressed(), 24)), (9, (ceilings.whose(), 24)),
                  (8, (ceilings.namespaces(), 24)), (8, (ceilings.table_of_namespaces(), 24)), collapsed=True)
    board.section("States, births, and the host as a whole",
                  (8, (process_states(), 24)), (8, (zombies(), 12), (forks(), 12)),
                  (8, (host(), 12), (host_tasks(), 12)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Fullest", "Highest share of the lowest process limit among the chosen users, and whose it is"
        " (telltale_user_tasks_peak / telltale_user_tasks_limit).",
        f"topk(1, {USE})", legend=NAME, unit="percentunit", level=t.USER_USE, links=[HERE])
    yield stat(
        "Forks left", "Tasks that the user with the least room can still create, over process"
        " limits and pids cgroups (telltale_user_fork_headroom_tasks). At 0 the next fork fails.",
        f"bottomk(1, {ROOM})", legend=NAME, unit="locale", level=t.FORKS_LEFT, links=[HERE])
    yield stat(
        "Time left", "When the first user past half of its limit is out of processes if its"
        " tasks go on growing as in the last half hour; one jump is no trend. None: nobody past half grows.",
        f"min({TIME_LEFT}) or -1 * count(group({USE}))", unit="s", level=t.USER_TIME_LEFT, mappings=[NOT_GROWING])
    yield stat(
        "Blocked", "Processes whose own limit is reached: each fork of theirs"
        " fails now (telltale_user_processes_blocked).",
        f"sum({BLOCKED})", unit="locale", level=t.USER_BLOCKED)
    yield stat(
        "Rejected", "Forks that pids cgroups rejected in the selected time"
        " (telltale_cgroup_rejected_forks_total, which begins with the first).",
        f"sum({gained('telltale_cgroup_rejected_forks_total', '$__range', 'job, instance')})"
        " or 0 * count(telltale_scrape_collector_success{@host, collector=\"cgroups\"} == 1)",
        unit="locale", level=t.CGROUP_REJECTED)
    yield stat(
        "Zombies", "Ended processes that nobody waited for in the last 10 minutes, of the user with"
        ' most; they still fill the limit (telltale_user_processes{state="zombie"}).',
        'max(min_over_time(telltale_user_processes{@user, state="zombie"}[10m]))'
        f" or 0 * count({TASKS})", unit="locale", level=t.ZOMBIES)


def use():
    return graph(
        "How full is each user's process limit?",
        "Highest number of tasks of 2 minutes against the lowest soft limit that binds one of the user's"
        " processes (limits below 16, by which daemons forbid themselves to fork, apart), of the 10 users who were"
        " fullest in the selected time. Above 100 % is lawful where processes have different limits.",
        [target(worst(USE, USE, 10, WHO), NAME)], unit="percentunit", full=1, level=t.USER_USE, no_value=NO_LIMIT,
        links=[ONE, HERE])


def filled(nth):
    """What fills one user: the nearest to its limit in the selected time, the second, the third."""
    rank = f"max_over_time({USE}[$__range] @ end())"
    it = f"topk({nth + 1}, {rank} > {t.USER_PRESSED}) unless topk({nth}, {rank})" if nth else f"topk(1, {rank})"
    of_it = f"and on ({WHO}) ({it})"
    known = f"sum by ({WHO}) ({COMMANDS})"
    return graph(
        RANKS[nth],
        "Of the user who is nearest to its limit, second or third: tasks by command (telltale_user_command_tasks, for users past half of their limit; else all in"
        " one, telltale_user_tasks), stacked up to its lowest limit (dashed). Choose a user above to see another.",
        [target(f"{COMMANDS} {of_it}", "{{command}}"),
         target(f"({TASKS} - on ({WHO}) group_left () {known} or {TASKS} + 0) {of_it}", NAME + ", the rest"),
         target(f"{LIMIT} < +Inf {of_it}", "limit")],
        unit="locale", decimals=0, stack=True, no_value=NOBODY if nth else NO_LIMIT, links=[ONE, HERE], narrow=True,
        overrides=[("^limit$", paint(t.RED, dashed=True, fill=0, apart=True, helper=True)),
                   (".*, the rest$", paint(t.GREY))])


def table_of_users():
    shown = f"and on ({WHO}) topk(50, {USE})"
    rows = [
        ("Full", f"max by ({WHO}) (topk(50, {USE}))",
         column("percentunit", 0, t.USER_USE, bar=True, minimum=0, maximum=1, width=200)),
        ("Tasks", f"max by ({WHO}) ({TASKS} {shown})", column("locale", 0, width=90)),
        ("Peak", f"max by ({WHO}) (telltale_user_tasks_peak{{@user}} {shown})", column("locale", 0, width=90)),
        ("Limit", f"max by ({WHO}) ({LIMIT} < +Inf {shown})", column("locale", 0, width=90)),
        ("Forks left", f"min by ({WHO}) ({ROOM} {shown})", column("locale", 0, t.FORKS_LEFT, width=100)),
        ("Cannot fork", f"max by ({WHO}) ({BLOCKED} > 0 {shown})", column("locale", 0, t.USER_BLOCKED, width=110)),
        ("Time left", f"min by ({WHO}) ({TIME_LEFT})", column("s", 0, t.USER_TIME_LEFT, width=110)),
        ("Its tasks", f"max by ({WHO}, command) (topk by ({WHO}) (1, {COMMANDS} {shown}))", column("locale", 0, width=90)),
    ]
    columns = {
        "user": ("User", column(links=[from_row("users", "Only ${__data.fields.user}", user="user")])),
        "host": ("Host", column(links=[from_row("host")], width=150)),
    } | lettered(rows[:-1])
    columns["command"] = ("Top command", column(width=160))
    return table(
        "How is each user?", "One line per user, the fullest first; 50 at most. The limit is the lowest soft limit"
        " that binds one of the user's processes; none means that nothing binds it (root, for one). Time left: the"
        " room under the limit divided by the growth of the last half hour, where one jump is no trend.",
        [expr for _, expr, _ in rows], columns, sort=("Full", True), hide=(f"Value #{chr(ord('A') + len(rows) - 1)}", "uid"),
        no_value="no user found")


def blocked():
    return states(
        "Who could not fork, and when?",
        "Users with processes whose own soft limit was reached (telltale_user_processes_blocked): a shell there"
        " says «fork: retry: Resource temporarily unavailable». Daemons that forbade themselves to fork"
        " (limits below 16) are left out; 10 users at most.",
        [target(or_none(f"topk(10, ({BLOCKED}) > bool 0 == 1)", "user", "nobody", USE), NAME)], mappings=[BLOCKS], level=t.USER_BLOCKED,
        no_value="everybody could fork", links=[ONE, HERE])


def process_states():
    colours = {"running": "green", "sleeping": t.BLUE, "idle": t.GREY, "disk_sleep": t.ORANGE,
               "stopped": "yellow", "zombie": t.PURPLE, "other": "dark-blue"}
    return graph(
        "What do the processes do?",
        "Processes by the state of their leader (telltale_user_processes). Growing zombie means that a"
        " parent does not wait for its children; growing disk_sleep that a disk or file server hangs.",
        [target("sum by (state) (telltale_user_processes{@user})", "{{state}}")], unit="locale",
        decimals=0, stack=True, no_value="no user found",
        overrides=[(f"^{state}$", paint(colour)) for state, colour in colours.items()])


def zombies():
    zombie = 'telltale_user_processes{@user, state="zombie"}'
    return graph(
        "Who leaves zombies?",
        "Processes that have ended and that their parent does not wait for, per user: they count"
        " against the limit; the 10 users with most in the selected time.",
        [target(worst(f"{zombie} > 0", zombie, 10, WHO), NAME)], unit="locale", decimals=0, level=t.ZOMBIES,
        no_value="no zombies", links=[ONE], narrow=True)


def forks():
    rate = "rate(telltale_host_forks_total{@host}[$__rate_interval])"
    most = "topk(10, increase(telltale_host_forks_total{@host}[$__range] @ end()))"
    return graph(
        "How fast are tasks made?",
        "Tasks created per second on each host, threads included (telltale_host_forks_total), of the 10 hosts with"
        " most in the selected time. Many forks with few tasks are short-lived commands.",
        [target(f"{rate} and on (job, instance) {most}", "{{instance}}")], unit="ops", no_value="no host found",
        narrow=True)


def cgroups():
    return graph(
        "How full are the pids cgroups?",
        "Tasks against pids.max of the cgroup (telltale_cgroup_tasks / telltale_cgroup_tasks_limit):"
        " TasksMax of a unit or slice, the limit of a container; the 10 that were fullest in the selected time. At"
        " 100 % forks in it are rejected.",
        [target(worst(CGROUP_USE, CGROUP_USE, 10, "job, instance, cgroup"), "{{instance}} {{cgroup}}")],
        unit="percentunit", full=1, level=t.CGROUP_USE, no_value="no pids cgroup has a limit, " + NO_RULES,
        links=[HERE])


def rejected():
    return counts(
        "Which cgroups reject forks?",
        "Forks rejected by pids.max (telltale_cgroup_rejected_forks_total); the 10 with most in the selected time."
        " On cgroup v1, and v2 before Linux 6.11, they are counted in the cgroup of the task, not in the one whose limit"
        " was reached.",
        "telltale_cgroup_rejected_forks_total", "job, instance, cgroup", "{{instance}} {{cgroup}}",
        level=t.CGROUP_REJECTED, no_value="no fork was rejected", links=[HERE])


def table_of_cgroups():
    by = "job, instance, cgroup"
    shown = f"and on ({by}) topk(50, {CGROUP_USE})"
    # The end of a path says what it is: the name of a unit or a container.
    short = 'label_replace({}, "name", "$1", "cgroup", ".*?([^/]*/?[^/]*)")'
    rows = [
        ("Full", short.format(f"max by ({by}) (topk(50, {CGROUP_USE}))"),
         column("percentunit", 0, t.CGROUP_USE, bar=True, minimum=0, maximum=1, width=200)),
        ("Tasks", short.format(f"max by ({by}) (telltale_cgroup_tasks{{@host}} {shown})"), column("locale", 0, width=100)),
        ("Limit", short.format(f"max by ({by}) (telltale_cgroup_tasks_limit{{@host}} {shown})"),
         column("locale", 0, width=100)),
        ("Rejected", short.format(gained("telltale_cgroup_rejected_forks_total", "$__range", by) + " > 0"),
         column("locale", 0, t.CGROUP_REJECTED, width=100)),
    ]
    columns = {"name": ("Cgroup", column()), "host": ("Host", column(links=[from_row("host")], width=150))} \
        | lettered(rows) | {"cgroup": ("Path", column(width=420))}
    return table(
        "How is each pids cgroup?", "The cgroups nearest to their limit, 50 at most, and those that rejected forks"
        " in the selected time. The name is the end of the path.",
        [expr for _, expr, _ in rows], columns, sort=("Full", True), no_value="no pids cgroup has a limit")


def host():
    return graph(
        "How full is the host?",
        "All tasks, kernel threads included, against pid_max and threads-max"
        " (telltale_host_tasks / telltale_host_tasks_limit): root is bound too, nobody can log in at"
        " 100 %; the 10 that were fullest in the selected time.",
        [target(worst(HOST_USE, HOST_USE, 10, "job, instance, ceiling"), "{{instance}} {{ceiling}}")],
        unit="percentunit", full=1, level=t.HOST_USE, no_value="no host, " + NO_RULES, links=[HERE], narrow=True)


def host_tasks():
    rows = [
        ("Tasks", "telltale_host_tasks{@host} and on (job, instance) topk(20, max by (job, instance)"
         f" ({HOST_USE}))", column("locale", 0, width=100)),
        ("pid_max", 'max without (ceiling) (telltale_host_tasks_limit{@host, ceiling="pid_max"}) and on (job, instance)'
         f" topk(20, max by (job, instance) ({HOST_USE}))", column("locale", 0, width=120)),
        ("threads-max", 'max without (ceiling) (telltale_host_tasks_limit{@host, ceiling="threads_max"})'
         f" and on (job, instance) topk(20, max by (job, instance) ({HOST_USE}))", column("locale", 0, width=120)),
        ("Unreadable", "telltale_users_unreadable_processes{@host} > 0 and on (job, instance) topk(20,"
         f" max by (job, instance) ({HOST_USE}))", column("locale", 0, width=100)),
    ]
    rows = [(heading, f"max by (job, instance) ({expr})", properties) for heading, expr, properties in rows]
    return table(
        "How many tasks has the host, and what may it have?",
        "All tasks and the two ceilings (telltale_host_tasks, telltale_host_tasks_limit) of the 20 fullest hosts, and"
        " processes that could not be read there: with some, the numbers of users are partial"
        " (telltale_users_unreadable_processes). Raise kernel.pid_max or kernel.threads-max with sysctl.",
        [expr for _, expr, _ in rows], {"host": ("Host", column(links=[from_row("host")]))} | lettered(rows),
        sort=("Tasks", True), no_value="no host, " + NO_RULES)
