"""Fleet: the wall. Is anything about to lock people out, where, and since when?"""

import thresholds as t
from alerts import of_severity, what_is_wrong, when_it_began
from board import Board
from links import from_row, from_series, whole
from panels import bars, graph, stat, values
from query import (
    BACKLOG_USE, BLOCKED, FIRING, LINES, NEAREST, NO_RULES, OUR_TARGETS, WORST_USE, matched, per_host, target, worst)
from tables import column, lettered, table

HOST = "job, instance"
STUCK = per_host(BLOCKED)
TARGETS = f"(up{{@host}} {OUR_TARGETS})"
LOST = "increase(telltale_audit_lost_total{@host}[$__range])"
AUDIT_STATE = values(v0=("off", t.RED), v1=("nobody listens", t.RED), v2=("unknown", t.RED))
# Above every share, so that a host that does not answer stands first.
IS_DOWN = 9
FULLEST = f"max by ({HOST}) ({IS_DOWN} + ({TARGETS} == 0) or {WORST_USE})"


def build():
    board = Board(
        "telltale-fleet", "Telltale / Fleet",
        "Is anything about to lock people out? Users near their process limit, audit queues that lose"
        " records, log lines that ask to act, and exporters that do not answer, over all hosts. Dark when"
        " nothing is wrong. A host's name leads to its own dashboard.")
    board.tile_row(answers())
    board.top((12, (what_is_wrong("What is wrong now?"), 24)),
              (9, (nearest(), 12), (when_it_began("When did it begin?"), 12)),
              (11, (hosts(), 24)))
    board.section("How it came to this", (9, (ceilings(), 24)), (9, (queues(), 24)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Down", "Targets that Prometheus cannot scrape, of all in the jobs that have a telltale"
        " exporter (up == 0). Such a host is not watched.",
        f'sum({TARGETS} == bool 0) + on () group_left (all) 0 * count_values("all", count({TARGETS}))',
        legend="of {{all}}", level=t.EXPORTER_DOWN, links=[whole("exporter")])
    yield stat(
        "Critical", "Telltale's alerts with severity critical that fire now (ALERTS)."
        " Needs the rules that come with the dashboards.", of_severity("critical"), level=t.ANY_CRITICAL)
    yield stat(
        "Warnings", "Telltale's alerts with severity warning that fire now (ALERTS)."
        " Needs the rules that come with the dashboards.", of_severity("warning"), level=t.ANY_WARNING)
    yield stat(
        "Fullest", "The highest share of a ceiling that is used anywhere, and where: a user's process"
        " limit, a pids cgroup, or pid_max and threads-max of a host.",
        f"topk(1, {NEAREST})", legend="{{instance}} {{what}}", unit="percentunit", level=t.ANY_USE,
        links=[from_series("host")])
    yield stat(
        "Audit lost", "Audit records lost in the selected time (telltale_audit_lost_total).",
        f"sum({LOST})", unit="locale", level=t.AUDIT_LOST, links=[whole("audit")])
    yield stat(
        "To act on", "Lines in the selected time whose meaning is known and whose verdict is «act»"
        " (telltale_log_signature_matches_total).",
        f"sum({matched_act()}) or 0 * count({LINES})", unit="locale", level=t.ACT, links=[whole("logs")])


def matched_act() -> str:
    return matched('verdict="act"')


def nearest():
    return bars(
        "Nearest limits",
        "The 10 hosts that use the highest share of a ceiling, and whose it is: a user's process limit, a pids cgroup, or"
        " pid_max and threads-max of the host.",
        f"topk(10, {NEAREST})", "{{instance}} {{what}}", unit="percentunit", decimals=0,
        maximum=1, level=t.ANY_USE, no_value="no host, " + NO_RULES, links=[from_series("host")])


def hosts():
    rows = [  # heading, query, properties; what is well is left empty
        ("Fullest", f"topk(50, {FULLEST})",
         column("percentunit", 0, t.ANY_USE, mappings=[values(**{f"v{IS_DOWN}": ("down", t.RED)})],
                width=110, maximum=1)),
        ("Alerts", f"count by ({HOST}) ({FIRING})", column("none", 0, width=110)),
        ("Cannot fork", f"sum by ({HOST}) ({STUCK}) > 0",
         column("locale", 0, t.USER_BLOCKED, width=120)),
        ("Audit", f"max by ({HOST}) ({audit_state()})",
         column(mappings=[AUDIT_STATE], width=140)),
        ("Audit lost", f"sum by ({HOST}) ({LOST}) > 0",
         column("locale", 0, t.AUDIT_LOST, width=120)),
        ("To act on", f"sum by ({HOST}) ({matched_act()})",
         column("locale", 0, t.ACT, width=120)),
    ]
    columns = {"host": ("Host", column(links=[from_row("host")]))} | lettered(rows)
    return table(
        "How is each host?", "One line per host: first those that do not answer, then by the fullest of their"
        " ceilings; 50 at most. What is well is left empty. The state of auditing is told where it is required.",
        [f"{expr} {SHOWN}" if index else expr for index, (_, expr, _) in enumerate(rows)], columns,
        sort=("Fullest", True), no_value="no exporter found")


SHOWN = f"and on ({HOST}) topk(50, {FULLEST})"


def audit_state() -> str:
    """0 off, 1 unheard, 2 unknown, of hosts that require auditing; nothing of others."""
    required = f"and on ({HOST}) telltale_audit_required{{@host}} == 1"
    return (f"telltale_audit_enabled{{@host}} == 0 {required}"
            f" or 1 + telltale_audit_daemon_up{{@host}} == 1 {required}"
            f" or 2 * (telltale_audit_required{{@host}} == 1 unless on ({HOST}) telltale_audit_enabled{{@host}})")


def ceilings():
    return graph(
        "How full is the fullest ceiling?",
        "Highest share of a user's process limit, a pids cgroup's, or the host's own, of the 10 hosts that were"
        " fullest in the selected time.",
        [target(worst(WORST_USE, WORST_USE, 10), "{{instance}}")], unit="percentunit", full=1,
        level=t.ANY_USE, no_value="no host, " + NO_RULES, links=[from_series("host")])


def queues():
    return graph(
        "How full is the audit queue?", "Highest backlog of the last 2 minutes against its limit"
        " (telltale_audit_backlog_peak / telltale_audit_backlog_limit), of the 10 hosts that were fullest in the"
        " selected time. Above 100 % records are lost, or their causers wait.",
        [target(worst(BACKLOG_USE, BACKLOG_USE, 10), "{{instance}}")], unit="percentunit", full=1,
        level=t.BACKLOG, no_value="no audit shown, " + NO_RULES, links=[from_series("host")])
