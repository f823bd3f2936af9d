"""Audit: does the kernel record what it should, does somebody take it, and is anything lost?"""

import thresholds as t
from board import Board
from links import from_row, from_series, whole
from panels import column, graph, paint, stat, states, table, values
from query import BACKLOG_USE, BLIND, NO_RULES, gained, target

HOST = "job, instance"
BUFFER = 8970  # bytes of a record that waits
LIMIT = "telltale_audit_backlog_limit{@host} > 0"
STATE = ("(telltale_audit_enabled{@host} > bool 0)"
         f" * on ({HOST}) (1 + telltale_audit_daemon_up{{@host}})")
WAITED = "rate(telltale_audit_backlog_waited_jiffies_total{@host}[$__rate_interval])"

# What would have fitted: the highest backlog and what was lost within 5 minutes beside it, twice,
# so that it stays under the warning of 50 %, up to the next power of two.
DEMAND = (f"(max_over_time(telltale_audit_backlog_peak{{@host}}[$__range]) + on ({HOST})"
          " max_over_time(increase(telltale_audit_lost_total{@host}[5m])[$__range:5m]))")
ENOUGH = f"(2 ^ ceil(log2(2 * {DEMAND})) > on ({HOST}) ({LIMIT})) or ({LIMIT})"

ENABLED = values(v0=("off", t.GREY), v1=("on", t.GREEN), v2=("on, locked", t.GREEN))
DAEMON = values(v0=("nobody", t.GREY), v1=("listening", t.GREEN))
FAILURE = values(v0=("silent", t.GREY), v1=("printk", t.GREEN), v2=("panic", t.ORANGE))
BOTH = values(v0=("off", t.GREY), v1=("on, nobody listens", t.ORANGE), v2=("on, listening", t.GREEN))
LOADED = values(v0=("missing", t.ORANGE), v1=("loaded", t.GREEN))
NONE = "no host shows its audit"


