"""Rules about a dashboard as a whole: its frame, variables, annotations, links and grid."""

from queries import panels

TITLES = {"fleet", "host", "users", "audit", "logs", "exporter"}
UIDS = {f"telltale-{name}" for name in TITLES}
USES = "${datasource}"
MAX_OPEN_QUERIES = 25
ONE_HOST = "telltale-host"
TILES, MOST_LETTERS = 6, 10


def variables(board, kind=None):
    """Its variables by name."""
    return {each["name"]: each for each in board["templating"]["list"]
            if kind is None or each["type"] == kind}


def dashboard_frame(board):
    """Checklist 1: everything that an import needs, and nothing that it leaves behind."""
    wanted = {"editable": False, "graphTooltip": 1, "timezone": "browser", "id": None}
    for key, value in wanted.items():
        if board.get(key, "missing") != value:
            yield f"{key} is {board.get(key, 'missing')!r}, not {value!r}"
    if board.get("uid") not in UIDS:
        yield f"uid {board.get('uid')!r} is none of ours"
    for key in ("title", "description"):
        if not board.get(key):
            yield f"no {key}"
    if "telltale" not in (board.get("tags") or []):
        yield "the tag telltale is missing: the links between the dashboards go by it"
    if board.get("refresh") not in ("30s", "1m"):
        yield f"refresh is {board.get('refresh')!r}"
    if not str((board.get("time") or {}).get("from", "")).startswith("now-"):
        yield "no time range that ends now"
    if not 36 <= board.get("schemaVersion", 0) <= 42:
        yield f"schemaVersion {board.get('schemaVersion')} is not one of Grafana 10 to 13"
    for key in ("__inputs", "__requires", "__elements", "iteration", "version"):
        if key in board:
            yield f"{key} is left over from an export"


def template_datasource(board):
    """A variable chooses the data source."""
    found = variables(board, "datasource").get("datasource")
    if not found or found.get("query") != "prometheus" or found.get("label") != "Data source":
        yield "no variable `datasource` of prometheus with the label «Data source»"


def template_query(board):
    """job, instance and what is below: multi, All, cascading, from the chosen data source; a board of one host has
    one of each."""
    found, above = variables(board, "query"), []
    several = board.get("uid") != ONE_HOST
    for name in ("job", "instance"):
        if name not in found:
            yield f"no variable {name}"
    for name, each in found.items():
        wanted = {"label": name.capitalize(), "multi": several, "includeAll": several,
                  "allValue": ".+" if several else None}
        for key, value in wanted.items():
            if each.get(key) != value:
                yield f"variable {name}: {key} is {each.get(key)!r}, not {value!r}"
        if each.get("sort", 0) == 0:
            yield f"variable {name} is not sorted"
        if (each.get("datasource") or {}).get("uid") != USES:
            yield f"variable {name} does not use {USES}"
        for wider in above:
            if f'{wider}=~"${wider}"' not in str(each["query"]):
                yield f"variable {name} is not narrowed by {wider}"
        above.append(name)


def template_on_time_change_reload(board):
    """What was there in the chosen time can be chosen."""
    for name, each in variables(board, "query").items():
        if each.get("refresh") != 2:
            yield f"variable {name} is not loaded anew when the time changes (refresh 2)"


def no_annotations(board):
    """Nothing is painted over the graphs: an alert that fires for days would turn each of them red."""
    for each in board["annotations"].get("list", []):
        yield f"the annotation {each['name']}: when which alert fired has a panel of its own"


def links_both_ways(board):
    """Checklist 4: to all others, with the selection and the time."""
    wanted = {"type": "dashboards", "tags": ["telltale"], "includeVars": True, "keepTime": True}
    if not any(all(each.get(key) == value for key, value in wanted.items())
               for each in board.get("links") or []):
        yield "no link to the dashboards with the tag telltale, with variables and time"


def unique_ids(board):
    """Links to a panel go by its id."""
    ids = [each["id"] for each in board["panels"]] + [
        child["id"] for each in board["panels"] for child in each.get("panels") or []]
    for each in sorted({each for each in ids if ids.count(each) > 1}):
        yield f"the panel id {each} is used twice"


def packed(title, found):
    """Whether panels fill a rectangle of 24 columns without gap or overlap."""
    taken = {}
    for panel in found:
        at = panel["gridPos"]
        for y in range(at["y"], at["y"] + at["h"]):
            for x in range(at["x"], at["x"] + at["w"]):
                if x >= 24 or (x, y) in taken:
                    yield f"{panel.get('title')!r} overlaps {taken.get((x, y), 'the edge')!r}"
                    return
                taken[x, y] = panel.get("title")
    if taken:
        first, last = (edge(y for _, y in taken) for edge in (min, max))
        if len(taken) != 24 * (last - first + 1):
            yield f"{title} does not fill its {24} columns"


def grid(board):
    """Checklist 11: fully packed, closed rows in themselves."""
    yield from packed("the page", board["panels"])
    for row in board["panels"]:
        if row.get("panels"):
            yield from packed(f"the row {row['title']!r}", row["panels"])


def few_queries(board):
    """Checklist 11: what is open on load asks little."""
    count = sum(len(panel.get("targets") or []) for panel, _, is_open in panels(board) if is_open)
    if count > MAX_OPEN_QUERIES:
        yield f"{count} queries on load, more than {MAX_OPEN_QUERIES}: close a row"


def answers_first(board):
    """Checklist 5: the first row says whether it is OK, in words that fit and can be read from across the room."""
    first = [panel for panel, _, _ in panels(board)][:TILES]
    if [(panel["type"], panel["gridPos"]["w"], panel["gridPos"]["y"]) for panel in first] != [("stat", 4, 0)] * TILES:
        yield f"the first row is not one of {TILES} stats, each 4 wide"
    for panel in first:
        if len(panel["title"]) > MOST_LETTERS:
            yield f"the title {panel['title']!r} is longer than {MOST_LETTERS} letters"


RULES = [dashboard_frame, template_datasource, template_query, template_on_time_change_reload,
         no_annotations, links_both_ways, unique_ids, grid, few_queries, answers_first]
