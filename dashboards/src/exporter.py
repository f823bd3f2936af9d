"""Exporter health: does what watches the hosts work itself, and what does it cost?"""

import thresholds as t
from board import Board
from links import from_row, from_series
from panels import column, graph, stat, states, table, values
from query import OUR_TARGETS, OURS, gained, target

UP = values(v0=("down", t.RED), v1=("up", t.GREEN))
OK = values(v0=("failing", t.RED), v1=("ok", t.GREEN))
RESTARTS = f"changes(process_start_time_seconds{{@host}}[30m]) {OURS}"
SCRAPE = f"scrape_duration_seconds{{@host}} {OUR_TARGETS}"
CPU = f"rate(process_cpu_seconds_total{{@host}}[$__rate_interval]) {OURS}"
NONE = "no exporter found"


def build():
    board = Board(
        "telltale-exporter", "Telltale / Exporter health",
        "Does the exporter answer, does each of its collectors work, and what does it cost? A host"
        " whose exporter is down is not watched.")
    board.section("Is it OK?", (4, *((panel, 3) for panel in answers())))
    board.section("Does it answer?", (8, (up(), 12), (collectors(), 12)),
                  (8, (scrapes(), 12), (durations(), 12)), (7, (hosts(), 24)))
    board.section("What does it cost?", (8, (cpu(), 8), (memory(), 8), (series(), 8)),
                  (8, (descriptors(), 8), (threads(), 8), (writes(), 8)), collapsed=True)
    board.section("How good are its numbers?", (8, (age(), 8), (partial(), 8), (configuration(), 8)),
                  (6, (panics(), 24)), collapsed=True)
    return board.build()


def answers():
    yield stat(
        "Exporters up", "How many exporters answer Prometheus now (up == 1).",
        f"sum((up{{@host}} == bool 1) {OUR_TARGETS})", no_value=NONE)
    yield stat(
        "Exporters down", "Targets that Prometheus cannot scrape, in every job that has a telltale"
        " exporter (up == 0).",
        f"sum((up{{@host}} == bool 0) {OUR_TARGETS})", level=t.EXPORTER_DOWN, no_value=NONE)
    yield stat(
        "Failing collectors", "Collectors that failed or did not answer in time"
        " (telltale_scrape_collector_success == 0); the others go on.",
        "sum(telltale_scrape_collector_success{@host} == bool 0)", level=t.COLLECTOR_FAILING,
        no_value=NONE)
    yield stat(
        "Restarts, 30 min", "Starts of the exporter that was restarted most often in the last 30 minutes"
        " (process_start_time_seconds).",
        f"max({RESTARTS})", level=t.RESTARTING, no_value=NONE)
    yield stat(
        "Slowest scrape", "Longest time that Prometheus waited for an answer now"
        " (scrape_duration_seconds).",
        f"max({SCRAPE})", unit="s", decimals=3, no_value=NONE)
    yield stat(
        "Most memory", "Resident memory of the largest exporter (process_resident_memory_bytes).",
        f"max(process_resident_memory_bytes{{@host}} {OURS})", unit="bytes", decimals=1,
        no_value="not told by this kernel")
    yield stat(
        "Most CPU", "CPU of the busiest exporter, in cores (process_cpu_seconds_total).",
        f"max({CPU})", unit="percentunit", decimals=2, no_value="not told by this kernel")
    yield stat(
        "Snapshots not written", "Snapshots of positions and counts that could not be written in the"
        " selected time (telltale_state_write_errors_total): a restart may then count from 0.",
        "sum(increase(telltale_state_write_errors_total{@host}[$__range]))", level=t.STATE_WRITES,
        no_value="no state is kept")


def up():
    return states(
        "When did it not answer?", "Whether Prometheus could scrape each exporter (up); the 20 worst"
        " at each moment.",
        [target(f"bottomk(20, up{{@host}} {OUR_TARGETS})", "{{instance}}")], mappings=[UP],
        level=t.EXPORTER_DOWN, no_value=NONE, links=[from_series("fleet")])


def collectors():
    return states(
        "When did which collector fail?", "Success of each collector of the hosts"
        " (telltale_scrape_collector_success); of several hosts the worst.",
        [target("min by (collector) (telltale_scrape_collector_success{@host})", "{{collector}}")],
        mappings=[OK], level=t.COLLECTOR_FAILING, no_value=NONE)


def scrapes():
    return graph(
        "How long does a scrape take?", "Time until the answer was complete (scrape_duration_seconds);"
        " the 10 slowest at each moment. Prometheus gives up after its scrape_timeout (10 s unless"
        " configured).",
        [target(f"topk(10, {SCRAPE})", "{{instance}}")], unit="s", no_value=NONE)


def durations():
    return graph(
        "Which collector takes how long?", "Duration of the last run by collector"
        " (telltale_scrape_collector_duration_seconds), of the slowest host. At 5 s it is shown as"
        " failed.",
        [target("max by (collector) (telltale_scrape_collector_duration_seconds{@host})",
                "{{collector}}")], unit="s", no_value=NONE)


