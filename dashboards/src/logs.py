"""Logs: what was said that has a known meaning, what nobody knows yet, and was every line read?"""

import thresholds as t
from advice import advice
from board import Board
from links import from_row, from_series
from panels import bars, column, graph, paint, stat, states, table, values
from query import gained, target

MATCHES = "telltale_log_signature_matches_total"
SEVERITIES = {"critical": t.RED, "warning": t.ORANGE, "info": t.BLUE}
VERDICTS = {"act": t.RED, "watch": t.ORANGE, "harmless": t.GREEN}
SEVERITY = values(**{name: (name, colour) for name, colour in SEVERITIES.items()})
VERDICT = values(**{name: (name, colour) for name, colour in VERDICTS.items()})
READABLE = values(v0=("unreadable", t.RED), v1=("read", t.GREEN))
AGE = "time() - telltale_log_last_line_timestamp_seconds{@source}"
NO_LOG = "no log is read"


def build():
    board = Board(
        "telltale-logs", "Telltale / Logs",
        "Which log lines had a known meaning and what is to be done about them, how many does nobody"
        " know, and was every line read? The choice of a source narrows the panels about sources;"
        " signatures are counted over all sources.", extra="source")
    board.section("Is it OK?", (4, *((panel, 3) for panel in answers())))
    board.section("Lines whose meaning is known", (8, (severities(), 12), (verdicts(), 12)),
                  (12, (matched(), 24)))
    board.section("Lines nobody knows, and the sources",
                  (8, (unknown(), 12), (lines(), 12)), (8, (sources(), 24)))
    board.section("Reading: lag, rotations and losses", (8, (lag(), 12), (silence(), 12)),
                  (8, (rotations(), 12), (losses(), 12)), (6, (readable(), 16), (read(), 8)), collapsed=True)
    board.section("Signatures in detail", (9, (signatures(), 12), (captures(), 12)), collapsed=True)
    board.section("logrotate's own state", (8, (rotated(), 16), (logrotate_ran(), 8)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Ask to act", f"Lines in the selected time whose verdict is «act» ({MATCHES}).",
        f'sum(increase({MATCHES}{{@host, verdict="act"}}[$__range]))', unit="short", level=t.ACT,
        no_value=NO_LOG)
    yield stat(
        "Critical", f"Lines in the selected time whose severity is critical ({MATCHES}); without kills in"
        " cgroups that reached their memory limit, which warn.",
        f'sum(increase({MATCHES}{{@host, severity="critical", signature!~"{t.OOM_OF_CGROUP}"}}[$__range]))',
        unit="short",
        level=t.CRITICAL_SIGNATURE, no_value=NO_LOG)
    yield stat(
        "Unknown", "Share of the lines in the selected time that no signature knows"
        " (telltale_log_unmatched_lines_total / telltale_log_lines_total). High is normal; a change"
        " is what counts.",
        "sum(increase(telltale_log_unmatched_lines_total{@source}[$__range]))"
        " / (sum(increase(telltale_log_lines_total{@source}[$__range])) > 0)",
        unit="percentunit", no_value="no line was read")
    yield stat(
        "Sources not readable", "Sources with a file that cannot be read (telltale_log_source_up == 0).",
        "sum(telltale_log_source_up{@source} == bool 0)", level=t.SOURCE_DOWN, no_value=NO_LOG)
    yield stat(
        "Bytes lost", "Bytes that are known to be lost in the selected time"
        " (telltale_log_lost_bytes_total): mostly by copytruncate.",
        "sum(" + gained("telltale_log_lost_bytes_total", "$__range", "source", "@source")
        + ") or 0 * count(telltale_log_lines_total{@source})", unit="bytes", level=t.BYTES_LOST,
        no_value=NO_LOG)
    yield stat(
        "Messages lost", "Messages that are known to be lost in the selected time"
        " (telltale_log_lost_messages_total): gaps of the kernel ring, suppressed by the journal.",
        "sum(" + gained("telltale_log_lost_messages_total", "$__range", "source", "@source")
        + ") or 0 * count(telltale_log_lines_total{@source})", unit="short", level=t.MESSAGES_LOST,
        no_value=NO_LOG)
    yield stat(
        "Not read yet", "Bytes written and not read yet, of the source that is farthest behind"
        " (telltale_log_lag_bytes).",
        "max(telltale_log_lag_bytes{@source})", unit="bytes", level=t.LAG, no_value=NO_LOG)
    yield stat(
        "Longest silence", "Time since the last line of the most silent source"
        " (telltale_log_last_line_timestamp_seconds). Quiet logs are normal on quiet hosts.",
        f"max({AGE})", unit="s", no_value="no line was read")


def severities():
    return graph(
        "How bad was what was said?", f"Lines of a known meaning by severity ({MATCHES}).",
        [target(f"sum by (severity) (increase({MATCHES}{{@host}}[$__rate_interval]))",
                "{{severity}}")], unit="short", decimals=0, bars=True, stack=True, no_value=NO_LOG,
        overrides=[(f"^{name}$", paint(colour)) for name, colour in SEVERITIES.items()])


def verdicts():
    return graph(
        "What was asked of you?", f"Lines of a known meaning by verdict ({MATCHES}): act, watch, or"
        " harmless.",
        [target(f"sum by (verdict) (increase({MATCHES}{{@host}}[$__rate_interval]))", "{{verdict}}")],
        unit="short", decimals=0, bars=True, stack=True, no_value=NO_LOG,
        overrides=[(f"^{name}$", paint(colour)) for name, colour in VERDICTS.items()])


def matched():
    key = "job, instance, signature"
    grown = f"sum by ({key}, severity, verdict) (increase({MATCHES}{{@host}}[$__range])) > 0"
    titled = f"({grown}) * on ({key}) group_left (title) telltale_log_signature_info{{@host}}"
    count = f"topk(100, {titled} or on ({key}) ({grown}))"
    last = (f"1000 * max by ({key}) (telltale_log_signature_last_match_timestamp_seconds{{@host}})"
            f" and on ({key}) ({grown})")
    columns = {
        "severity": ("Severity", column(mappings=[SEVERITY], width=90)),
        "verdict": ("Verdict", column(mappings=[VERDICT], width=90)),
        "title": ("Meaning", column(width=320)),
        "Value #A": ("Times", column("short", 0, width=80)),
        "Value #B": ("Last", column(unit="dateTimeFromNow", width=130)),
        "instance": ("Instance", column(links=[from_row("users"), from_row("audit")], width=160)),
        "advice": ("Advice", column(mappings=advice(), wrap=True)),
        "signature": ("Signature", column(width=200)),
        "job": ("Job", column(width=90)),
    }
    with_advice = f'label_replace({count}, "advice", "$1", "signature", "(.+)")'
    return table(
        "What matched, what does it mean, and what is to be done?",
        "Signatures with matches in the selected time, with title and last match"
        f" ({MATCHES}, telltale_log_signature_info). The advice is that of the built-in catalogue;"
        " for signatures of your own it stands on the exporter's page.",
        [target(with_advice, table=True), target(last, table=True)], columns, sort="Times",
        no_value="no line of a known meaning in this time")


def unknown():
    return graph(
        "How many lines does nobody know?",
        "Lines per second that no signature knows, by source and, where the source has one, level"
        " (telltale_log_unmatched_lines_total); the 10 largest at each moment. Their shapes are listed"
        " on the exporter's page.",
        [target("topk(10, sum by (job, instance, source, level) (rate("
                "telltale_log_unmatched_lines_total{@source}[$__rate_interval])))",
                "{{instance}} {{source}} {{level}}")], unit="cps", level=t.UNKNOWN,
        no_value="no line was read",
        links=[from_series("logs", "Only ${__field.labels.source}", source="source")])


def lines():
    return graph(
        "How much is written?", "Lines read per second by source (telltale_log_lines_total); the 10"
        " largest at each moment.",
        [target("topk(10, rate(telltale_log_lines_total{@source}[$__rate_interval]))",
                "{{instance}} {{source}}")], unit="cps", no_value="no line was read",
        links=[from_series("logs", "Only ${__field.labels.source}", source="source")])


def sources():
    by = "job, instance, source"
    rows = [
        ("State", f"max by ({by}) (telltale_log_source_up{{@source}})",
         column(mappings=[READABLE], width=110)),
        ("Lines", f"sum by ({by}) (increase(telltale_log_lines_total{{@source}}[$__range]))",
         column("short", 0)),
        ("Bytes", f"sum by ({by}) (increase(telltale_log_bytes_total{{@source}}[$__range]))",
         column("bytes", 1)),
        ("Unknown",
         f"sum by ({by}) (increase(telltale_log_unmatched_lines_total{{@source}}[$__range]))",
         column("short", 0)),
        ("Not read yet", f"max by ({by}) (telltale_log_lag_bytes{{@source}})", column("bytes", 1)),
        ("Last line", "1000 * max by (%s) (telltale_log_last_line_timestamp_seconds{@source})" % by,
         column(unit="dateTimeFromNow")),
    ]
    columns = {
        "instance": ("Instance", column(links=[from_row("exporter")])),
        "source": ("Source", column(links=[
            from_row("logs", "Only ${__data.fields.source}", source="source")])),
    }
    for index, (heading, _, properties) in enumerate(rows):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, properties)
    columns["job"] = ("Job", None)
    return table(
        "Is every source read?", "One line per source: whether its files can be read, what came in the"
        " selected time, how far reading is behind, and when the last line was read.",
        [target(expr, table=True) for _, expr, _ in rows], columns, sort="Lines", level=t.SOURCE_DOWN,
        no_value=NO_LOG)


