"""Logs: what was said that has a known meaning, what nobody knows yet, and was every line read?"""

import thresholds as t
from board import Board
from links import from_row, from_series
from panels import bars, counts, graph, paint, stat, states, values
from query import LINES, MATCHED, counted_in, gained, matched, or_none, target, worst
from signatures import what_to_do
from tables import column, lettered, table

MATCHES = "telltale_log_signature_matches_total"
SEVERITIES = {"critical": t.RED, "warning": t.ORANGE, "info": t.BLUE}
READABLE = values(v0=("unreadable", t.RED), v1=("read", t.FAINT))
IN_TABLE = values(v0=("unreadable", t.RED), v1=("read", t.TEXT))
SOURCE = "job, instance, source"
NAME = "{{instance}} {{source}}"
LAST_LINE = "telltale_log_last_line_timestamp_seconds{@source}"
AGE = f"time() - {LAST_LINE}"
LAG, UP = "telltale_log_lag_bytes{@source}", "telltale_log_source_up{@source}"
NO_LOG = "no log is read"
ONLY = from_series("logs", "Only ${__field.labels.source}", source="source")


def build():
    board = Board(
        "telltale-logs", "Telltale / Logs",
        "Which log lines had a known meaning and what is to be done about them, how many does nobody"
        " know, and was every line read? The choice of a source narrows the panels about sources;"
        " signatures are counted over all sources.", extra="source")
    board.tile_row(answers())
    board.top((14, (what_to_do("What was said, what does it mean, and what is to be done?"), 24)),
              (8, (severities(), 24)), (9, (sources(), 24)))
    board.section("Lines nobody knows, and how much is written", (8, (unknown(), 24)), (8, (lines(), 24)), collapsed=True)
    board.section("Reading: lag, silence, rotations and losses", (8, (lag(), 24)), (8, (silence(), 24)),
                  (7, (losses(), 24)), (7, (rotations(), 24)), (7, (readable(), 16), (read(), 8)), collapsed=True)
    board.section("Signatures in detail", (9, (signatures(), 24)), (9, (captures(), 24)), collapsed=True)
    board.section("logrotate's own state", (9, (rotated(), 14), (logrotate_ran(), 10)), collapsed=True)
    return board.build()


def answers():
    known = f"or 0 * count({LINES})"
    lost = " + ".join(
        f"(sum({gained(f'telltale_log_lost_{what}_total', '$__range', 'source', '@source')}) or 0 * sum({UP}))"
        for what in ("bytes", "messages"))
    critical = matched(f'severity="critical", signature!~"{t.OOM_OF_CGROUP}"')
    yield stat(
        "Critical", f"Lines of the selected time whose severity is critical ({MATCHES}); without kills in"
        " cgroups that reached their memory limit, which warn.",
        f"sum({critical}) {known}", unit="locale", level=t.CRITICAL_SIGNATURE)
    act = matched('verdict="act"')
    yield stat(
        "To act on", f"Lines of the selected time whose verdict is «act» ({MATCHES}).",
        f"sum({act}) {known}", unit="locale", level=t.ACT)
    yield stat(
        "Unreadable", "Sources with a file that cannot be read (telltale_log_source_up == 0), and hosts without any"
        " source that can be read (telltale_log_sources == 0).",
        f"sum({UP} == bool 0) + (sum(telltale_log_sources{{@host}} == bool 0) or 0 * sum({UP}))"
        " or sum(telltale_log_sources{@host} == bool 0)", level=t.NOT_READ)
    yield stat(
        "Lost", "Bytes and messages of the selected time that were not read and never will be, together"
        " (telltale_log_lost_bytes_total, telltale_log_lost_messages_total).", lost, unit="locale", level=t.LOG_LOST)
    yield stat(
        "Behind", "Bytes written and not read yet, of the source that is farthest behind"
        " (telltale_log_lag_bytes).", f"topk(1, {LAG})", legend=NAME, unit="bytes", decimals=1, level=t.LAG)
    yield stat(
        "Unknown/s", "Lines a second that no signature knows (telltale_log_unmatched_lines_total). Many are normal; a"
        " change is what counts, see below.",
        "sum(rate(telltale_log_unmatched_lines_total{@source}[$__rate_interval]))", decimals=1)