def build():
    board = Board(
        "telltale-audit", "Telltale / Audit",
        "Is auditing on, is somebody listening, does the queue suffice, and what was seen: who"
        " signalled whom, whose forks failed, what crashed? Audit that is off is no fault unless"
        " audit.required is set.")
    board.section("Is it OK?", (4, *((panel, 3) for panel in answers())))
    board.section("The queue", (9, (backlog(), 12), (listening(), 12)),
                  (8, (lost(), 12), (waited(), 12)), (7, (sizing(), 24)))
    board.section("Signals: who ended whom?", (9, (signals(), 14), (signal_times(), 10)))
    board.section("Configuration and rules", (8, (rules(), 8), (configured(), 8), (keys(), 8)),
                  collapsed=True)
    board.section("Events, refused forks and crashes", (8, (types(), 12), (keyed(), 12)),
                  (8, (forks(), 8), (crashes(), 8), (weakened(), 8)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Auditing", "Whether the kernel records (telltale_audit_enabled): off, on, or on and locked"
        " until reboot; of several hosts the least.",
        "min(telltale_audit_enabled{@host})", mappings=[ENABLED], no_value=NONE)
    yield stat(
        "Daemon", "Whether the registered daemon is alive and not stopped (telltale_audit_daemon_up);"
        " of several hosts the least. With nobody, records go to the kernel's log.",
        "min(telltale_audit_daemon_up{@host})", mappings=[DAEMON], no_value=NONE)
    yield stat(
        "Required, but blind", "Hosts whose configuration says audit.required, but where auditing is"
        " off, unheard or unknown (telltale_audit_required).",
        f"count({BLIND}) or 0 * count(telltale_audit_required{{@host}})", level=t.AUDIT_BLIND,
        no_value=NONE)
    yield stat(
        "When a record cannot be kept", "What the kernel then does (telltale_audit_failure_mode):"
        " nothing, a line in its log, or panic; of several hosts the hardest. With panic a full queue"
        " ends the host.",
        "max(telltale_audit_failure_mode{@host})", mappings=[FAILURE], no_value=NONE)
    yield stat(
        "Fullest queue", "Highest backlog of the last 2 minutes against its limit"
        " (telltale_audit_backlog_peak / telltale_audit_backlog_limit).",
        f"max({BACKLOG_USE})", unit="percentunit", level=t.BACKLOG, no_value="no audit, " + NO_RULES)
    yield stat(
        "Records lost", "Audit records lost in the selected time (telltale_audit_lost_total).",
        "sum(increase(telltale_audit_lost_total{@host}[$__range]))", unit="short",
        level=t.AUDIT_LOST, no_value=NONE)
    yield stat(
        "Rules missing", "Rules whose key is one of audit.expected_keys, but that the kernel does not"
        " have (telltale_audit_rule_loaded == 0).",
        "sum(telltale_audit_rule_loaded{@host} == bool 0)", level=t.RULE_GONE,
        no_value="no keys configured", links=[whole("exporter")])
    yield stat(
        "Age of this status", "How old the shown status is (telltale_audit_status_age_seconds): during"
        " an overflow the kernel puts whoever asks to sleep, so it is asked more rarely.",
        "max(telltale_audit_status_age_seconds{@host})", unit="s", level=t.AUDIT_AGE,
        no_value=NONE)


def backlog():
    worst = f"and on ({HOST}) topk(5, {BACKLOG_USE})"
    return graph(
        "How many records wait, and how many may?",
        "Records that wait for the daemon, the highest number of the last 2 minutes, and the limit,"
        f" of the 5 fullest queues. The alerts begin at {t.BACKLOG.warning:.0%} and"
        f" {t.BACKLOG.critical:.0%} of the limit (dashed).",
        [target(f"telltale_audit_backlog{{@host}} {worst}", "{{instance}} waiting"),
         target(f"telltale_audit_backlog_peak{{@host}} {worst}", "{{instance}} peak"),
         target(f"{LIMIT} {worst}", "{{instance}} limit"),
         target(f"{t.BACKLOG.warning} * ({LIMIT}) {worst}", "{{instance}} warning"),
         target(f"{t.BACKLOG.critical} * ({LIMIT}) {worst}", "{{instance}} critical")],
        unit="short", decimals=0, log=True, no_value=NONE,
        overrides=[(".* peak", paint(t.BLUE, width=2)), (".* limit", paint(t.PURPLE, dashed=True)),
                   (".* warning", paint(t.ORANGE, dashed=True)),
                   (".* critical", paint(t.RED, dashed=True))])


def listening():
    return states(
        "Was it on, and was somebody listening?",
        "State of auditing per host (telltale_audit_enabled, telltale_audit_daemon_up). A change from"
        " on to off, or from a live daemon to none, raises an alert in any case; 20 hosts at most.",
        [target(f"topk(20, {STATE})", "{{instance}}")], mappings=[BOTH], level=t.AUDIT_CHANGED,
        no_value=NONE)


def lost():
    return graph(
        "Were records lost?", "Audit records lost (telltale_audit_lost_total): queue full, rate limit,"
        " or no memory; the 10 worst hosts. A reset by auditctl --reset-lost is no loss.",
        [target(f"topk(10, sum by ({HOST}) (increase(telltale_audit_lost_total{{@host}}"
                "[$__rate_interval])) > 0)", "{{instance}}")], unit="short", decimals=0, bars=True,
        level=t.AUDIT_LOST, no_value="nothing was lost")


def waited():
    return graph(
        "Does auditing hold up those who cause records?",
        "How much time processes spent waiting for room in the queue, in jiffies of the kernel's HZ"
        " (100 to 1,000 in a second) per second (telltale_audit_backlog_waited_jiffies_total, Linux"
        " 5.9); the 10 worst hosts. Anything above 0 is felt as a slow host; 1,000 in 10 minutes are a"
        " warning.",
        [target(f"topk(10, {WAITED})", "{{instance}}")], unit="short", level=t.AUDIT_STALLS,
        no_value="not told by this kernel, or no audit")


def sizing():
    rows = [
        ("Limit", f"max by ({HOST}) (telltale_audit_backlog_limit{{@host}})",
         column("short", 0, mappings=[values(v0=("none", t.GREY))])),
        ("It may take", f"max by ({HOST}) (telltale_audit_backlog_limit_bytes{{@host}})",
         column("bytes", 1)),
        ("Highest backlog",
         f"max by ({HOST}) (max_over_time(telltale_audit_backlog_peak{{@host}}[$__range]))",
         column("short", 0)),
        ("Lost", f"sum by ({HOST}) (increase(telltale_audit_lost_total{{@host}}[$__range]))",
         column("short", 0, t.AUDIT_LOST)),
        ("Enough would be", f"max by ({HOST}) ({ENOUGH})", column("short", 0)),
        ("That may take", f"{BUFFER} * max by ({HOST}) ({ENOUGH})", column("bytes", 1)),
    ]
    columns = {"instance": ("Instance", column(links=[from_row("users"), from_row("exporter")]))}
    for index, (heading, _, properties) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, properties)
    columns["job"] = ("Job", None)
    return table(
        "Which backlog limit would have been enough, and what does it cost?",
        "For the selected time: the limit now and the memory that a full queue takes (8,970 bytes a"
        " record), the highest backlog, and the limit that would have held it and what was lost within"
        " 5 minutes, twice over, as a power of two. Set it with auditctl -b, for good with -b in"
        " /etc/audit/rules.d. A daemon that is too slow for ever needs"
        " fewer rules, not a longer queue.",
        [target(expr, table=True) for _, expr, _ in rows], columns, sort="Lost", no_value=NONE)


