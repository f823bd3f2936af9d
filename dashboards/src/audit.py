"""Audit: does the kernel record what it should, does somebody take it, and is anything lost?"""

import re
from pathlib import Path

import thresholds as t
from board import Board
from links import from_row, from_series
from panels import counts, graph, stat, states, values
from query import BACKLOG_USE, gained, target, worst
from tables import column, lettered, table

RULES = Path(__file__).resolve().parent.parent.parent / "deploy" / "prometheus" / "rules"
HOST = "job, instance"
BUFFER = 8970  # bytes of a record that waits
LIMIT = "telltale_audit_backlog_limit{@host} > 0"
STATE = ("(telltale_audit_enabled{@host} > bool 0)"
         f" * on ({HOST}) (1 + telltale_audit_daemon_up{{@host}})")
# Off or unheard is no fault where it always was, unless it is required.
REQUIRED = "telltale_audit_required{@host} == 1"
OFF = (f"telltale_audit_enabled{{@host}} == 0 and on ({HOST})"
       f" ({REQUIRED} or max_over_time(telltale_audit_enabled{{@host}}[$__range]) > 0)")
UNHEARD = (f"telltale_audit_daemon_up{{@host}} == 0 and on ({HOST}) telltale_audit_enabled{{@host}} > 0"
           f" and on ({HOST}) ({REQUIRED} or max_over_time(telltale_audit_daemon_up{{@host}}[$__range]) > 0)")
LOST = "telltale_audit_lost_total"

# What would have fitted: the highest backlog and what was lost within 5 minutes beside it, twice,
# so that it stays under the warning of 50 %, up to the next power of two.
DEMAND = (f"(max_over_time(telltale_audit_backlog_peak{{@host}}[$__range]) + on ({HOST})"
          " max_over_time(increase(telltale_audit_lost_total{@host}[5m])[$__range:5m]))")
ENOUGH = f"(2 ^ ceil(log2(2 * {DEMAND})) > on ({HOST}) ({LIMIT})) or ({LIMIT})"

FAILURE = values(v0=("silent", t.TEXT), v1=("printk", t.TEXT), v2=("panic", t.ORANGE))
BOTH = values(v0=("off", t.GREY), v1=("on, nobody listens", t.ORANGE), v2=("on, listening", t.FAINT))
LOADED = values(v0=("missing", t.ORANGE), v1=("loaded", t.TEXT))
NO_LIMIT = values(v0=("none", t.TEXT))
NONE = "no host shows its audit"


def routine() -> str:
    """Senders whose business it is to kill: the alert's own list."""
    found = re.search(r'kills:increase10m\{sender!~"((?:[^"\\]|\\.)*)"', (RULES / "telltale-audit.yml").read_text())
    if not found:
        raise SystemExit("telltale-audit.yml: no list of senders that may kill")
    return found[1]


UNUSUAL = f'@host, success=~"yes|true|1", sender!~"{routine()}"'
KILLS = UNUSUAL + ', signal=~"(SIG)?KILL"'