def severities():
    return graph(
        "How bad was what was said?", f"Lines of a known meaning by severity ({MATCHES}).",
        [target(f"sum by (severity) (increase({LINES}[$__interval])) > 0", "{{severity}}", step="5m")],
        unit="locale", decimals=0, bars=True, stack=True, no_value=NO_LOG,
        overrides=[(f"^{name}$", paint(colour)) for name, colour in SEVERITIES.items()])


def sources():
    rank = f"bottomk(50, {UP} - 1e-15 * {LAG} or {UP})"
    rows = [
        ("State", f"max by ({SOURCE}) ({UP})", column(mappings=[IN_TABLE], width=120)),
        ("Not read yet", f"max by ({SOURCE}) ({LAG})", column("bytes", 1, t.LAG, width=130)),
        ("Last line", f"1000 * max by ({SOURCE}) ({LAST_LINE})", column(unit="dateTimeFromNow", width=150, left=True)),
        ("Lines", f"sum by ({SOURCE}) (increase(telltale_log_lines_total{{@source}}[$__range]))",
         column("locale", 0, width=120)),
        ("Bytes", f"sum by ({SOURCE}) (increase(telltale_log_bytes_total{{@source}}[$__range]))",
         column("bytes", 1, width=120)),
        ("Unknown", f"sum by ({SOURCE}) (increase(telltale_log_unmatched_lines_total{{@source}}[$__range]))",
         column("locale", 0, width=120)),
    ]
    columns = {
        "source": ("Source", column(links=[
            from_row("logs", "Only ${__data.fields.source}", source="source")])),
        "host": ("Host", column(links=[from_row("host")], width=170)),
    } | lettered(rows)
    return table(
        "Is every source read?", "One line per source, those that cannot be read or are behind first, 50 at most:"
        " whether its files can be read, how far reading is behind, when the last line was read, and what came in the"
        " selected time.",
        [f"{expr} and on ({SOURCE}) {rank}" for _, expr, _ in rows], columns,
        sort=[("State", False), ("Not read yet", True)], level=t.SOURCE_DOWN, no_value=NO_LOG)


def unknown():
    metric, by = "telltale_log_unmatched_lines_total{@source}", SOURCE + ", level"
    most = f"topk(10, sum by ({by}) (increase({metric}[$__range] @ end())))"
    return graph(
        "How many lines does nobody know?",
        "Lines per second that no signature knows, by source and, where the source has one, level"
        " (telltale_log_unmatched_lines_total); the 10 with most in the selected time. Their shapes are listed"
        " on the exporter's page.",
        [target(f"sum by ({by}) (rate({metric}[$__rate_interval])) and on ({by}) {most}", NAME + " {{level}}")],
        unit="suffix: lines/s", level=t.UNKNOWN, no_value="no line was read", links=[ONLY])


def lines():
    metric = "telltale_log_lines_total{@source}"
    return graph(
        "How much is written?", "Lines read per second by source (telltale_log_lines_total); the 10"
        " with most in the selected time.",
        [target(f"rate({metric}[$__rate_interval]) and on ({SOURCE}) topk(10, increase({metric}[$__range] @ end()))",
                NAME)], unit="suffix: lines/s", no_value="no line was read", links=[ONLY])


def read():
    sources = "telltale_log_sources{@host}"
    return graph(
        "Where is no log read?", "Sources that can be read (telltale_log_sources), of the 10 hosts with fewest"
        " in the selected time. At 0 nothing is known of a host's logs: signatures are absent.",
        [target(worst(sources, sources, 10, least=True), "{{instance}}")], unit="short", decimals=0,
        level=t.NO_SOURCE, no_value="no exporter follows logs", links=[from_series("host")], narrow=True,
        lowest_first=True)


def lag():
    return graph(
        "Does reading keep up?", "Bytes written and not read yet (telltale_log_lag_bytes); the 10"
        " sources that were farthest behind in the selected time. It should fall back to 0.",
        [target(worst(LAG, LAG, 10, SOURCE), NAME)], unit="bytes", level=t.LAG, no_value=NO_LOG, links=[ONLY])


