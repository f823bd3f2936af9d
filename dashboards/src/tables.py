"""Tables: rows to act upon, the worst first, each cell with its unit, colour and way on."""

from grafana_foundation_sdk.builders import common, table as table_
from grafana_foundation_sdk.models import common as c, dashboard as m

from panels import add_targets, finish
from query import named, target
from thresholds import NONE, TEXT, Level

EMPTY = "–"


def table(title, description, exprs, columns, *, no_value, sort=(), level=NONE, tall=False, host=True, hide=()):
    """`columns` maps a field to its heading and properties, in order; the first has the width that is left.

    The fields of a single query are its labels and `Value`; those of several are `Value #A` and on. The label
    `instance` is shown without the default port, as `host`; it and `job` are there for links, and not seen.
    Without `host` there is none to show. `sort` is (heading, descending) or several of them.
    """
    panel = add_targets(table_.Panel(), [target(named(expr) if host else expr, table=True) for expr in exprs])
    panel = panel.cell_height(c.TableCellHeight.MD if tall else c.TableCellHeight.SM).filterable(False)
    if len(exprs) > 1:
        panel = panel.with_transformation(m.DataTransformerConfig(id_val="merge", options={}))
    columns = columns | {name: (heading, HIDDEN) for name, heading in HIDDEN_FIELDS.items()}
    panel = panel.with_transformation(m.DataTransformerConfig(id_val="organize", options={
        "excludeByName": {name: True for name in ("Time", *hide)},
        "indexByName": {name: index for index, name in enumerate(columns)},
        "renameByName": {name: heading for name, (heading, _) in columns.items() if name != heading},
    }))
    # The sentence is for a table without rows; a cell without a value says nothing.
    panel = panel.override_by_regexp(".*", [m.DynamicConfigValue(id_val="noValue", value=EMPTY)])
    alerts = {name: None for name in level.alerts}  # in order, each once
    for heading, properties in columns.values():
        if properties:
            panel = panel.override_by_name(heading, properties)
            alerts |= {name: None for name in getattr(properties, "alerts", ())}
    if sort:
        order = [sort] if isinstance(sort[0], str) else sort
        panel = panel.sort_by([common.TableSortByFieldState().display_name(name).desc(down)
                               for name, down in order])
    description += Level(alerts=tuple(alerts)).sentence()
    return finish(panel, title, description, "none", None, NONE, no_value, calm=TEXT)


def lettered(rows, first="A") -> dict:
    """Columns of several queries: (heading, expression, properties) in order of their letters."""
    return {f"Value #{chr(ord(first) + index)}": (heading, properties)
            for index, (heading, _, properties) in enumerate(rows)}


class Column(list):
    """Override properties, and the alerts of their thresholds."""

    alerts: tuple[str, ...] = ()


HIDDEN_FIELDS = {"instance": "instance", "job": "job"}
HIDDEN = Column([m.DynamicConfigValue(id_val="custom.hidden", value=True)])


def column(unit=None, decimals=None, level=None, links=(), mappings=(), width=None, wrap=False,
           minimum=None, maximum=None, bar=False, left=False):
    """Properties of one column; with a level its cells take the colour; `bar` draws the share."""
    values = [("unit", unit), ("decimals", decimals), ("min", minimum), ("max", maximum),
              ("custom.width", width), ("custom.align", "left" if left else None)]
    found = Column(m.DynamicConfigValue(id_val=name, value=v) for name, v in values if v is not None)
    if level:
        found.alerts = level.alerts
        found.append(m.DynamicConfigValue(id_val="thresholds", value=level.steps(TEXT).build()))
    coloured = level or any(isinstance(each, m.ValueMap) and has_colour(each) for each in mappings)
    if bar:
        found.append(m.DynamicConfigValue(id_val="custom.cellOptions", value={
            "type": "gauge", "mode": "basic", "valueDisplayMode": "text"}))
    elif wrap:
        found.append(m.DynamicConfigValue(id_val="custom.cellOptions",
                                          value={"type": "auto", "wrapText": True}))
    elif coloured:
        found.append(m.DynamicConfigValue(id_val="custom.cellOptions",
                                          value={"type": "color-text"}))
    if level and level.below:
        # What is not there is not below.
        mappings = [*mappings, m.SpecialValueMap(options=m.DashboardSpecialValueMapOptions(
            match=m.SpecialValueMatch.NULL, result=m.ValueMappingResult(text=EMPTY, color=TEXT, index=9)))]
    if mappings:
        found.append(m.DynamicConfigValue(id_val="mappings", value=list(mappings)))
    if links:
        found.append(m.DynamicConfigValue(id_val="links", value=list(links)))
    return found


def has_colour(mapping) -> bool:
    """Whether one of its values is coloured."""
    return any(result.color for result in mapping.options.values())