def build():
    board = Board(
        "telltale-audit", "Telltale / Audit",
        "Is auditing on, is somebody listening, does the queue suffice, and what was seen: who"
        " signalled whom, whose forks failed, what crashed? Audit that is off is no fault unless"
        " audit.required is set, or it was on before.")
    board.tile_row(answers())
    board.top((9, (queues(), 24)), (9, (sizing(), 24)), (7, (kill_times(), 24)), (9, (signals(), 24)))
    board.section("When did something change?", (9, (listening(), 24)), (7, (lost(), 24)), (7, (waited(), 24)),
                  (7, (weakened(), 24)), collapsed=True)
    board.section("Events, refused forks and crashes", (8, (types(), 12), (keyed(), 12)),
                  (7, (forks(), 24)), (7, (crashes(), 24)), collapsed=True)
    board.section("Configuration and rules", (9, (configured(), 24)), (8, (keys(), 24)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Off", "Hosts on which auditing is off, though it is required or was on in the selected time"
        " (telltale_audit_enabled, telltale_audit_required).",
        f"count({OFF}) or 0 * count(telltale_audit_enabled{{@host}})", level=t.AUDIT_OFF)
    yield stat(
        "Unheard", "Hosts on which auditing is on and no live daemon takes the records, though it is required or one"
        " did in the selected time (telltale_audit_daemon_up). Records then go to the kernel's log.",
        f"count({UNHEARD}) or 0 * count(telltale_audit_daemon_up{{@host}})", level=t.AUDIT_UNHEARD)
    yield stat(
        "Queue", "Highest backlog of the last 2 minutes against its limit, and where"
        " (telltale_audit_backlog_peak / telltale_audit_backlog_limit).",
        f"topk(1, {BACKLOG_USE})", legend="{{instance}}", unit="percentunit", level=t.BACKLOG,
        links=[from_series("host")])
    yield stat(
        "Lost", "Audit records lost in the selected time (telltale_audit_lost_total).",
        f"sum(increase({LOST}{{@host}}[$__range]))", unit="locale", level=t.AUDIT_LOST)
    yield stat(
        "Rules gone", "Keys of audit.expected_keys of which no rule is loaded"
        " (telltale_audit_rule_loaded == 0). Hosts without such keys expect none.",
        "sum(telltale_audit_rule_loaded{@host} == bool 0) or 0 * count(telltale_audit_enabled{@host})",
        level=t.RULE_GONE)
    yield stat(
        "Kills", "SIGKILLs delivered in the selected time by senders that are not on the alert's list of those whose"
        " business it is (telltale_audit_signals_total). Unknown where the audit log is not followed.",
        f"sum({gained('telltale_audit_signals_total', '$__range', HOST, KILLS)})"
        " or 0 * count(telltale_audit_events_total{@host})", unit="locale", level=t.KILLED)


def queues():
    return graph(
        "How full is each audit queue?",
        "Highest backlog of the last 2 minutes against its limit (telltale_audit_backlog_peak /"
        " telltale_audit_backlog_limit), of the 10 hosts that were fullest in the selected time. Above 100 % records"
        " are lost, or their causers wait.",
        [target(worst(BACKLOG_USE, BACKLOG_USE, 10), "{{instance}}")], unit="percentunit", full=1, level=t.BACKLOG,
        no_value=NONE, links=[from_series("host")])


def sizing():
    rank = f"topk(30, max_over_time({BACKLOG_USE}[$__range] @ end()))"
    rows = [
        ("Limit now", f"max by ({HOST}) (telltale_audit_backlog_limit{{@host}})",
         column("locale", 0, mappings=[NO_LIMIT], width=100)),
        ("RAM now", f"max by ({HOST}) (telltale_audit_backlog_limit_bytes{{@host}})", column("bytes", 1, width=110)),
        ("Highest seen",
         f"max by ({HOST}) (max_over_time(telltale_audit_backlog_peak{{@host}}[$__range]))",
         column("locale", 0, width=120)),
        ("Fullest", f"max by ({HOST}) (max_over_time({BACKLOG_USE}[$__range]))",
         column("percentunit", 0, t.BACKLOG, width=100)),
        ("Lost", f"sum by ({HOST}) (increase({LOST}{{@host}}[$__range])) > 0", column("locale", 0, t.AUDIT_LOST, width=100)),
        ("To set", f"max by ({HOST}) ({ENOUGH})", column("prefix:auditctl -b ", 0, width=180, left=True)),
        ("RAM then", f"{BUFFER} * max by ({HOST}) ({ENOUGH})", column("bytes", 1, width=110)),
    ]
    return table(
        "Which backlog limit would have been enough, and what does it cost?",
        "For the selected time, the 30 fullest queues: the limit now and the memory that a full queue takes (8,970"
        " bytes a record), the highest backlog, and the limit that would have held it and what was lost within"
        " 5 minutes, twice over, as a power of two. Set it with the command, for good with -b in"
        " /etc/audit/rules.d. A daemon that is too slow for ever needs"
        " fewer rules, not a longer queue.",
        [f"{expr} and on ({HOST}) {rank}" for _, expr, _ in rows],
        {"host": ("Host", column(links=[from_row("host")]))} | lettered(rows),
        sort=[("Fullest", True)], no_value=NONE)


def kill_times():
    return counts(
        "When was somebody killed?", "Delivered SIGKILLs, sender → target, but for senders on the alert's list of"
        " those whose business it is (telltale_audit_signals_total); the 10 with most in the selected time. The"
        " kernel's OOM killer is not in the audit log, see the Logs dashboard.",
        "telltale_audit_signals_total", "job, instance, sender, target", "{{sender}} → {{target}} on {{instance}}",
        matchers=KILLS, level=t.SIGKILL, bars=False, points=True,
        no_value="nobody was killed, or the kill rule is not loaded", links=[from_series("host")])


def signals():
    series = f"telltale_audit_signals_total{{{UNUSUAL}}}"
    by = "job, instance, signal, sender, target"
    seen = f"and on ({HOST}) telltale_exporter_build_info{{@host}} offset 2m"
    changed = f"(changes({series}[2m]) > 0 or ({series} unless {series} offset 2m) {seen})"
    gain = gained("telltale_audit_signals_total", "$__range", by, UNUSUAL)
    rows = [
        ("Times", f"topk(50, {gain} > 0)", column("locale", 0, width=90)),
        ("Last seen", f"1000 * max by ({by}) (max_over_time(timestamp({changed})[$__range:1m]))",
         column(unit="dateTimeFromNow", width=150, left=True)),
    ]
    columns = {
        "sender": ("Sender", column(width=200)), "signal": ("Signal", column(width=120)),
        "target": ("Target", column()), "host": ("Host", column(links=[from_row("host")], width=160)),
    } | lettered(rows)
    return table(
        "Who signalled whom?", "Delivered signals of the selected time by command name of sender and target, but for"
        " senders on the alert's list of those whose business it is; the last first, 50 at most"
        " (telltale_audit_signals_total, from the kill rule in deploy/audit). Who, with which command line and from"
        " where, stands on the exporter's own page /kills.",
        [expr for _, expr, _ in rows], columns, sort=("Last seen", True),
        no_value="no such signal was seen, or the kill rule is not loaded")


def listening():
    return states(
        "Was it on, and was somebody listening?",
        "State of auditing per host (telltale_audit_enabled, telltale_audit_daemon_up), of the 12 hosts where it was"
        " worst. A change from on to off, or from a live daemon to none, raises an alert in any case.",
        [target(f"{STATE} and on ({HOST}) bottomk(12, min_over_time(telltale_audit_enabled{{@host}}[$__range] @ end())"
                f" + on ({HOST}) min_over_time(telltale_audit_daemon_up{{@host}}[$__range] @ end()))", "{{instance}}")],
        mappings=[BOTH], level=t.AUDIT_CHANGED, no_value=NONE, legend=True)


def lost():
    return counts(
        "Were records lost?", "Audit records lost (telltale_audit_lost_total): queue full, rate limit,"
        " or no memory; the 10 hosts with most in the selected time. A reset by auditctl --reset-lost is no loss.",
        LOST, HOST, "{{instance}}", level=t.AUDIT_LOST, no_value="nothing was lost", links=[from_series("host")])


def waited():
    metric = "telltale_audit_backlog_waited_jiffies_total{@host}"
    return graph(
        "Does auditing hold up those who cause records?",
        "How much time processes spent waiting for room in the queue, in jiffies of the kernel's HZ"
        " (100 to 1,000 in a second) per second (telltale_audit_backlog_waited_jiffies_total, Linux"
        " 5.9), of the 10 hosts with most in the selected time. Anything above 0 is felt as a slow host; 1,000 in 10"
        " minutes are a warning.",
        [target(f"rate({metric}[$__rate_interval]) and on ({HOST}) topk(10, increase({metric}"
                "[$__range] @ end()))", "{{instance}}")],
        unit="suffix: jiffies/s", level=t.AUDIT_STALLS, no_value="not told by this kernel, or no audit")


def configured():
    rows = [
        ("State", f"max by ({HOST}) ({STATE})", column(mappings=[BOTH], width=150)),
        ("Required", f"max by ({HOST}) (telltale_audit_required{{@host}})",
         column(mappings=[values(v0=("no", t.TEXT), v1=("yes", t.TEXT))], width=100)),
        ("Rules", f"max by ({HOST}) (telltale_audit_rules{{@host}})", column("locale", 0, width=80)),
        ("On failure", f"max by ({HOST}) (telltale_audit_failure_mode{{@host}})",
         column(mappings=[FAILURE], width=110)),
        ("Rate limit", f"max by ({HOST}) (telltale_audit_rate_limit{{@host}})",
         column("locale", 0, mappings=[NO_LIMIT], width=110)),
        ("Waits, jiffies", f"max by ({HOST}) (telltale_audit_backlog_wait_time_jiffies{{@host}})",
         column("locale", 0, width=130)),
        ("Now waiting", f"max by ({HOST}) (telltale_audit_backlog{{@host}})", column("locale", 0, width=120)),
        ("Status age", f"max by ({HOST}) (telltale_audit_status_age_seconds{{@host}})",
         column("s", 0, t.AUDIT_AGE, width=110)),
    ]
    rank = f"bottomk(50, max by ({HOST}) (telltale_audit_enabled{{@host}}))"
    return table(
        "How is auditing configured?", "State, rules in the kernel, what it does when a record cannot be kept,"
        " records per second that are let through (auditctl -r), how long who causes a record waits for room, in"
        " jiffies of the kernel's HZ, and how old this status is. 50 hosts at most, those that are off first.",
        [f"{expr} and on ({HOST}) {rank}" for _, expr, _ in rows],
        {"host": ("Host", column(links=[from_row("host")]))} | lettered(rows), sort=("Rules", False), no_value=NONE)


def keys():
    loaded = "max by (job, instance, key) (telltale_audit_rule_loaded{@host})"
    columns = {
        "host": ("Host", column(links=[from_row("host")])), "key": ("Key", column()),
        "Value": ("Rule", column(mappings=[LOADED], width=110)),
    }
    return table(
        "Are the expected rules there?", "The keys of audit.expected_keys, and whether a rule with the"
        " key is loaded (telltale_audit_rule_loaded), looked at each minute; missing ones first, 50 at most.",
        [f"bottomk(50, {loaded})"], columns, level=t.RULE_GONE, sort=("Rule", False),
        no_value="no keys configured (audit.expected_keys)")


def rates(title, description, metric, by, no_value):
    """Events per second, stacked, of the kinds with most in the selected time."""
    most = f"topk(10, sum by ({by}) (increase({metric}{{@host}}[$__range] @ end())))"
    return graph(
        title, description,
        [target(f"sum by ({by}) (rate({metric}{{@host}}[$__rate_interval])) and on ({by}) {most}", f"{{{{{by}}}}}")],
        unit="eps", stack=True, no_value=no_value, narrow=True)


def types():
    return rates(
        "What kinds of events are there?", "Audit events per second by the type of their first record"
        " (telltale_audit_events_total); the 10 most frequent.", "telltale_audit_events_total", "type",
        "the audit log is not followed")


def keyed():
    return rates(
        "Which rules cause them?", "Audit events per second by rule key (telltale_audit_keyed_events_total); the 10"
        " most frequent. The busiest key is the first candidate when the queue overflows.",
        "telltale_audit_keyed_events_total", "key", "no event with a key")


def forks():
    return counts(
        "Whose forks were refused?",
        "Forks and execs that failed with EAGAIN (telltale_audit_failed_forks_total, from the rule in"
        " deploy/audit that is not loaded by default); the 10 with most in the selected time.",
        "telltale_audit_failed_forks_total", "job, instance, user, command", "{{instance}} {{user}} {{command}}",
        level=t.FAILED_FORKS, no_value="none refused, or the rule is not loaded",
        links=[from_series("users", user="user")])


def crashes():
    return counts(
        "What crashed?", "Processes that ended abnormally by a signal of their own (ANOM_ABEND,"
        " telltale_audit_crashes_total); the 10 most frequent of the selected time.",
        "telltale_audit_crashes_total", "job, instance, command, signal", "{{instance}} {{command}} {{signal}}",
        no_value="nothing crashed", links=[from_series("host")])


def weakened():
    return counts(
        "Who weakened auditing?", "Changes after which less is audited or more can be lost, by who had"
        " logged in (telltale_audit_weakened_total); the 10 most frequent of the selected time. An audit"
        " daemon that is restarted removes and adds its rules: that is one of these, and harmless.",
        "telltale_audit_weakened_total", "job, instance, change, login", "{{instance}} {{change}} by {{login}}",
        bars=False, points=True, no_value="no change, or the audit log is not followed", links=[from_series("host")])
