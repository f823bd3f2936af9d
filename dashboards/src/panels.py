"""Panels in the house style: one question each, with description, unit, thresholds and empty text."""

from grafana_foundation_sdk.builders import (
    bargauge as bargauge_, common, dashboard, stat as stat_, statetimeline, table as table_, timeseries)
from grafana_foundation_sdk.models import common as c, dashboard as m

from query import DATASOURCE, target
from thresholds import NONE, Level

LAST, MAX = "lastNotNull", "max"


def finish(panel, title, description, unit, decimals, level, no_value, links=(), mappings=()):
    """What every panel must have."""
    panel = (panel.title(title).description(description + level.sentence()).datasource(DATASOURCE)
             .unit(unit).no_value(no_value).thresholds(level.steps()))
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


def stat(title, description, expr, *, unit="none", decimals=0, level=NONE, no_value, mappings=(),
         links=(), colour=None):
    """One number that answers «is it OK?»."""
    panel = (stat_.Panel().with_target(target(expr, title, instant=True).ref_id("A"))
             .graph_mode(c.BigValueGraphMode.NONE).text_mode(c.BigValueTextMode.VALUE)
             .reduce_options(common.ReduceDataOptions().calcs([LAST]).values(False).fields("")))
    plain = level is NONE and not mappings
    panel = panel.color_mode(c.BigValueColorMode.NONE if plain else c.BigValueColorMode.BACKGROUND)
    if colour:
        panel = panel.color_scheme(fixed(colour))
    return finish(panel, title, description, unit, decimals, level, no_value, links, mappings)


def graph(title, description, targets, *, unit, decimals=None, level=NONE, no_value, links=(),
          stack=False, bars=False, minimum=0, maximum=None, log=False, overrides=(), legend=True,
          mappings=()):
    """How something went; thresholds are drawn as lines."""
    panel = add_targets(timeseries.Panel(), targets)
    panel = panel.line_width(1).fill_opacity(0).show_points(c.VisibilityMode.AUTO)
    panel = panel.tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI)
                          .sort(c.SortOrder.DESCENDING))
    options = common.VizLegendOptions().show_legend(True).placement(c.LegendPlacement.BOTTOM)
    if legend:
        options = (options.display_mode(c.LegendDisplayMode.TABLE).calcs([LAST, MAX])
                   .sort_by("Last *").sort_desc(True))
    else:
        options = options.display_mode(c.LegendDisplayMode.LIST).calcs([])
    panel = panel.legend(options)
    if bars:
        panel = panel.draw_style(c.GraphDrawStyle.BARS).fill_opacity(80)
    if stack:
        panel = panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL).group("A"))
        panel = panel.fill_opacity(60 if not bars else 80)
    if log:
        panel = panel.scale_distribution(
            common.ScaleDistributionConfig().type(c.ScaleDistribution.SYMLOG).log(10)
            .linear_threshold(1))
    if minimum is not None:
        panel = panel.min(minimum)
    if maximum is not None:
        panel = panel.max(maximum)
    if level.drawn():
        panel = panel.thresholds_style(
            common.GraphThresholdsStyleConfig().mode(c.GraphThresholdsStyleMode.DASHED))
    elif level.bounds():
        description, level = description + level.sentence(), NONE
    for name, properties in overrides:
        panel = panel.override_by_regexp(name, properties)
    return finish(panel, title, description, unit, decimals, level, no_value, links, mappings)


def bars(title, description, expr, legend, *, unit, decimals=None, level=NONE, no_value, links=(),
         minimum=0, maximum=None):
    """Who is worst right now."""
    panel = (bargauge_.Panel().with_target(target(expr, legend, instant=True).ref_id("A"))
             .display_mode(c.BarGaugeDisplayMode.BASIC).orientation(c.VizOrientation.HORIZONTAL)
             .value_mode(c.BarGaugeValueMode.COLOR).min(minimum)
             .reduce_options(common.ReduceDataOptions().calcs([LAST]).values(False).fields("")))
    if maximum is not None:
        panel = panel.max(maximum)
    return finish(panel, title, description, unit, decimals, level, no_value, links)