def read():
    return graph(
        "Where is no log read?", "Sources that can be read (telltale_log_sources), of the 10 hosts with fewest"
        " at each moment. At 0 nothing is known of a host's logs: signatures are absent.",
        [target("bottomk(10, telltale_log_sources{@host})", "{{instance}}")], unit="short", decimals=0,
        level=t.NO_SOURCE, no_value="no exporter follows logs", links=[from_series("exporter")])


def lag():
    return graph(
        "Does reading keep up?", "Bytes written and not read yet (telltale_log_lag_bytes); the 10"
        " largest at each moment. It should fall back to 0.",
        [target("topk(10, telltale_log_lag_bytes{@source})", "{{instance}} {{source}}")],
        unit="bytes", level=t.LAG, no_value=NO_LOG)


def silence():
    return graph(
        "When did a source speak last?", "Time since the last line"
        " (telltale_log_last_line_timestamp_seconds); the 10 most silent at each moment. A source that"
        " is always busy and then silent has a writer that stopped.",
        [target(f"topk(10, {AGE})", "{{instance}} {{source}}")], unit="s",
        level=t.SOURCE_SILENT, no_value="no line was read")


def rotations():
    by = "job, instance, source, method"
    gain = gained("telltale_log_rotations_total", "$__rate_interval", by, "@source")
    return graph(
        "How and when were files rotated?", "Rotations by method (telltale_log_rotations_total):"
        " rename, copytruncate, recreated. copytruncate destroys what is written between its copy and"
        " its truncation.",
        [target(f"topk(15, {gain} > 0)", "{{instance}} {{source}} {{method}}")], unit="short",
        decimals=0, bars=True, stack=True, no_value="no rotation in this time")


