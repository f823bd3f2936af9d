"""Host: the incident of one machine on one screen and one time axis; where an alert leads to."""

import thresholds as t
from alerts import of_severity, what_is_wrong, when_it_began
from board import Board
from links import OWN_PAGE, whole
from panels import counts, graph, stat, values
from query import (
    BACKLOG_USE, CGROUP_USE, HOST_USE, LINES, NEAREST, NO_RULES, OUR_TARGETS, ROOM, USER_USE, matched, per_host,
    target, worst)
from signatures import what_to_do

USE, LEFT = per_host(USER_USE), per_host(ROOM)
AXIS = 180  # room for the names of alerts, in all graphs: one time axis
COMMANDS = "telltale_user_command_tasks{@host}"
PAGE = "topk by (job, instance) (1, telltale_exporter_page_info{@host})"
UP = values(v0=("down", t.RED), v1=("up", t.CALM))


def build():
    board = Board(
        "telltale-host", "Telltale / Host",
        "What happened on this host, and in which order? Alerts, ceilings, commands, the audit queue, log lines and"
        " kills of one machine under each other, on one time axis. An alert leads here.", one_host=True)
    board.tile_row(answers())
    board.top((7, (what_is_wrong("What is wrong here?", one_host=True), 24)),
              (6, (when_it_began("Which alerts fired when?", AXIS), 24)),
              (6, (ceilings(), 24)), (6, (commands(), 24)), (5, (queue(), 24)), (6, (lines(), 24)),
              (5, (kills(), 24)), (10, (what_to_do("What did its logs say, and what is to be done?", one_host=True), 24)))
    return board.build()


def answers():
    yield stat(
        "Exporter", "Whether the exporter of this host answers Prometheus (up); leads to its own page"
        " (telltale_exporter_page_info). While it is down nothing else here is known.", f"up{{@host}} * on (job, instance) group_left (url) ({PAGE}) or on (job, instance) (up{{@host}} {OUR_TARGETS})", mappings=[UP],
        level=t.EXPORTER_DOWN_OF_ONE, links=[OWN_PAGE, whole("exporter")])
    yield stat(
        "Critical", "Telltale's alerts with severity critical that fire now on this host (ALERTS).",
        of_severity("critical"), level=t.ANY_CRITICAL)
    yield stat(
        "Fullest", "The highest share of a ceiling that is used, and whose it is: a user's process limit, a pids"
        " cgroup, or pid_max and threads-max.",
        f"topk(1, {NEAREST})", legend="{{what}}", unit="percentunit", level=t.ANY_USE, links=[whole("users")])
    yield stat(
        "Forks left", "Tasks that the user with the least room can still create, over process limits and pids"
        " cgroups (telltale_user_fork_headroom_tasks). At 0 the next fork fails.",
        f"min({LEFT})", unit="locale", level=t.FORKS_LEFT, links=[whole("users")])
    yield stat(
        "Queue", "Highest backlog of the last 2 minutes against its limit"
        " (telltale_audit_backlog_peak / telltale_audit_backlog_limit).",
        f"max({BACKLOG_USE})", unit="percentunit", level=t.BACKLOG, links=[whole("audit")])
    act = matched('verdict="act"')
    yield stat(
        "To act on", "Lines in the selected time whose verdict is «act» (telltale_log_signature_matches_total).",
        f"sum({act}) or 0 * count({LINES})", unit="locale", level=t.ACT, links=[whole("logs")])


def ceilings():
    whose = "job, instance, user, uid"
    return graph(
        "How full is each ceiling?",
        "Users against their process limit (peak of 2 minutes), pids cgroups against theirs, and the host against"
        " pid_max and threads-max: those that were fullest in the selected time.",
        [target(worst(USE, USE, 5, whose), "{{user}}"),
         target(worst(CGROUP_USE, CGROUP_USE, 3, "job, instance, cgroup"), "{{cgroup}}"),
         target(HOST_USE, "host, {{ceiling}}")],
        unit="percentunit", full=1, fill=10, axis=AXIS, level=t.ANY_USE, no_value="no limit is known, " + NO_RULES)


def commands():
    return graph(
        "Which commands fill it?",
        "Tasks by command of users who are past half of their limit (telltale_user_command_tasks), of the 10 commands"
        " that had most in the selected time. The one that grows is the one to look at.",
        [target(worst(COMMANDS, COMMANDS, 10, "job, instance, user, command"), "{{user}} {{command}}")],
        unit="locale", decimals=0, stack=True, axis=AXIS, no_value="no user was past half of its limit")


def queue():
    return graph(
        "How full is the audit queue?", "Highest backlog of the last 2 minutes against its limit"
        " (telltale_audit_backlog_peak / telltale_audit_backlog_limit). Above 100 % records are lost, or their"
        " causers wait.",
        [target(BACKLOG_USE, "queue")], unit="percentunit", full=1, fill=10, axis=AXIS, level=t.BACKLOG,
        no_value="audit is not seen here, " + NO_RULES)


def lines():
    return counts(
        "Which lines asked to act?", "Lines of a known meaning whose verdict is «act», by signature"
        " (telltale_log_signature_matches_total); the 10 most frequent of the selected time.",
        "telltale_log_signature_matches_total", "signature", "{{signature}}",
        matchers='@host, verdict="act", @lines', stack=True, axis=AXIS, no_value="no line asked to act")


def kills():
    kill = '@host, signal=~"(SIG)?KILL", success=~"yes|true|1"'
    return counts(
        "Who killed whom?", "Delivered SIGKILLs, sender → target (telltale_audit_signals_total, from the kill rule in"
        " deploy/audit), of the 10 most frequent of the selected time. The kernel's OOM killer is among the lines"
        " above.", "telltale_audit_signals_total", "job, instance, sender, target", "{{sender}} → {{target}}",
        matchers=kill, level=t.SIGKILL, bars=False, points=True, axis=AXIS,
        no_value="nobody was killed, or the kill rule is not loaded")
