"""Every query of the dashboards with its variables filled in, as Grafana would send it.

    python queries.py [FILE…] [--var user=happytuk]… [--range 6h]   JSON, one query per line
    python queries.py --rules                                      a rule file for `promtool check rules`
    python queries.py --names                                      the metrics that the dashboards use

For tests that run them against a real Prometheus:
    {"dashboard", "kind": panel|annotation|variable, "id", "title", "row", "open", "refId", "instant",
     "format", "expr", "raw"}
A variable's query is turned into the series that it looks for. `open` is false in a closed row.
"""

import argparse
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ALL = ".+"  # the value of «All», as the variables say themselves
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
BUILT_IN = re.compile(r"\$(?:\{__(\w+)\}|__(\w+))")
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|(\w+))")


def files() -> list[Path]:
    """The committed dashboards."""
    return sorted(HERE.parent.glob("*.json"))


def panels(board: dict):
    """Each panel that is no row, with the title of its row and whether that is open."""
    row, is_open = "", True
    for panel in board.get("panels", []):
        if panel["type"] == "row":
            row, is_open = panel["title"], not panel.get("collapsed")
            for child in panel.get("panels") or []:
                yield child, row, is_open
        else:
            yield panel, row, is_open


def quoted(value: str) -> str:
    """A chosen value within a regular expression within a PromQL string, as Grafana escapes it."""
    value = value.replace("\\", 4 * "\\")
    return re.sub(r"[$^*{}\[\]'+?.()|]", lambda found: 2 * "\\" + found[0], value).replace('"', '\\"')


def chosen(values: list[str] | None) -> str:
    """What stands for a variable: all, one, or several values."""
    if not values:
        return ALL
    parts = [quoted(value) for value in values]
    return parts[0] if len(parts) == 1 else f"({'|'.join(parts)})"


def seconds(text: str) -> int:
    """6h -> 21600"""
    return int(text[:-1]) * UNITS[text[-1]]


def fill(expr: str, variables: dict[str, list[str]], span: str, interval: str, rate: str) -> str:
    """An expression without variables."""
    built_in = {
        "range": f"{seconds(span)}s", "range_s": str(seconds(span)),
        "range_ms": str(seconds(span) * 1000), "interval": interval, "rate_interval": rate,
        "interval_ms": str(seconds(interval) * 1000),
    }
    expr = BUILT_IN.sub(lambda found: built_in[found[1] or found[2]], expr)

    def value(found):
        name = found[1] or found[2]
        return chosen(variables[name]) if name in variables else found[0]  # $1 of label_replace

    return VARIABLE.sub(value, expr)


def series_of(query: str) -> str:
    """label_values(series, label) -> series"""
    found = re.fullmatch(r"label_values\((.*),\s*\w+\)", query)
    return found[1] if found else query


def queries(board: dict, variables=None, span="6h", interval="15s", rate="1m"):
    """All queries of a dashboard."""
    given = {each["name"]: (variables or {}).get(each["name"], [])
             for each in board["templating"]["list"]}

    def made(kind, title, raw, least=None, **more):
        # Grafana takes a least step for the scrape interval.
        step = max(interval, least or interval, key=seconds)
        window = max(rate, f"{4 * seconds(least)}s" if least else rate, key=seconds)
        expr = fill(raw, given, span, step, window)
        base = {"dashboard": board["uid"], "kind": kind, "title": title, "id": None, "row": "",
                "open": True, "refId": "A", "instant": False, "format": "time_series"}
        return base | more | {"expr": expr, "raw": raw}

    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            query = variable["query"]
            query = query["query"] if isinstance(query, dict) else query
            yield made("variable", variable["name"], series_of(query), instant=True)
    for annotation in board["annotations"].get("list", []):
        if annotation.get("expr"):
            yield made("annotation", annotation["name"], annotation["expr"])
    for panel, row, is_open in panels(board):
        for target in panel.get("targets") or []:
            yield made("panel", panel["title"], target["expr"], target.get("interval"), id=panel["id"], row=row, open=is_open,
                       refId=target["refId"], instant=bool(target.get("instant")),
                       format=target.get("format", "time_series"))


def as_rules(found: list[dict]) -> str:
    """One recording rule per query: promtool parses them all (JSON is YAML)."""
    rules = [{"record": f"panel:{index}", "expr": query["expr"]} for index, query in enumerate(found)]
    return json.dumps({"groups": [{"name": "panels", "rules": rules}]}, indent=1)


def names(found: list[dict]) -> list[str]:
    """Names of metrics, those of recording rules and of Prometheus itself included."""
    import promql_parser

    return sorted({selector.name for query in found
                   for selector in selectors(promql_parser.parse(query["expr"])) if selector.name})


def selectors(node):
    """Every vector selector of an expression."""
    return [each for each, _ in walk(node) if type(each).__name__ == "VectorSelector"]


def walk(node, parents=()):
    """Every node with those above it, the nearest last."""
    yield node, parents
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "vs"):
        child = getattr(node, name, None)
        if child is not None and not isinstance(child, (str, int, float)):
            yield from walk(child, (*parents, node))
    for child in getattr(node, "args", None) or []:
        yield from walk(child, (*parents, node))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--var", action="append", default=[], metavar="NAME=VALUE",
                        help="repeatable, also for several values of one variable; default: All")
    parser.add_argument("--range", default="6h")
    parser.add_argument("--interval", default="15s")
    parser.add_argument("--rate-interval", default="1m")
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--names", action="store_true")
    given = parser.parse_args()
    variables: dict[str, list[str]] = {}
    for pair in given.var:
        name, _, value = pair.partition("=")
        variables.setdefault(name, []).append(value)
    found = [query for path in given.files or files()
             for query in queries(json.loads(path.read_text()), variables, given.range, given.interval,
                                  given.rate_interval)]
    if given.rules:
        print(as_rules(found))
    elif given.names:
        print("\n".join(names(found)))
    else:
        for query in found:
            print(json.dumps(query, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