def losses():
    by = "job, instance, source, reason"
    of = {what: gained(f"telltale_log_lost_{what}_total", "$__rate_interval", by, "@source")
          for what in ("bytes", "messages")}
    return graph(
        "What is known to be lost?", "Bytes and messages that were not read and never will be, by"
        " reason (telltale_log_lost_bytes_total, telltale_log_lost_messages_total).",
        [target(f"topk(10, {of['bytes']} > 0)", "{{instance}} {{source}} {{reason}}, bytes"),
         target(f"topk(10, {of['messages']} > 0)", "{{instance}} {{source}} {{reason}}, messages")],
        unit="short", decimals=0, bars=True, level=t.LOG_LOST, no_value="nothing was lost")


def readable():
    return states(
        "When could a source not be read?", "Whether every file of a source can be read"
        " (telltale_log_source_up); the 20 worst at each moment.",
        [target("bottomk(20, telltale_log_source_up{@source})", "{{instance}} {{source}}")],
        mappings=[READABLE], level=t.SOURCE_DOWN, no_value=NO_LOG)


def signatures():
    return graph(
        "Which signatures matched when?", f"Matches by signature ({MATCHES}); the 15 most frequent at"
        " each moment.",
        [target(f"topk(15, sum by (signature) (increase({MATCHES}{{@host}}[$__rate_interval])) > 0)",
                "{{signature}}")], unit="short", decimals=0, bars=True, stack=True,
        no_value="no line of a known meaning in this time")


def captures():
    by = "job, instance, signature, name, value"
    gain = gained("telltale_log_signature_captures_total", "$__range", by)
    columns = {
        "signature": ("Signature", None), "name": ("Capture", None), "value": ("Is", None),
        "Value": ("Times", column("short", 0)), "instance": ("Instance", None), "job": ("Job", None),
    }
    return table(
        "Of whom or what did they speak?", "Named captures of matches by value, as the uid that sshd"
        " could not become (telltale_log_signature_captures_total); the 50 most frequent.",
        [target(f"topk(50, {gain} > 0)", table=True)], columns, sort="Times",
        no_value="no signature captured a value in this time")


def rotated():
    columns = {
        "instance": ("Instance", None), "path": ("File", None),
        "Value": ("Last rotation", column(unit="dateTimeFromNow")), "job": ("Job", None),
    }
    return table(
        "When was each file rotated last?", "The files in logrotate's state that were rotated longest"
        " ago (telltale_logrotate_last_rotation_timestamp_seconds). A file that is never rotated fills"
        " the disk.",
        [target("bottomk(50, 1000 * telltale_logrotate_last_rotation_timestamp_seconds{@host})",
                table=True)], columns, no_value="logrotate has no state here")


def logrotate_ran():
    return bars(
        "Does logrotate run at all?", "Time since logrotate wrote its state file"
        " (telltale_logrotate_state_timestamp_seconds); the 10 oldest. It should run each day.",
        "topk(10, max by (job, instance) (time() - telltale_logrotate_state_timestamp_seconds{@host}))",
        "{{instance}}", unit="s", decimals=0, level=t.LOGROTATE_STALE,
        no_value="logrotate has no state here", links=[from_series("exporter")])
