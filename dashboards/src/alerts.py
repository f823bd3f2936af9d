"""What fires, and when it began: the same on the fleet and on one host."""

import thresholds as t
from links import RUNBOOK, from_row
from panels import states, values
from query import ALERTS, FIRING, or_none, target
from tables import HIDDEN, column, table

SEVERITY = values(critical=("critical", t.RED), warning=("warning", t.ORANGE), info=("info", t.BLUE))
GRADE = values(v0=("none", t.FAINT), v1=("warning", t.ORANGE), v2=("critical", t.RED))
NOTHING = "no alert fires, or the rules are not loaded"
# What an alert is about besides its host; few have more than one of them.
ABOUT = ("user", "command", "cgroup", "ceiling", "namespace", "signature", "source", "key", "sender", "target", "path",
         "collector", "thread", "reason", "setting")
MOST_NAMES = 12
RULES_LOADED = "instance:telltale_worst_tasks_used:ratio{@host}"


def of_severity(severity: str) -> str:
    """How many fire; nothing instead of 0 where the rules are not loaded, for then nobody knows."""
    fire = FIRING.replace('"firing"', f'"firing", severity="{severity}"')
    return f"count({fire}) or 0 * count({RULES_LOADED})"


def what_is_wrong(title: str, one_host: bool = False):
    names = ", ".join(f'"{name}"' for name in ABOUT)
    since = f"1000 * ALERTS_FOR_STATE{{{ALERTS}, @host}} and ignoring (alertstate) {FIRING}"
    about = f'label_replace(label_join({since}, "about", " ", {names}), "about", "$1", "about", " *(.*?) *")'
    short = f'label_replace({about}, "alert", "$1", "alertname", "Telltale(.*)")'
    rows = f"topk(100, max by (severity, alertname, alert, job, instance, about) ({short}))"
    columns = {
        "severity": ("Severity", column(mappings=[SEVERITY], width=110)),
        "alert": ("Alert", column(links=[RUNBOOK], width=190)),
    }
    if not one_host:
        columns["host"] = ("Host", column(links=[from_row("host")], width=120))
    columns["about"] = ("About", column(wrap=True))
    columns["Value"] = ("Since", column(unit="dateTimeFromNow", width=130, left=True))
    columns["alertname"] = ("alertname", HIDDEN)
    return table(
        title, "Every firing alert, critical ones first, with what it is about and since when its condition"
        " holds (ALERTS, ALERTS_FOR_STATE). The alert leads to its runbook"
        + ("." if one_host else ", the host to its own dashboard."), [rows], columns,
        sort=[("Severity", False), ("Since", True)], no_value=NOTHING, host=not one_host)


def when_it_began(title: str, axis: int | None = None):
    critical = FIRING.replace('"firing"', '"firing", severity="critical"')
    grade = f"max by (alertname) (2 * {critical} or {FIRING})"
    at_end = "[$__range] @ end()"
    rank = f"max by (alertname) (2 * max_over_time({critical}{at_end}) or max_over_time({FIRING}{at_end}))"
    return states(
        title, "Alerts that fired, one row a name: critical or warning, of several hosts or things the worst"
        f" (ALERTS); {MOST_NAMES} names at most, critical ones before others.",
        [target(or_none(f"{grade} and on (alertname) topk({MOST_NAMES}, {rank})", "alertname", "none", RULES_LOADED),
                "{{alertname}}")],
        mappings=[GRADE], axis=axis, no_value="no alert fired, or the rules are not loaded")