def silence():
    return graph(
        "When did a source speak last?", "Time since the last line"
        " (telltale_log_last_line_timestamp_seconds), of the 10 sources that are silent for longest. A source that"
        " is always busy and then silent has a writer that stopped.",
        [target(f"{AGE} and on ({SOURCE}) topk(10, time() - ({LAST_LINE} @ end()))", NAME)], unit="s",
        level=t.SOURCE_SILENT, no_value="no line was read", links=[ONLY])


def rotations():
    return counts(
        "How and when were files rotated?", "Rotations by method (telltale_log_rotations_total):"
        " rename, copytruncate, recreated; the 15 with most in the selected time. copytruncate destroys what is"
        " written between its copy and its truncation.", "telltale_log_rotations_total",
        SOURCE + ", method", NAME + " {{method}}", matchers="@source", keep=15, stack=True,
        no_value="no rotation in this time")


def losses():
    by = SOURCE + ", reason"
    return graph(
        "What is known to be lost?", "Bytes and messages that were not read and never will be, by"
        " reason (telltale_log_lost_bytes_total, telltale_log_lost_messages_total); the 10 with most of each.",
        [counted_in(f"telltale_log_lost_{what}_total", by, f"{NAME} {{{{reason}}}}, {what}", "@source")
         for what in ("bytes", "messages")],
        unit="locale", decimals=0, bars=True, level=t.LOG_LOST, no_value="nothing was lost")


def readable():
    ever = f"bottomk(12, min_over_time({UP}[$__range] @ end()) == 0)"
    return states(
        "When could a source not be read?", "Sources that could not be read at some time"
        " (telltale_log_source_up), 12 at most.",
        [target(or_none(f"{UP} and on ({SOURCE}) {ever}", "source", "all", UP, 1), NAME)],
        mappings=[READABLE], level=t.SOURCE_DOWN, no_value="every source could be read", legend=True)


def signatures():
    most = f"topk(15, sum by (signature) (max_over_time({MATCHED}[$__range] @ end())))"
    return graph(
        "Which signatures matched when?", f"Lines of the 10 minutes before, by signature, of the 15 signatures that had"
        f" most at a time; harmless ones are left out ({MATCHES}).",
        [target(f"sum by (signature) ({MATCHED}) and on (signature) {most}", "{{signature}}", step="10m")],
        unit="locale", decimals=0, bars=True, stack=True, no_value="no such line in this time")


def captures():
    by = "job, instance, signature, name, value"
    gain = gained("telltale_log_signature_captures_total", "$__range", by)
    columns = {
        "signature": ("Signature", column()), "name": ("Capture", column(width=160)),
        "value": ("Is", column(width=260)), "host": ("Host", column(width=170, links=[from_row("host")])),
        "Value": ("Times", column("locale", 0, width=120)),
    }
    return table(
        "Of whom or what did they speak?", "Named captures of matches by value, as the uid that sshd"
        " could not become (telltale_log_signature_captures_total); the 50 most frequent.",
        [f"topk(50, {gain} > 0)"], columns, sort=("Times", True),
        no_value="no signature captured a value in this time")


def rotated():
    columns = {
        "path": ("File", column()), "host": ("Host", column(width=170)),
        "Value": ("Last rotation", column(unit="dateTimeFromNow", width=160, left=True)),
    }
    return table(
        "When was each file rotated last?", "The files in logrotate's state that were rotated longest"
        " ago (telltale_logrotate_last_rotation_timestamp_seconds). A file that is never rotated fills"
        " the disk.",
        ["bottomk(50, 1000 * telltale_logrotate_last_rotation_timestamp_seconds{@host})"], columns,
        sort=("Last rotation", False), no_value="logrotate has no state here")


def logrotate_ran():
    return bars(
        "Does logrotate run at all?", "Time since logrotate wrote its state file"
        " (telltale_logrotate_state_timestamp_seconds); the 10 oldest. It should run each day.",
        "topk(10, max by (job, instance) (time() - telltale_logrotate_state_timestamp_seconds{@host}))",
        "{{instance}}", unit="s", decimals=0, level=t.LOGROTATE_STALE, maximum=t.LOGROTATE_STALE.warning * 1.2,
        no_value="logrotate has no state here", links=[from_series("host")])
