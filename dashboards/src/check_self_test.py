"""Proof that check.py catches what it promises: a good dashboard is broken once or more per rule."""

import copy
import json
import re

import check
import links
import lint_panels
from queries import files, panels

GOOD = "users.json"


def of_type(board, kind):
    """The first panel of a type."""
    return next(panel for panel, _, _ in panels(board) if panel["type"] == kind)


def first(board):
    return of_type(board, "stat")


def graph(board):
    return of_type(board, "timeseries")


def linked(board):
    """The first panel with a data link of its own."""
    return next(p for p, _, _ in panels(board) if lint_panels.defaults(p).get("links"))


def with_steps(board):
    return next(p for p, _, _ in panels(board) if p["type"] == "timeseries" and lint_panels.steps_of(p))


def variable(board, name):
    return next(each for each in board["templating"]["list"] if each["name"] == name)


def ask(expr, panel=graph):
    """A breakage: the panel asks this instead."""
    def broken(board):
        panel(board)["targets"][0]["expr"] = expr
    return broken


def put(where, **values):
    """A breakage: other values in some part of the dashboard; None takes one away."""
    def broken(board):
        part = where(board)
        for key, value in values.items():
            part.pop(key, None) if value is None else part.update({key: value})
    return broken


def of_defaults(find, **values):
    return put(lambda board: lint_panels.defaults(find(board)), **values)


def whole(board):
    return board


HOST = '{job=~"$job", instance=~"$instance", user=~"$user"}'
TASKS = "telltale_user_tasks" + HOST
FORKS = "telltale_user_forks_total" + HOST
BY_STATE = "sum by (state) ({})"
ELSEWHERE = {"type": "prometheus", "uid": "PBFA97CFB590B2093"}


def link(url):
    return of_defaults(linked, links=[{"title": "There", "url": url}])


def words(board):
    panel = first(board)
    lint_panels.defaults(panel)["mappings"] = [
        {"type": "value", "options": {"0": {"color": "red", "index": 0}}}]


def same_letter(board):
    panel = next(p for p, _, _ in panels(board) if len(p.get("targets") or []) > 1)
    panel["targets"][1]["refId"] = panel["targets"][0]["refId"]


def no_column(board):
    table = of_type(board, "table")
    url = ("/d/telltale-users?var-datasource=${datasource}&var-job=${__data.fields.nobody}"
           "&${__url_time_range}")
    lint_panels.defaults(table)["links"] = [{"title": "There", "url": url}]


def two_rows_open(board):
    for panel, _, _ in list(panels(board)):
        panel["targets"] = (panel.get("targets") or []) * 3