def signals():
    by = "job, instance, signal, sender, target, success"
    gain = gained("telltale_audit_signals_total", "$__range", by)
    columns = {
        "sender": ("Sender", None), "signal": ("Signal", None), "target": ("Target", None),
        "success": ("Delivered", column(width=100)), "Value": ("Times", column("short", 0, width=90)),
        "instance": ("Instance", column(links=[from_row("users"), from_row("logs")])),
        "job": ("Job", None),
    }
    return table(
        "Who signalled whom?", "Signals in the selected time by command name of sender and target; the"
        " 50 most frequent (telltale_audit_signals_total, from the kill rule in deploy/audit). Who,"
        " when and from where stands on the exporter's own page /kills.",
        [target(f"topk(50, {gain} > 0)", table=True)], columns, sort="Times",
        no_value="no signal seen, or the kill rule is not loaded")


def signal_times():
    by = "job, instance, signal, sender, target"
    kill = '@host, signal=~"(SIG)?KILL", success=~"yes|true|1"'
    gain = gained("telltale_audit_signals_total", "$__rate_interval", by, kill)
    return graph(
        "When was somebody killed?", "Delivered SIGKILLs, sender → target"
        " (telltale_audit_signals_total); the 10 most frequent at each moment. The kernel's OOM killer"
        " is not in the audit log, see the Logs dashboard.",
        [target(f"topk(10, {gain} > 0)", "{{sender}} → {{target}} on {{instance}}")], unit="short",
        decimals=0, bars=True, level=t.SIGKILL, no_value="nobody was killed",
        links=[from_series("logs")])


def configured():
    rows = [
        ("Rules", f"max by ({HOST}) (telltale_audit_rules{{@host}})", column("short", 0)),
        ("On failure", f"max by ({HOST}) (telltale_audit_failure_mode{{@host}})",
         column(mappings=[FAILURE])),
        ("Rate limit", f"max by ({HOST}) (telltale_audit_rate_limit{{@host}})",
         column("short", 0, mappings=[values(v0=("none", t.GREY))])),
        ("Wait time", f"max by ({HOST}) (telltale_audit_backlog_wait_time_jiffies{{@host}})",
         column("short", 0)),
    ]
    columns = {"instance": ("Instance", None)}
    for index, (heading, _, properties) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, properties)
    columns["job"] = ("Job", None)
    return table(
        "How is auditing configured?", "Rules in the kernel, what it does when a record cannot be kept,"
        " records per second that are let through (auditctl -r), and how long who causes a record waits"
        " for room, in jiffies of the kernel's HZ (telltale_audit_backlog_wait_time_jiffies).",
        [target(expr, table=True) for _, expr, _ in rows], columns, sort="Rules", no_value=NONE)