def hosts():
    by = "job, instance"
    info = "telltale_exporter_build_info{@host}"
    rows = [
        ("Version", f"max by ({by}, version, revision) ({info})", None),
        ("Running for", f"max by ({by}) (time() - process_start_time_seconds{{@host}} {OURS})",
         column("s", 0)),
        ("Restarts, 30 min", f"max by ({by}) ({RESTARTS})", column("short", 0, t.RESTARTING)),
        ("Scrape", f"max by ({by}) ({SCRAPE})", column("s", 3)),
        ("Memory", f"max by ({by}) (process_resident_memory_bytes{{@host}} {OURS})",
         column("bytes", 1)),
        ("Failing collectors", f"sum by ({by}) (telltale_scrape_collector_success{{@host}} == bool 0)",
         column("short", 0, t.COLLECTOR_FAILING)),
    ]
    to = [from_row(name) for name in ("users", "audit", "logs")]
    columns = {"instance": ("Instance", column(links=to)), "version": ("Version", None),
               "revision": ("Revision", None)}
    for index, (heading, _, properties) in enumerate(rows[1:], 1):
        columns[f"Value #{chr(ord('A') + index)}"] = (heading, properties)
    columns["job"] = ("Job", None)
    return table(
        "What runs where?", "One line per exporter: version, since when it runs, how often it was"
        " restarted in the last 30 minutes, and what it takes.",
        [target(expr, table=True) for _, expr, _ in rows], columns, hide=("Value #A",),
        sort="Failing collectors", no_value=NONE)


def cpu():
    return graph(
        "How much CPU does it take?", "CPU in cores (process_cpu_seconds_total), user and system; the"
        " 10 busiest at each moment.",
        [target(f"topk(10, {CPU})", "{{instance}}")], unit="percentunit",
        no_value="not told by this kernel")


def memory():
    return graph(
        "How much memory does it take?", "Resident memory (process_resident_memory_bytes); the 10"
        " largest at each moment. It is bounded: growth over days is a fault of ours.",
        [target(f"topk(10, process_resident_memory_bytes{{@host}} {OURS})", "{{instance}}")],
        unit="bytes", no_value="not told by this kernel")


def series():
    return graph(
        "How many series does it give?", "Samples of a scrape (scrape_samples_scraped); the 10 largest"
        " at each moment. A host of 300 processes and 30 users stays under 1,000.",
        [target(f"topk(10, scrape_samples_scraped{{@host}} {OURS})", "{{instance}}")], unit="short",
        decimals=0, no_value=NONE)


def descriptors():
    return graph(
        "Does it run out of file descriptors?", "Open descriptors against what the process may have"
        " (process_open_fds / process_max_fds); the 10 fullest at each moment.",
        [target("topk(10, process_open_fds{@host} / on (job, instance) (process_max_fds{@host} > 0)"
                f" {OURS})", "{{instance}}")], unit="percentunit", maximum=1,
        no_value="not told by this kernel")


def threads():
    return graph(
        "Does it keep to its threads?", "Threads (process_threads); the 10 largest. Constant after the"
        " start: it must work when nobody can fork.",
        [target(f"topk(10, process_threads{{@host}} {OURS})", "{{instance}}")], unit="short",
        decimals=0, no_value="not told by this kernel")


def writes():
    return graph(
        "Can it write its state?", "Snapshots that could not be written"
        " (telltale_state_write_errors_total); the 10 worst at each moment. A full or hanging disk.",
        [target("topk(10, increase(telltale_state_write_errors_total{@host}[$__rate_interval]) > 0)",
                "{{instance}}")], unit="short", decimals=0, bars=True, level=t.STATE_WRITES,
        no_value="all were written")


def age():
    return graph(
        "How old is the audit status shown?", "Age of the status (telltale_audit_status_age_seconds);"
        " the 10 oldest at each moment. More than a few seconds is normal only while a queue"
        " overflows.",
        [target("topk(10, telltale_audit_status_age_seconds{@host})", "{{instance}}")], unit="s",
        level=t.AUDIT_AGE, no_value="no host shows its audit", links=[from_series("audit")])


def partial():
    return graph(
        "Where are the users' numbers partial?", "Processes that exist but could not be read"
        " (telltale_users_unreadable_processes): hidepid without CAP_SYS_PTRACE; the 10 worst.",
        [target("topk(10, telltale_users_unreadable_processes{@host} > 0)", "{{instance}}")],
        unit="short", decimals=0, level=t.PARTIAL, no_value="every process can be read",
        links=[from_series("users")])


def panics():
    by = "job, instance, thread"
    gain = gained("telltale_thread_panics_total", "$__rate_interval", by)
    return graph(
        "Did a thread of the exporter panic?", "Panics by thread (telltale_thread_panics_total): bugs, after which"
        " the thread is taken up again; the exporter's page says where.",
        [target(f"topk(10, {gain})", "{{instance}} {{thread}}")], unit="short", decimals=0, bars=True,
        level=t.PANICS, no_value="no thread panicked")


def configuration():
    return states(
        "Does the configuration on disk run?", "Whether the last start or SIGHUP took configuration and"
        " catalogue (telltale_config_last_reload_successful); the 20 worst at each moment. When one was"
        " last taken is telltale_config_last_reload_success_timestamp_seconds.",
        [target("bottomk(20, telltale_config_last_reload_successful{@host})", "{{instance}}")],
        mappings=[OK], no_value=NONE)
