"""Rules about each panel: what it says, in which unit, when it is bad, and where it leads."""

import re

from grafana_foundation_sdk.models import units
from links import OWN_PAGE, RUNBOOK
from lint_board import UIDS, USES, variables
from queries import panels
from thresholds import JUST

CORE = {"timeseries", "stat", "gauge", "bargauge", "table", "heatmap", "state-timeline", "text"}
UNITS = {value for name, value in vars(units).items()
         if isinstance(value, str) and not name.startswith("_")}
PERCENT = {"percent", "percentunit"}


def defaults(panel):
    return panel.get("fieldConfig", {}).get("defaults", {})


def properties(panel):
    """Override properties of a panel: (name of the field, property, value)."""
    for override in panel.get("fieldConfig", {}).get("overrides") or []:
        for each in override["properties"]:
            yield override["matcher"]["options"], each["id"], each["value"]


def description_of(panel, board):
    """What its sign says; of a tile of the first row, its line in the words at the end."""
    if panel["type"] != "stat":
        return panel.get("description") or ""
    words = (each["options"].get("content", "") for each, _, _ in panels(board) if each["type"] == "text")
    start = f"* **{panel['title']}**: "
    return next((line[len(start):] for text in words for line in text.splitlines() if line.startswith(start)), "")


def core_panels(panel, _):
    """Checklist 10: no plugins, nothing that Grafana drops."""
    if panel["type"] not in CORE:
        yield f"type {panel['type']} is not a core panel"


def panel_title_description(panel, context):
    """Checklist 6: what it shows, from which metric, and what is bad."""
    if not panel.get("title"):
        yield "no title"
    text = description_of(panel, context.board)
    if len(text) < 40 or not text.endswith("."):
        yield "no description of whole sentences"


def panel_datasource(panel, _):
    """Checklist 2: the chosen data source, everywhere."""
    for each in [panel, *panel.get("targets", [])]:
        if (each.get("datasource") or {}).get("uid") != USES:
            yield f"{'a query' if 'expr' in each else 'the panel'} does not use {USES}"


def panel_units(panel, _):
    """A unit that Grafana knows; percentages begin at 0; single numbers have decimals."""
    if panel["type"] == "text":
        return
    found = [defaults(panel).get("unit")] + [v for _, p, v in properties(panel) if p == "unit"]
    for unit in found:
        if unit not in UNITS and not str(unit).startswith(("suffix:", "prefix:")):
            yield f"unit {unit!r} is unknown to Grafana"
    graph = panel["type"] in ("timeseries", "bargauge", "gauge")
    if graph and defaults(panel).get("unit") in PERCENT and defaults(panel).get("min") != 0:
        yield "percentages without min 0"
    if panel["type"] in ("stat", "bargauge", "gauge") and "decimals" not in defaults(panel):
        yield "a single number without decimals"


def panel_no_value(panel, _):
    """Checklist 6: an empty panel says what that means."""
    if panel["type"] != "text" and not defaults(panel).get("noValue"):
        yield "no text for when there is no data"


def panel_no_targets(panel, _):
    """Something is asked, and each query has its own letter."""
    letters = [each.get("refId") for each in panel.get("targets") or []]
    if panel["type"] != "text" and not letters:
        yield "no query"
    if len(set(letters)) != len(letters):
        yield "two queries with the same letter"


def panel_legend(panel, _):
    """Checklist 8: lines have names of ours."""
    if panel["type"] in ("timeseries", "bargauge", "state-timeline"):
        for each in panel.get("targets") or []:
            if each.get("legendFormat", "__auto") in ("", "__auto"):
                yield f"query {each['refId']} has no legend"
    if panel["type"] == "timeseries":
        if panel.get("options", {}).get("tooltip", {}).get("mode") != "multi":
            yield "the tooltip shows one line only"


def steps_of(panel):
    """All numbers of its thresholds, those of columns included."""
    found = [defaults(panel).get("thresholds")]
    found += [value for _, name, value in properties(panel) if name == "thresholds"]
    return [step["value"] for each in found if each for step in each["steps"]
            if step.get("value") is not None]


def panel_thresholds(panel, context):
    """Checklist 7: the numbers of the alerts that the description names; drawn in graphs."""
    steps = steps_of(panel)
    style = defaults(panel).get("custom", {}).get("thresholdsStyle", {}).get("mode", "off")
    if steps and panel["type"] == "timeseries" and style == "off":
        yield "thresholds are not drawn"
    of_alerts = any("ALERTS{" in each["expr"] for each in panel.get("targets") or [])
    named = re.findall(r"\bTelltale[A-Z]\w+", description_of(panel, context.board))
    if steps and not named and not of_alerts:
        yield "has thresholds, but its description names no alert"
    if context.alerts is None:
        return
    for name in named:
        if name not in context.alerts:
            yield f"names the alert {name}, which does not exist"
    numbers = {number for name in named for number in context.alerts.get(name, ())}
    for step in steps:
        more_than_none = step <= JUST  # of what the alert is about, as a count of users near a limit
        if not of_alerts and not more_than_none and not any(
                abs(step - number) <= JUST for number in numbers):
            yield f"threshold {step} is in none of the alerts {', '.join(named)}"


def panel_mappings(panel, _):
    """Checklist 7: states have words; colour is not the only sign."""
    mappings = [defaults(panel).get("mappings") or []]
    mappings += [value for _, name, value in properties(panel) if name == "mappings"]
    if panel["type"] == "state-timeline" and not mappings[0]:
        yield "states without words"
    for each in (one for found in mappings for one in found if one["type"] == "value"):
        if any(not result.get("text") for result in each["options"].values()):
            yield "a value with a colour and no word"


def panel_links(panel, context):
    """Data links lead to dashboards of ours, with data source and time, by fields that exist."""
    links = list(defaults(panel).get("links") or [])
    for _, name, value in properties(panel):
        links += value if name == "links" else []
    columns = set()
    for each in panel.get("transformations") or []:
        columns |= set(each["options"].get("indexByName") or {})
    known = set(variables(context.board)) | {"user", "source"}
    for link in links:
        url = link["url"]
        if url == OWN_PAGE["url"]:
            if not any("group_left (url)" in each["expr"] for each in panel["targets"]):
                yield "a link to the host's own page without its address"
            continue
        if url == RUNBOOK["url"]:
            if "alertname" not in columns:
                yield "a link to a runbook without a column of alerts"
            continue
        target = re.match(r"/d/([\w-]+)\?", url)
        if not link.get("title") or not target or target[1] not in UIDS:
            yield f"a link leads nowhere: {url}"
        if "${__url_time_range}" not in url or "var-datasource=${datasource}" not in url:
            yield f"a link forgets time or data source: {url}"
        if unknown := set(re.findall(r"var-(\w+)=", url)) - known:
            yield f"a link sets variables that nobody has: {unknown}"
        if panel["type"] == "table":
            if missing := set(re.findall(r"__data\.fields\.(\w+)", url)) - columns:
                yield f"a link takes columns that are not there: {missing}"
        elif "__data.fields" in url:
            yield f"a link takes columns of a row, but this is no table: {url}"


RULES = [core_panels, panel_title_description, panel_datasource, panel_units, panel_no_value,
         panel_no_targets, panel_legend, panel_thresholds, panel_mappings, panel_links]


def all_of(rule, context):
    """A rule over every panel of a dashboard."""
    for panel, _, _ in panels(context.board):
        for message in rule(panel, context):
            yield f"{panel.get('title')!r}: {message}"
