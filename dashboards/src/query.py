"""PromQL of the dashboards: selectors, targets, and the few idioms that more than one panel needs.

Expressions are written with short names for the matchers that every selector must have:

    @host    job=~"$job", instance=~"$instance"
    @user    the same and user=~"$user"
    @source  the same and source=~"$source"
"""

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import common, prometheus as model

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")

HOST = 'job=~"$job", instance=~"$instance"'
MATCHERS = {
    "@host": HOST,
    "@user": HOST + ', user=~"$user"',
    "@source": HOST + ', source=~"$source"',
}

ALERTS = 'alertname=~"Telltale.+"'

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


def target(expr: str, legend: str = "", instant: bool = False, table: bool = False):
    """One query; `table` asks for its labels as columns."""
    query = prometheus.Dataquery().expr(promql(expr)).datasource(DATASOURCE)
    query = query.editor_mode(model.QueryEditorMode.CODE)
    query = query.legend_format(legend or "__auto")
    if table:
        query = query.format(model.PromQueryFormat.TABLE)
    return query.instant() if instant or table else query.range()


def gained(metric: str, window: str, by: str, matchers: str = "@host") -> str:
    """By how much counters grew, those included that were born within the window.

    A counter with labels from outside (who killed whom) appears with its first event, which
    increase() cannot see: such a series counts in full, if its exporter was seen before.
    """
    series = f"{metric}{{{matchers}}}"
    seen = f"and on (job, instance) telltale_exporter_build_info{{@host}} offset {window}"
    born = f"({series} unless {series} offset {window}) {seen}"
    return f"sum by ({by}) ({born} or increase({series}[{window}]))"


# Recorded by the rules that come with the dashboards, so that both say the same.
USER_USE = "user:telltale_tasks_used:ratio{@user}"
USER_LIMIT = "user:telltale_tasks_limit:min{@user}"
CGROUP_USE = "cgroup:telltale_tasks_used:ratio{@host}"
HOST_USE = "instance:telltale_tasks_used:ratio{@host}"
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
# Audit is required, but is off, unheard, or unknown.
BLIND = ("telltale_audit_required{@host} == 1 unless on (job, instance)"
         " (telltale_audit_enabled{@host} > 0 and on (job, instance)"
         " telltale_audit_daemon_up{@host} == 1)")


def per_host(text: str) -> str:
    """The same without the choice of users, which the fleet has not."""
    return text.replace("@user", "@host")
