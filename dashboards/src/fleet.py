"""Fleet: is anything about to lock people out?"""

import thresholds as t
from board import Board
from links import from_row, from_series, whole
from panels import bars, column, graph, stat, table, values
from query import (
    ALERTS, BACKLOG_USE, BLIND, BLOCKED, HOST_USE, NO_RULES, OUR_TARGETS, USER_USE, WORST_USE,
    per_host, target)

HOST = "job, instance"
USE, STUCK = per_host(USER_USE), per_host(BLOCKED)
LOST = "increase(telltale_audit_lost_total{@host}[$__range]) > 0"
ACT = "instance:telltale_log_act_matches_total:sum{@host}"
AUDIT_STATE = values(v0=("off", t.GREY), v1=("on, nobody listens", t.ORANGE), v2=("on", t.GREEN))
UP = values(v0=("down", t.RED), v1=("up", t.GREEN))
SEVERITY = values(critical=("critical", t.RED), warning=("warning", t.ORANGE), info=("info", t.BLUE))


def firing(severity: str) -> str:
    """How many alerts; nothing instead of 0 where the rules are not loaded."""
    return (f'count(ALERTS{{{ALERTS}, alertstate="firing", severity="{severity}", @host}})'
            f' or 0 * count({HOST_USE})')


def build():
    board = Board(
        "telltale-fleet", "Telltale / Fleet",
        "Is anything about to lock people out? Users near their process limit, audit queues that lose"
        " records, log lines that ask to act, and exporters that do not answer, over all hosts."
        " A host's name leads to its details.")
    board.section("Is it OK?", (4, *((panel, 3) for panel in answers())))
    board.section("What to look at first", (9, (alerts(), 14), (worst(), 10)))
    board.section("Hosts", (10, (hosts(), 24)))
    board.section("How it came to this", (8, (users(), 12), (headroom(), 12)),
                  (8, (backlog(), 12), (signatures(), 12)))
    return board.build()


def answers():
    yield stat(
        "Exporters up", "How many exporters answer Prometheus now (up == 1).",
        f"sum((up{{@host}} == bool 1) {OUR_TARGETS})", no_value="no exporter found",
        links=[whole("exporter")])
    yield stat(
        "Exporters down",
        "Targets that Prometheus cannot scrape, in every job that has a telltale exporter (up == 0)."
        " Such a host is not watched.",
        f"sum((up{{@host}} == bool 0) {OUR_TARGETS})", level=t.EXPORTER_DOWN,
        no_value="no exporter found", links=[whole("exporter")])
    yield stat(
        "Critical alerts", "Telltale's alerts with severity critical that fire now (ALERTS)."
        " Needs the rules that come with the dashboards.",
        firing("critical"), level=t.ANY_CRITICAL, no_value="no host, " + NO_RULES)
    yield stat(
        "Warning alerts", "Telltale's alerts with severity warning that fire now (ALERTS)."
        " Needs the rules that come with the dashboards.",
        firing("warning"), level=t.ANY_WARNING, no_value="no host, " + NO_RULES)
    yield stat(
        "Users near a limit",
        f"Users who have more than {t.USER_USE.warning:.0%} of the lowest process limit that binds them"
        " (telltale_user_tasks_peak / telltale_user_tasks_limit).",
        f"sum({USE} > bool {t.USER_USE.warning})", level=t.USERS_NEAR, no_value="no limits, " + NO_RULES,
        links=[whole("users")])
    yield stat(
        "Processes that cannot fork", "Processes whose own limit is reached: each fork fails now"
        " (telltale_user_processes_blocked).",
        f"sum({STUCK})", level=t.USER_BLOCKED, no_value="no limits, " + NO_RULES, links=[whole("users")])
    yield stat(
        "Audit losing or blind", "Hosts that lost audit records in the selected time"
        " (telltale_audit_lost_total), or where audit is required but off, unheard or unknown.",
        f"count(group by ({HOST}) ({LOST}) or group by ({HOST}) ({BLIND}))"
        " or 0 * count(telltale_audit_enabled{@host})",
        level=t.AUDIT_LOSING_OR_BLIND, no_value="no host shows its audit", links=[whole("audit")])
    yield stat(
        "Log lines that ask to act", "Lines in the selected time whose meaning is known and whose"
        ' verdict is «act» (telltale_log_signature_matches_total).',
        f"sum(increase({ACT}[$__range]))", level=t.ACT, no_value="no log is read, " + NO_RULES,
        links=[whole("logs")])


def alerts():
    by = "severity, alertname, job, instance, user, cgroup, key, signature, source, path, collector"
    fires = f'ALERTS{{{ALERTS}, alertstate="firing", @host}}'
    since = (f"max by ({by}) (1000 * ALERTS_FOR_STATE{{{ALERTS}, @host}}"
             f" and ignoring (alertstate) {fires})")
    columns = {
        "severity": ("Severity", column(mappings=[SEVERITY], width=90)),
        "alertname": ("Alert", column(width=240)),
        "instance": ("Instance", column(links=[from_row(b) for b in ("users", "audit", "logs")])),
        "user": ("User", None), "cgroup": ("Cgroup", None), "key": ("Key", None),
        "signature": ("Signature", None), "source": ("Source", None), "path": ("Path", None),
        "collector": ("Collector", None),
        "Value": ("Since", column(unit="dateTimeFromNow", width=140)),
        "job": ("Job", None),
    }
    return table(
        "Which alerts fire?", "Every firing alert with what it is about, and since when the condition"
        " holds (ALERTS, ALERTS_FOR_STATE). The instance leads to the host's dashboards.",
        [target(since, table=True)], columns, sort="Since", no_value="no alert fires")