BROKEN = [
    ("schema", put(whole, nonsense=1)),
    ("schema", put(lambda board: graph(board)["targets"][0], step=60)),
    ("dashboard_frame", put(whole, editable=True)),
    ("dashboard_frame", put(whole, uid="users")),
    ("dashboard_frame", put(whole, description=None)),
    ("dashboard_frame", put(whole, tags=[])),
    ("dashboard_frame", put(whole, refresh="5s")),
    ("dashboard_frame", put(whole, id=17)),
    ("dashboard_frame", put(whole, schemaVersion=16)),
    ("dashboard_frame", put(whole, __inputs=[])),
    ("template_datasource", put(lambda board: variable(board, "datasource"), name="ds")),
    ("template_query", put(lambda board: variable(board, "job"), allValue=None)),
    ("template_query", put(lambda board: variable(board, "instance"), multi=False)),
    ("template_query", put(lambda board: variable(board, "user"), sort=0)),
    ("template_query", put(lambda board: variable(board, "user"), datasource=ELSEWHERE)),
    ("template_query", put(lambda board: variable(board, "instance"),
                           query="label_values(telltale_exporter_build_info, instance)")),
    ("template_on_time_change_reload", put(lambda board: variable(board, "job"), refresh=1)),
    ("no_annotations", lambda board: board["annotations"].update(list=[{"name": "Alerts", "expr": "up"}])),
    ("links_both_ways", put(whole, links=[])),
    ("links_both_ways", put(lambda board: board["links"][0], keepTime=False)),
    ("unique_ids", put(graph, id=1)),
    ("grid", put(lambda board: graph(board)["gridPos"], w=11)),
    ("grid", put(lambda board: graph(board)["gridPos"], x=3)),
    ("few_queries", two_rows_open),
    ("answers_first", put(first, type="gauge")),
    ("core_panels", put(graph, type="graph")),
    ("panel_title_description", put(graph, title="")),
    ("panel_title_description", put(graph, description="Tasks")),
    ("panel_title_description", put(lambda board: of_type(board, "text")["options"], content="")),
    ("panel_datasource", put(graph, datasource=ELSEWHERE)),
    ("panel_datasource", put(lambda board: graph(board)["targets"][0], datasource=None)),
    ("panel_units", of_defaults(graph, unit="jiffies")),
    ("panel_units", of_defaults(graph, unit="percentunit", min=None)),
    ("panel_units", of_defaults(first, decimals=None)),
    ("panel_no_value", of_defaults(graph, noValue=None)),
    ("panel_no_targets", put(graph, targets=[])),
    ("panel_no_targets", same_letter),
    ("panel_legend", put(lambda board: graph(board)["targets"][0], legendFormat="__auto")),
    ("panel_legend", put(lambda board: graph(board)["options"]["tooltip"], mode="single")),
    ("panel_thresholds", put(with_steps, description="How full it is, without a word of alerts.")),
    ("panel_thresholds", put(with_steps, description="Alert: TelltaleOfNobody, which is not there.")),
    ("panel_thresholds", lambda board: lint_panels.defaults(with_steps(board))["thresholds"]["steps"]
     .append({"value": 0.42, "color": "red"})),
    ("panel_thresholds", lambda board: lint_panels.defaults(with_steps(board))["custom"]
     .pop("thresholdsStyle")),
    ("panel_mappings", words),
    ("panel_links", link("/d/elsewhere?var-datasource=${datasource}&${__url_time_range}")),
    ("panel_links", link("/d/telltale-users?var-datasource=${datasource}")),
    ("panel_links", link("/d/telltale-users?var-datasource=${datasource}&var-host=a"
                         "&${__url_time_range}")),
    ("panel_links", no_column),
    ("panel_links", link("${__field.labels.url}")),
    ("panel_links", link(links.RUNBOOK["url"])),
    ("target_promql", ask("sum(")),
    ("target_promql", put(lambda board: variable(board, "job"), query="label_values(up{, job)")),
    ("target_variables", ask('sum(telltale_user_tasks{job=~"$job", instance=~"$host"})')),
    ("target_rate_interval", ask(BY_STATE.format(f"rate({FORKS}[5m])"))),
    ("target_rate_interval", ask(BY_STATE.format(f"increase({FORKS}[1h])"))),
    ("target_least_step", put(lambda board: graph(board)["targets"][0], interval=None)),
    ("target_rate_interval", ask(BY_STATE.format(f"increase({FORKS}[$__interval])"))),
    ("answers_first", put(first, title="The fullest user of all")),
    ("answers_first", put(lambda board: first(board)["gridPos"], w=3)),
    ("target_counter_agg", ask(BY_STATE.format(FORKS))),
    ("target_counter_agg", ask(BY_STATE.format(f"rate({TASKS}[$__rate_interval])"))),
    ("target_counter_agg", ask(BY_STATE.format(f"{FORKS} unless {TASKS} offset 5m"))),
    ("target_job_instance", ask('sum(telltale_user_tasks{instance=~"$instance", user=~"$user"})')),
    ("target_job_instance", ask('sum(telltale_user_tasks{job=~"$job", instance="a", user=~"$user"})')),
    ("target_extra", ask('sum(telltale_user_tasks{job=~"$job", instance=~"$instance"})')),
    ("target_division", ask(f"sum({TASKS}) / sum({TASKS})")),
    ("target_bounded", ask(TASKS)),
    ("target_bounded", ask(f"topk(50, {TASKS})")),
    ("target_bounded", ask(f"sum by (user) ({TASKS})")),
]


def self_test() -> int:
    """0 when the good one passes and each broken one is found by the rule that it breaks."""
    good = json.loads(next(path for path in files() if path.name == GOOD).read_text())
    every = {step for panel, _, _ in panels(good) for step in lint_panels.steps_of(panel)}
    alerts = {name: every for panel, _, _ in panels(good)
              for name in re.findall(r"Telltale[A-Z]\w+", lint_panels.description_of(panel, good))}
    failures = [f"{GOOD} itself: {rule}: {message}" for rule, message in check.findings(good, alerts)]
    for index, (rule, breakage) in enumerate(BROKEN):
        board = copy.deepcopy(good)
        breakage(board)
        if rule not in {name for name, _ in check.findings(board, alerts)}:
            failures.append(f"breakage {index} was not caught by {rule}")
    untried = {name for name, _ in check.rules()} - {rule for rule, _ in BROKEN}
    failures += [f"no breakage for the rule {name}" for name in sorted(untried)]
    print("\n".join(failures) if failures else
          f"{len(BROKEN)} broken dashboards caught, by each of {len(list(check.rules()))} rules")
    return 1 if failures else 0
