"""PromQL of the dashboards: selectors, targets, and the few idioms that more than one panel needs.

Expressions are written with short names for the matchers that every selector must have:

    @host    job=~"$job", instance=~"$instance"
    @user    the same and user=~"$user"
    @lines   without the signatures that count something else than lines
    @source  the same and source=~"$source"
"""

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import common, prometheus as model

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

HOST = 'job=~"$job", instance=~"$instance"'
MATCHERS = {
    "@host": HOST,
    "@user": HOST + ', user=~"$user"',
    # What a line says that was suppressed is no number of lines.
    "@lines": 'signature!~"audit-callbacks-suppressed|audit-printk-suppressed|net-ratelimit-suppressed"',
    "@source": HOST + ', source=~"$source"',
}

ALERTS = 'alertname=~"Telltale.+"'
FIRING = f'ALERTS{{{ALERTS}, alertstate="firing", @host}}'
# What Grafana takes for the scrape interval: rates work for scrapes every 15 to 60 s.
LEAST_STEP = "1m"
# A bar of what happened is seen on a screen of hours.
LEAST_BAR = "5m"

# A target that is ours, even while it is down: as the alert TelltaleExporterDown sees it.
OUR_TARGETS = ('and on (job, instance) (up{@host, job=~"telltale.*"}'
               " or last_over_time(telltale_exporter_build_info{@host}[1d])"
               ' or last_over_time(ALERTS{@host, alertname="TelltaleExporterDown", alertstate="firing"}[6h]))')

# Metrics that every exporter has (process_*, scrape_*): only ours.
OURS = "and on (job, instance) telltale_exporter_build_info{@host}"


def promql(text: str) -> str:
    """An expression on one line, with the matchers written out."""
    text = " ".join(text.split())
    for name, matchers in MATCHERS.items():
        text = text.replace(name, matchers)
    return text


def target(expr: str, legend: str = "", instant: bool = False, table: bool = False, step: str = LEAST_STEP):
    """One query; `table` asks for its labels as columns."""
    query = prometheus.Dataquery().expr(promql(expr)).datasource(DATASOURCE)
    query = query.editor_mode(model.QueryEditorMode.CODE)
    query = query.legend_format(legend or "__auto")
    if table:
        query = query.format(model.PromQueryFormat.TABLE)
    return query.instant() if instant or table else query.range().interval(step)


def named(expr: str) -> str:
    """With the label `host`: the instance without the default port, which says nothing."""
    return f'label_replace({expr}, "host", "$1", "instance", "(.+?)(:10121)?")'


def worst(expr: str, recorded: str, keep: int, on: str = "job, instance", least: bool = False) -> str:
    """The series of the few that were worst at any moment of the selected time, so that lines do not come and go."""
    rank, extreme = ("bottomk", "min") if least else ("topk", "max")
    return f"{expr} and on ({on}) {rank}({keep}, {extreme}_over_time({recorded}[$__range] @ end()))"


def or_none(expr: str, label: str, name: str, known: str, value: int = 0) -> str:
    """The same, or a series named so where there is nothing to show and that is known: a state timeline without any
    series says «no time field» instead of our sentence."""
    return f'{expr} or on () label_replace({value} + 0 * group({known}), "{label}", "{name}", "", "")'


def gained(metric: str, window: str, by: str, matchers: str = "@host", at: str = "") -> str:
    """By how much counters grew, those included that were born within the window.

    A counter with labels from outside (who killed whom) appears with its first event, which
    increase() cannot see: such a series counts in full, if its exporter was seen before.
    """
    series = f"{metric}{{{matchers}}}"
    seen = f"and on (job, instance) telltale_exporter_build_info{{@host}} offset {window}{at}"
    born = f"({series}{at} unless {series} offset {window}{at}) {seen}"
    return f"sum by ({by}) ({born} or increase({series}[{window}]{at}))"


def counted_in(metric: str, by: str, legend: str, matchers: str = "@host", keep: int = 10):
    """What was counted in each step, of those with most in the selected time."""
    step = gained(metric, "$__interval", by, matchers)
    most = gained(metric, "$__range", by, matchers, " @ end()")
    return target(f"{step} > 0 and on ({by}) topk({keep}, {most} > 0)", legend, step=LEAST_BAR)


# Recorded by the rules that come with the dashboards, so that both say the same.
WHO = "job, instance, user, uid"
USER_USE = "user:telltale_tasks_used:ratio{@user}"
USER_LIMIT = "user:telltale_tasks_limit:min{@user}"
CGROUP_USE = "cgroup:telltale_tasks_used:ratio{@host}"
HOST_USE = "instance:telltale_tasks_used:ratio{@host}"
# The same with who or what it is, in the label `what`.
NEAREST = "instance:telltale_nearest_limit:ratio{@host}"
WORST_USE = "instance:telltale_worst_tasks_used:ratio{@host}"
BACKLOG_USE = "instance:telltale_audit_backlog_used:ratio{@host}"
NO_RULES = "or the recording rules are not loaded"

# Processes that cannot fork, of users who are at a limit: a daemon that forbade itself to fork by a
# limit below 16 is no trouble.
BLOCKED = ("telltale_user_processes_blocked{@user} * on (job, instance, user, uid)"
           f" (telltale_user_tasks{{@user}} >= bool on (job, instance, user, uid) {USER_LIMIT})")
# Room under each ceiling, without that of such a daemon under its own limit.
ROOM = ("(telltale_user_fork_headroom_tasks{@user} unless on (job, instance, user, uid, ceiling)"
        ' label_replace(telltale_user_tasks_limit{@user, bound="lowest"} < 16,'
        ' "ceiling", "rlimit", "", ""))')
# Lines of known meaning: recorded, for a host has hundreds of series of them. MATCHED has what there was within the
# last 10 minutes at each moment, and only of signatures that had something.
MATCHED = "signature:telltale_log_matches:increase10m{@host, @lines}"
LINES = "instance:telltale_log_matches_total:sum{@host}"


def of_lines(matchers: str) -> str:
    """MATCHED of some of the signatures."""
    return MATCHED.replace("}", f", {matchers}}}")


def matched(matchers: str) -> str:
    """How many lines of known meaning there were in the selected time, by signature.

    Looked at each 2 minutes a line is seen 5 times; the last 10 minutes are at least what they are now.
    """
    now = of_lines(matchers)
    looks = f"sum_over_time({now}[$__range:2m]) / 5"
    return f"({looks} > {now} or {now} or {looks})"


def per_host(text: str) -> str:
    """The same without the choice of users, which the fleet has not."""
    return text.replace("@user", "@host")