def worst():
    return bars(
        "Which hosts are nearest to locking somebody out?",
        "The 10 hosts that use the highest share of a ceiling: a user's process limit, a pids cgroup, or"
        " pid_max and threads-max of the host.",
        f"topk(10, {WORST_USE})", "{{instance}}", unit="percentunit", decimals=0,
        maximum=1, level=t.ANY_USE, no_value="no host, " + NO_RULES, links=[from_series("users")])


def hosts():
    to = {name: [from_row(name)] for name in ("users", "audit", "logs", "exporter")}
    rows = [  # heading, query, properties
        ("Exporter", f"max by ({HOST}) (up{{@host}} {OUR_TARGETS})",
         column(mappings=[UP], links=to["exporter"], width=90)),
        ("Fullest user", f"max by ({HOST}) ({USE})",
         column("percentunit", 0, t.USER_USE, to["users"], width=110)),
        ("Forks left", "instance:telltale_forks_left:min{@host}", column("short", 0, links=to["users"], width=100)),
        ("Cannot fork", f"sum by ({HOST}) ({STUCK})",
         column("short", 0, t.USER_BLOCKED, to["users"], width=105)),
        ("Host's tasks", f"max by ({HOST}) ({HOST_USE})",
         column("percentunit", 0, t.HOST_USE, to["users"], width=110)),
        ("Audit", f"max by ({HOST}) ((telltale_audit_enabled{{@host}} > bool 0)"
         f" * on ({HOST}) (1 + telltale_audit_daemon_up{{@host}}))",
         column(mappings=[AUDIT_STATE], links=to["audit"], width=150)),
        ("Audit backlog", f"max by ({HOST}) ({BACKLOG_USE})",
         column("percentunit", 0, t.BACKLOG, to["audit"], width=120)),
        ("Audit lost", f"sum by ({HOST}) (increase(telltale_audit_lost_total{{@host}}[$__range]))",
         column("short", 0, t.AUDIT_LOST, to["audit"], width=100)),
        ("To act upon", f"sum by ({HOST}) (increase({ACT}[$__range]))",
         column("short", 0, t.ACT, to["logs"], width=110)),
        ("Failing collectors", f"sum by ({HOST}) (telltale_scrape_collector_success{{@host}} == bool 0)",
         column("short", 0, t.COLLECTOR_FAILING, to["exporter"], width=140)),
    ]
    columns = {"instance": ("Instance", column(links=[from_row(b) for b in to]))}
    for index, (heading, _, properties) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, properties)
    columns["job"] = ("Job", None)
    return table(
        "How is each host?", "One line per host, the fullest first; each cell leads to the dashboard"
        " that explains it. Empty cells are values that the host's kernel or rights do not give.",
        [target(expr, table=True) for _, expr, _ in rows], columns, sort="Fullest user",
        no_value="no exporter found")


def users():
    return graph(
        "How full is the fullest ceiling of each host?",
        "Highest share of a user's process limit, a pids cgroup's, or the host's own; the 10 worst"
        " hosts at each moment.",
        [target(f"topk(10, {WORST_USE})", "{{instance}}")], unit="percentunit",
        level=t.ANY_USE, no_value="no host, " + NO_RULES, links=[from_series("users")])


def headroom():
    return graph(
        "How many forks are left on each host?",
        "Tasks that the user with the least room can still create, over process limits and pids"
        " cgroups (telltale_user_fork_headroom_tasks); the 10 worst hosts at each moment. At 0"
        " somebody is locked out.",
        [target("bottomk(10, instance:telltale_forks_left:min{@host})", "{{instance}}")], unit="short", decimals=0, log=True,
        no_value="no user has a limit, " + NO_RULES, links=[from_series("users")])


def backlog():
    return graph(
        "How full are the audit queues?", "Highest backlog of the last 2 minutes against its limit"
        " (telltale_audit_backlog_peak / telltale_audit_backlog_limit); the 10 worst hosts at each"
        " moment. Above 100 % records are lost, or their causers wait.",
        [target(f"topk(10, {BACKLOG_USE})", "{{instance}}")], unit="percentunit",
        level=t.BACKLOG, no_value="no audit shown, " + NO_RULES, links=[from_series("audit")])


def signatures():
    return graph(
        "Which log lines asked to act?", "Lines of the last 10 minutes whose verdict is «act», by signature"
        " (telltale_log_signature_matches_total); the 10 most frequent at each moment.",
        [target('topk(10, sum by (signature) (signature:telltale_log_matches:increase10m{@host, verdict="act"}))',
                "{{signature}}")], unit="short", bars=True, stack=True,
        no_value="no line asked to act", links=[whole("logs")])
