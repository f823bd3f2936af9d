"""Panels in the house style: one question each, with description, unit, thresholds and empty text."""

from grafana_foundation_sdk.builders import (
    bargauge as bargauge_, common, stat as stat_, statetimeline, timeseries)
from grafana_foundation_sdk.models import common as c, dashboard as m

from query import DATASOURCE, counted_in, target
from thresholds import CALM, FAINT, GREY, NONE

LAST, MAX, SUM = "lastNotNull", "max", "sum"
LEGEND_WIDTH = 330
AXIS_WIDTH = 70
UNKNOWN = "unknown"
# The default port and our name say nothing; the labels, by which links go, keep them.
HOST_NAMES = m.DataTransformerConfig(
    id_val="renameByRegex", options={"regex": "^(?:Telltale)?(.*?)(?::10121(.*))?$", "renamePattern": "$1$2"})


def finish(panel, title, description, unit, decimals, level, no_value, links=(), mappings=(), calm=CALM):
    """What every panel must have."""
    panel = (panel.title(title).description(description + level.sentence()).datasource(DATASOURCE)
             .unit(unit).no_value(no_value).thresholds(level.steps(calm)))
    if decimals is not None:
        panel = panel.decimals(decimals)
    if mappings:
        panel = panel.mappings(list(mappings))
    if links:
        panel._internal.field_config.defaults.links = list(links)
    return panel


def add_targets(panel, targets):
    """Gives the queries their letters."""
    for index, query in enumerate(targets):
        panel = panel.with_target(query.ref_id(chr(ord("A") + index)))
    return panel


def stat(title, description, expr, *, legend=None, unit="none", decimals=0, level=NONE, mappings=(), links=()):
    """One number that answers «is it OK?», readable from across the room; `legend` says of whom.

    Nothing is not well: a number that nobody has is «unknown».
    """
    panel = (stat_.Panel().with_target(target(expr, legend or title, instant=True).ref_id("A"))
             .graph_mode(c.BigValueGraphMode.NONE).color_mode(c.BigValueColorMode.BACKGROUND_SOLID)
             .text_mode(c.BigValueTextMode.VALUE_AND_NAME if legend else c.BigValueTextMode.VALUE)
             .reduce_options(common.ReduceDataOptions().calcs([LAST]).values(False).fields("")))
    unknown = m.SpecialValueMap(options=m.DashboardSpecialValueMapOptions(
        match=m.SpecialValueMatch.NULL_AND_NAN, result=m.ValueMappingResult(text=UNKNOWN, color=GREY, index=9)))
    if legend:
        panel = panel.with_transformation(HOST_NAMES)
    return finish(panel, title, description, unit, decimals, level, UNKNOWN, links, [*mappings, unknown])


def graph(title, description, targets, *, unit, decimals=None, level=NONE, no_value, links=(),
          stack=False, bars=False, full=None, overrides=(), legend=True, lowest_first=False, points=False, narrow=False,
          axis=None, fill=0):
    """How something went; thresholds are drawn as lines. `full` is the top of the axis, unless it goes beyond.

    The legend stands beside it, of a narrow one below; with an `axis` of its own in one line below, so that the times of
    all panels stand under each other.
    """
    panel = add_targets(timeseries.Panel(), targets).with_transformation(HOST_NAMES)
    panel = panel.line_width(2).fill_opacity(fill).axis_width(axis or AXIS_WIDTH).min(0)
    panel = panel.show_points(c.VisibilityMode.AUTO)
    panel = panel.tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI)
                          .sort(c.SortOrder.DESCENDING))
    calc = SUM if bars or points else LAST
    options = common.VizLegendOptions().show_legend(legend).placement(
        c.LegendPlacement.BOTTOM if narrow or axis else c.LegendPlacement.RIGHT)
    if not narrow and not axis:
        options = options.width(LEGEND_WIDTH)
    in_line = c.LegendDisplayMode.LIST if axis else c.LegendDisplayMode.TABLE
    options = options.display_mode(in_line).calcs([calc] if bars or points else [LAST, MAX])
    options = options.sort_by("Total" if bars or points else "Last *").sort_desc(not lowest_first)
    panel = panel.legend(options)
    if bars:
        panel = panel.draw_style(c.GraphDrawStyle.BARS).fill_opacity(80).line_width(0)
    if points:
        panel = panel.draw_style(c.GraphDrawStyle.POINTS).point_size(8)
    if stack:
        panel = panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
        panel = panel.fill_opacity(60 if not bars else 80)
    if full is not None:
        panel = panel.axis_soft_max(full)
    if level.drawn():
        panel = panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED))
    elif level.bounds():
        description, level = description + level.sentence(), NONE
    for name, properties in overrides:
        panel = panel.override_by_regexp(name, properties)
    return finish(panel, title, description, unit, decimals, level, no_value, links)


