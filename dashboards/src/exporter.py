"""Exporter health: does what watches the hosts work itself, and what does it cost?"""

import thresholds as t
from board import Board
from links import from_row, from_series
from panels import counts, graph, stat, states, values
from query import OUR_TARGETS, OURS, or_none, target, worst
from tables import column, lettered, table

UP = values(v0=("down", t.RED), v1=("up", t.FAINT))
OK = values(v0=("failing", t.RED), v1=("ok", t.FAINT))
HOST = "job, instance"
TARGETS = f"(up{{@host}} {OUR_TARGETS})"
RESTARTS = f"changes(process_start_time_seconds{{@host}}[30m]) {OURS}"
SCRAPE = f"scrape_duration_seconds{{@host}} {OUR_TARGETS}"
INFO = "telltale_exporter_build_info{@host}"
WORKS = "telltale_scrape_collector_success{@host}"
NONE = "no exporter found"
HERE = from_series("host")


def build():
    board = Board(
        "telltale-exporter", "Telltale / Exporter health",
        "Does the exporter answer, does each of its collectors work, and what does it cost? A host"
        " whose exporter is down is not watched.")
    board.tile_row(answers())
    board.top((6, (up(), 12), (collectors(), 12)), (10, (hosts(), 24)), (8, (scrapes(), 12), (durations(), 12)))
    board.section("What does it cost?", (8, (cpu(), 24)), (8, (memory(), 24)), (8, (series(), 24)), collapsed=True)
    board.section("How good are its numbers?", (8, (age(), 24)), (8, (partial(), 24)),
                  (7, (configuration(), 12), (writes(), 12)), (6, (panics(), 24)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Up", "How many exporters answer Prometheus now, of all in the jobs that have one (up == 1).",
        f'sum({TARGETS} == bool 1) + on () group_left (all) 0 * count_values("all", count({TARGETS}))',
        legend="of {{all}}")
    yield stat(
        "Down", "Targets that Prometheus cannot scrape, in every job that has a telltale"
        " exporter (up == 0).", f"sum({TARGETS} == bool 0)", level=t.EXPORTER_DOWN)
    yield stat(
        "Failing", "Collectors that failed or did not answer in time"
        " (telltale_scrape_collector_success == 0); the others go on.",
        f"sum({WORKS} == bool 0)", level=t.COLLECTOR_FAILING)
    yield stat(
        "Restarts", "Starts of the exporter that was restarted most often in the last 30 minutes"
        " (process_start_time_seconds).", f"max({RESTARTS})", level=t.RESTARTING)
    yield stat(
        "Slowest", "Longest time that Prometheus waited for an answer now, and of whom (scrape_duration_seconds).",
        f"topk(1, {SCRAPE})", legend="{{instance}}", unit="s", links=[HERE])
    yield stat(
        "Unsaved", "Snapshots of positions and counts that could not be written in the"
        " selected time (telltale_state_write_errors_total): a restart may then count from 0.",
        "sum(increase(telltale_state_write_errors_total{@host}[$__range]))", unit="locale", level=t.STATE_WRITES)


def up():
    ever = "bottomk(12, min_over_time(up{@host}[$__range] @ end()) == 0)"
    return states(
        "When did an exporter not answer?", "Exporters that Prometheus could not scrape at some time (up), 12 at most.",
        [target(or_none(f"{TARGETS} and on ({HOST}) {ever}", "instance", "all", TARGETS, 1), "{{instance}}")], mappings=[UP],
        level=t.EXPORTER_DOWN, no_value="each has answered all the time", links=[HERE])


def collectors():
    by = "job, instance, collector"
    ever = f"bottomk(12, min_over_time({WORKS}[$__range] @ end()) == 0)"
    return states(
        "When did a collector fail?", "Collectors that failed at some time"
        " (telltale_scrape_collector_success), 12 at most.",
        [target(or_none(f"{WORKS} and on ({by}) {ever}", "collector", "all", WORKS, 1), "{{instance}} {{collector}}")],
        mappings=[OK], level=t.COLLECTOR_FAILING, no_value="none has failed", links=[HERE])


def scrapes():
    duration = "scrape_duration_seconds{@host}"
    return graph(
        "How long does a scrape take?", "Time until the answer was complete (scrape_duration_seconds), of"
        " the 10 that were slowest in the selected time. Prometheus gives up after its scrape_timeout (10 s unless"
        " configured).",
        [target(f"{SCRAPE} and on ({HOST}) topk(10, max_over_time({duration}[$__range] @ end()) {OURS})", "{{instance}}")],
        unit="s", decimals=0, no_value=NONE, narrow=True)


def durations():
    return graph(
        "Which collector takes how long?", "Duration of the last run by collector"
        " (telltale_scrape_collector_duration_seconds), of the slowest host. At 5 s it is shown as"
        " failed.",
        [target("max by (collector) (telltale_scrape_collector_duration_seconds{@host})",
                "{{collector}}")], unit="s", decimals=0, no_value=NONE, narrow=True)


def hosts():
    # The version that most run says nothing; one that few run is where an update was forgotten.
    rare = f"count by (job, version) ({INFO})"
    rows = [
        ("Running it", f"bottomk(100, max by ({HOST}, version, revision)"
         f" ({INFO} * 0 + on (job, version) group_left () {rare}))", column("none", 0, width=110)),
        ("Failing", f"sum by ({HOST}) ({WORKS} == bool 0) > 0", column("none", 0, t.COLLECTOR_FAILING, width=90)),
        ("Restarts", f"max by ({HOST}) ({RESTARTS}) > 0", column("none", 0, t.RESTARTING, width=100)),
        ("Runs for", f"max by ({HOST}) (time() - process_start_time_seconds{{@host}} {OURS})",
         column("s", 1, width=130)),
        ("Scrape", f"max by ({HOST}) ({SCRAPE})", column("s", 3, width=110)),
        ("Memory", f"max by ({HOST}) (process_resident_memory_bytes{{@host}} {OURS})",
         column("bytes", 1, width=110)),
    ]
    cells = lettered(rows)
    first = cells.pop("Value #A")
    columns = {"host": ("Host", column(links=[from_row("host")])), "version": ("Version", column(width=120)),
               "Value #A": first} | cells | {"revision": ("Revision", column(width=150))}
    shown = f"and on ({HOST}) {INFO}"
    return table(
        "What runs where?", "One line per exporter: version and how many run the same, since when it runs, how often it"
        " was restarted in the last 30 minutes, and what it takes. Rare versions first, 100 at most.",
        [expr if index == 0 else f"{expr} {shown}" for index, (_, expr, _) in enumerate(rows)], columns,
        sort=[("Running it", False), ("Failing", True)], no_value=NONE)


def cpu():
    return graph(
        "How much CPU does it take?", "CPU in cores (process_cpu_seconds_total), user and system, of the"
        " 10 busiest in the selected time.",
        [target(f"rate(process_cpu_seconds_total{{@host}}[$__rate_interval]) and on ({HOST})"
                f" topk(10, increase(process_cpu_seconds_total{{@host}}[$__range] @ end()) {OURS})", "{{instance}}")], unit="percentunit",
        no_value="not told by this kernel")


def memory():
    return graph(
        "How much memory does it take?", "Resident memory (process_resident_memory_bytes), of the 10"
        " largest in the selected time. It is bounded: growth over days is a fault of ours.",
        [target(f"process_resident_memory_bytes{{@host}} and on ({HOST}) topk(10, max_over_time("
                f"process_resident_memory_bytes{{@host}}[$__range] @ end()) {OURS})", "{{instance}}")],
        unit="bytes", no_value="not told by this kernel")


def series():
    return graph(
        "How many series does it give?", "Samples of a scrape (scrape_samples_scraped), of the 10 largest"
        " in the selected time. A host of 300 processes and 30 users stays under 1,000.",
        [target(f"scrape_samples_scraped{{@host}} and on ({HOST}) topk(10, max_over_time("
                f"scrape_samples_scraped{{@host}}[$__range] @ end()) {OURS})", "{{instance}}")], unit="locale",
        decimals=0, no_value=NONE)


def writes():
    return counts(
        "Can it write its state?", "Snapshots that could not be written"
        " (telltale_state_write_errors_total); the 10 with most in the selected time. A full or hanging disk.",
        "telltale_state_write_errors_total", HOST, "{{instance}}", level=t.STATE_WRITES, no_value="all were written",
        narrow=True)


def age():
    metric = "telltale_audit_status_age_seconds{@host}"
    return graph(
        "How old is the audit status shown?", "Age of the status (telltale_audit_status_age_seconds), of the 10"
        " that were oldest in the selected time. More than a few seconds is normal only while a queue overflows.",
        [target(worst(metric, metric, 10), "{{instance}}")], unit="s",
        level=t.AUDIT_AGE, no_value="no host shows its audit", links=[HERE])


def partial():
    metric = "telltale_users_unreadable_processes{@host}"
    return graph(
        "Where are the users' numbers partial?", "Processes that exist but could not be read"
        " (telltale_users_unreadable_processes): hidepid without CAP_SYS_PTRACE; the 10 with most.",
        [target(worst(f"{metric} > 0", metric, 10), "{{instance}}")],
        unit="locale", decimals=0, level=t.PARTIAL, no_value="every process can be read", links=[HERE])


def panics():
    return counts(
        "Did a thread of the exporter panic?", "Panics by thread (telltale_thread_panics_total): bugs, after which"
        " the thread is taken up again; the exporter's page says where.", "telltale_thread_panics_total",
        "job, instance, thread", "{{instance}} {{thread}}", level=t.PANICS, no_value="no thread panicked")


def configuration():
    taken = "telltale_config_last_reload_successful{@host}"
    return states(
        "Where was the configuration refused?", "Exporters whose last start or SIGHUP did not take configuration and"
        " catalogue at some time (telltale_config_last_reload_successful), 12 at most. When one was"
        " last taken is telltale_config_last_reload_success_timestamp_seconds.",
        [target(or_none(f"{taken} and on ({HOST}) bottomk(12, min_over_time({taken}[$__range] @ end()) == 0)",
                        "instance", "all", taken, 1), "{{instance}}")],
        mappings=[OK], level=t.CONFIG_REFUSED, no_value="every configuration was taken")