def states(title, description, targets, *, mappings, no_value, links=(), level=NONE):
    """In which state something was, and when it changed."""
    panel = (add_targets(statetimeline.Panel(), targets).merge_values(True).row_height(0.8)
             .show_value(c.VisibilityMode.AUTO).fill_opacity(70).line_width(0)
             .legend(common.VizLegendOptions().show_legend(True)
                     .display_mode(c.LegendDisplayMode.LIST).placement(c.LegendPlacement.BOTTOM))
             .tooltip(common.VizTooltipOptions().mode(c.TooltipDisplayMode.SINGLE)
                      .sort(c.SortOrder.NONE)))
    return finish(panel, title, description, "none", 0, level, no_value, links, mappings)


def table(title, description, targets, columns, *, no_value, sort=None, level=NONE, hide=()):
    """Rows to act upon. `columns` maps a field to its heading and properties, in order.

    The fields of a single query are its labels and `Value`; those of several are `Value #A` and on.
    """
    panel = add_targets(table_.Panel(), targets).cell_height(c.TableCellHeight.SM).filterable(True)
    if len(targets) > 1:
        panel = panel.with_transformation(m.DataTransformerConfig(id_val="merge", options={}))
    panel = panel.with_transformation(m.DataTransformerConfig(id_val="organize", options={
        "excludeByName": {name: True for name in ("Time", *hide)},
        "indexByName": {name: index for index, name in enumerate(columns)},
        "renameByName": {name: heading for name, (heading, _) in columns.items()},
    }))
    alerts = {name: None for name in level.alerts}  # in order, each once
    for heading, properties in columns.values():
        if properties:
            panel = panel.override_by_name(heading, properties)
            alerts |= {name: None for name in properties.alerts}
    if sort:
        panel = panel.sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
    description += Level(alerts=tuple(alerts)).sentence()
    return finish(panel, title, description, "none", None, NONE, no_value)


class Column(list):
    """Override properties, and the alerts of their thresholds."""

    alerts: tuple[str, ...] = ()


def column(unit=None, decimals=None, level=None, links=(), mappings=(), width=None, wrap=False,
           minimum=None, maximum=None):
    """Properties of one column; with a level its cells take the colour."""
    values = [("unit", unit), ("decimals", decimals), ("min", minimum), ("max", maximum),
              ("custom.width", width)]
    found = Column(m.DynamicConfigValue(id_val=name, value=v) for name, v in values if v is not None)
    if level:
        found.alerts = level.alerts
        found.append(m.DynamicConfigValue(id_val="thresholds", value=level.steps().build()))
    if level or any(isinstance(each, m.ValueMap) and has_colour(each) for each in mappings):
        found.append(m.DynamicConfigValue(id_val="custom.cellOptions",
                                          value={"type": "color-text"}))
    if mappings:
        found.append(m.DynamicConfigValue(id_val="mappings", value=list(mappings)))
    if links:
        found.append(m.DynamicConfigValue(id_val="links", value=list(links)))
    if wrap:
        found.append(m.DynamicConfigValue(id_val="custom.cellOptions",
                                          value={"type": "auto", "wrapText": True}))
    return found


def has_colour(mapping) -> bool:
    """Whether one of its values is coloured."""
    return any(result.color for result in mapping.options.values())


def values(**texts) -> m.ValueMap:
    """Names for numbers: values(v0=("off", RED), v1=("on", GREEN))."""
    return m.ValueMap(options={
        key.removeprefix("v"): m.ValueMappingResult(text=text, color=colour, index=index)
        for index, (key, (text, colour)) in enumerate(texts.items())})


def fixed(colour: str):
    """Always this colour."""
    return dashboard.FieldColor().mode(m.FieldColorModeId.FIXED).fixed_color(colour)


def paint(colour: str, dashed: bool = False, width: int | None = None, fill: int | None = None):
    """Override properties of a line: its meaning's colour, and dashes for limits."""
    found = [m.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})]
    if dashed:
        found.append(m.DynamicConfigValue(id_val="custom.lineStyle",
                                          value={"fill": "dash", "dash": [8, 6]}))
    if width is not None:
        found.append(m.DynamicConfigValue(id_val="custom.lineWidth", value=width))
    if fill is not None:
        found.append(m.DynamicConfigValue(id_val="custom.fillOpacity", value=fill))
    return found