def counts(title, description, metric, by, legend, *, matchers="@host", keep=10, **more):
    """Bars of what happened, each of 5 minutes or more, so that one is seen; the legend has the sums."""
    more = {"unit": "locale", "decimals": 0, "bars": True} | more
    return graph(title, description, [counted_in(metric, by, legend, matchers, keep)], **more)


def bars(title, description, expr, legend, *, unit, decimals=None, level=NONE, no_value, links=(), maximum=None):
    """Who is worst right now."""
    panel = (bargauge_.Panel().with_target(target(expr, legend, instant=True).ref_id("A"))
             .with_transformation(HOST_NAMES)
             .display_mode(c.BarGaugeDisplayMode.BASIC).orientation(c.VizOrientation.HORIZONTAL)
             .name_placement(c.BarGaugeNamePlacement.LEFT).max_viz_height(40)
             .value_mode(c.BarGaugeValueMode.COLOR).min(0)
             .reduce_options(common.ReduceDataOptions().calcs([LAST]).values(False).fields("")))
    if maximum is not None:
        panel = panel.max(maximum)
    return finish(panel, title, description, unit, decimals, level, no_value, links, calm=GREY)


def states(title, description, targets, *, mappings, no_value, links=(), level=NONE, legend=False, axis=None):
    """In which state something was, and when it changed."""
    options = common.VizLegendOptions().show_legend(legend).display_mode(c.LegendDisplayMode.LIST)
    options = options.placement(c.LegendPlacement.BOTTOM)
    panel = (add_targets(statetimeline.Panel(), targets).with_transformation(HOST_NAMES)
             .merge_values(True).row_height(0.8)
             .show_value(c.VisibilityMode.NEVER).fill_opacity(80).line_width(0)
             .legend(options)
             .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.SINGLE)
                      .sort(c.SortOrder.NONE)))
    if axis:
        panel = panel.axis_width(axis)
    return finish(panel, title, description, "none", 0, level, no_value, links, mappings, calm=FAINT)


def values(**texts) -> m.ValueMap:
    """Names for numbers: values(v0=("off", RED), v1=("on", CALM)); vm1 is -1."""
    return m.ValueMap(options={
        key.removeprefix("v").replace("m", "-") if key[1:].lstrip("m").isdigit() else key:
            m.ValueMappingResult(text=text, color=colour, index=index)
        for index, (key, (text, colour)) in enumerate(texts.items())})


def paint(colour: str, dashed: bool = False, width: int | None = None, fill: int | None = None,
          helper: bool = False, apart: bool = False):
    """Override properties of a line: its meaning's colour, and dashes for limits.

    A helper stands in no legend; what is apart is not stacked upon the others.
    """
    found = [m.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})]
    if dashed:
        found.append(m.DynamicConfigValue(id_val="custom.lineStyle",
                                          value={"fill": "dash", "dash": [8, 6]}))
    if width is not None:
        found.append(m.DynamicConfigValue(id_val="custom.lineWidth", value=width))
    if fill is not None:
        found.append(m.DynamicConfigValue(id_val="custom.fillOpacity", value=fill))
    if helper:
        found.append(m.DynamicConfigValue(id_val="custom.hideFrom",
                                          value={"legend": True, "tooltip": False, "viz": False}))
    if apart:
        found.append(m.DynamicConfigValue(id_val="custom.stacking", value={"mode": "none", "group": "B"}))
    return found