def rules():
    return graph(
        "How many rules does the kernel have?",
        "Audit rules loaded (telltale_audit_rules), looked at each minute; the 10 hosts with the"
        " fewest. A fall to 0 is auditctl -D.",
        [target("bottomk(10, telltale_audit_rules{@host})", "{{instance}}")], unit="short", decimals=0,
        no_value=NONE)


def keys():
    columns = {
        "instance": ("Instance", column(links=[from_row("exporter")])), "key": ("Key", None),
        "Value": ("Rule", column(mappings=[LOADED], width=110)), "job": ("Job", None),
    }
    return table(
        "Are the expected rules there?", "The keys of audit.expected_keys, and whether a rule with the"
        " key is loaded (telltale_audit_rule_loaded).",
        [target("max by (job, instance, key) (telltale_audit_rule_loaded{@host})", table=True)],
        columns, level=t.RULE_GONE, no_value="no keys configured (audit.expected_keys)")


def types():
    return graph(
        "What kinds of events are there?",
        "Audit events per second by the type of their first record (telltale_audit_events_total); the"
        " 10 most frequent at each moment.",
        [target("topk(10, sum by (type) (rate(telltale_audit_events_total{@host}[$__rate_interval])))",
                "{{type}}")], unit="eps", stack=True, no_value="the audit log is not followed")


def keyed():
    return graph(
        "Which rules cause them?", "Audit events per second by rule key"
        " (telltale_audit_keyed_events_total); the 10 most frequent at each moment. The busiest key is"
        " the first candidate when the queue overflows.",
        [target("topk(10, sum by (key) (rate(telltale_audit_keyed_events_total{@host}"
                "[$__rate_interval])))", "{{key}}")], unit="eps", stack=True,
        no_value="no event with a key")


def forks():
    by = "job, instance, user, command"
    gain = gained("telltale_audit_failed_forks_total", "$__rate_interval", by)
    return graph(
        "Whose forks were refused?",
        "Forks and execs that failed with EAGAIN (telltale_audit_failed_forks_total, from the rule in"
        " deploy/audit that is not loaded by default); the 10 most frequent at each moment.",
        [target(f"topk(10, {gain} > 0)", "{{instance}} {{user}} {{command}}")], unit="short",
        decimals=0, bars=True, level=t.FAILED_FORKS,
        no_value="none refused, or the rule is not loaded",
        links=[from_series("users", user="user")])


def crashes():
    gain = gained("telltale_audit_crashes_total", "$__rate_interval", "job, instance, command, signal")
    return graph(
        "What crashed?", "Processes that ended abnormally by a signal of their own (ANOM_ABEND,"
        " telltale_audit_crashes_total); the 10 most frequent at each moment.",
        [target(f"topk(10, {gain} > 0)", "{{instance}} {{command}} {{signal}}")], unit="short",
        decimals=0, bars=True, no_value="nothing crashed", links=[from_series("logs")])


def weakened():
    gain = gained("telltale_audit_weakened_total", "$__rate_interval", "job, instance, change, login")
    return graph(
        "Who weakened auditing?", "Changes after which less is audited or more can be lost, by who had"
        " logged in (telltale_audit_weakened_total); the 10 most frequent at each moment. An audit"
        " daemon that is restarted removes and adds its rules: that is one of these, and harmless.",
        [target(f"topk(10, {gain} > 0)", "{{instance}} {{change}} by {{login}}")], unit="short",
        decimals=0, bars=True, no_value="no change, or the audit log is not followed")
