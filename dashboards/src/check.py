"""Checks the committed dashboards; fails and says why when one breaks a rule.

    python check.py [FILE…] [--rules DIRECTORY]   dashboards; thresholds against the alert rules
    python check.py --self-test                   breaks a good dashboard once per rule: each is caught

The rules are those of grafana/dashboard-linter, as far as they apply, and the checklist of our own:
lint_board.py, lint_panels.py, lint_queries.py.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

warnings.simplefilter("ignore")

import lint_board  # noqa: E402
import lint_panels  # noqa: E402
import lint_queries  # noqa: E402
import promql_parser  # noqa: E402
import yaml  # noqa: E402
from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402
from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: E402
from grafana_foundation_sdk.models import dashboard as model  # noqa: E402
from queries import HERE, files, walk  # noqa: E402

ALERT_RULES = HERE.parent.parent / "deploy" / "prometheus" / "rules"


def schema(context):
    """The SDK of Grafana's schema reads it and writes it again without losing a key."""
    try:
        known = json.loads(json.dumps(model.Dashboard.from_json(context.board), cls=JSONEncoder))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        yield f"the schema cannot read it: {error!r}"
        return
    yield from lost(context.board, known, "")


def lost(ours, known, path):
    """Keys that the schema does not know."""
    if isinstance(ours, dict) and isinstance(known, dict):
        for key, value in ours.items():
            if key in known:
                yield from lost(value, known[key], f"{path}.{key}")
            elif value is not None:
                yield f"the schema does not know {path}.{key}"
    elif isinstance(ours, list) and isinstance(known, list):
        for index, (left, right) in enumerate(zip(ours, known)):
            yield from lost(left, right, f"{path}[{index}]")


def numbers_of(expr: str) -> set[float]:
    """Every number of an alert's expression, products such as 50 * 3600 worked out."""
    found = set()
    for node, _ in walk(promql_parser.parse(expr)):
        if type(node).__name__ == "NumberLiteral":
            found.add(node.val)
        elif type(node).__name__ == "BinaryExpr" and str(node.op) == "*":
            sides = [getattr(side, "val", None) for side in (node.lhs, node.rhs)]
            if None not in sides:
                found.add(sides[0] * sides[1])
    return found


def alerts_of(directory: Path | None) -> dict[str, set[float]] | None:
    """The alerts of the rule files and their numbers; a name may stand there more than once."""
    if directory is None:
        return None
    found: dict[str, set[float]] = {}
    for path in sorted(directory.rglob("*.yml")):
        for group in (yaml.safe_load(path.read_text()) or {}).get("groups", []):
            for rule in group["rules"]:
                if "alert" in rule:
                    found.setdefault(rule["alert"], set()).update(numbers_of(rule["expr"]))
    return found


def rules():
    """Each rule: its name, and what it finds in a dashboard."""
    yield "schema", schema
    for rule in lint_board.RULES:
        yield rule.__name__, lambda context, rule=rule: rule(context.board)
    for rule in lint_panels.RULES:
        yield rule.__name__, lambda context, rule=rule: lint_panels.all_of(rule, context)
    yield "target_promql", lint_queries.target_promql
    yield "target_variables", lint_queries.target_variables
    for rule in lint_queries.RULES:
        yield rule.__name__, lambda context, rule=rule: lint_queries.all_of(rule, context)


def findings(board: dict, alerts=None):
    """(rule, message) for everything that is wrong with a dashboard."""
    for name, rule in rules():
        for message in rule(SimpleNamespace(board=board, alerts=alerts, panel=None)):
            yield name, message


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--rules", type=Path, default=ALERT_RULES if ALERT_RULES.exists() else None)
    parser.add_argument("--self-test", action="store_true")
    given = parser.parse_args()
    register_default_plugins()
    if given.self_test:
        from check_self_test import self_test
        return self_test()
    alerts, found = alerts_of(given.rules), 0
    if alerts is None:
        print("no alert rules given: thresholds are not compared", file=sys.stderr)
    paths = given.files or files()
    uids = {json.loads(path.read_text()).get("uid") for path in paths}
    if not given.files and uids != lint_board.UIDS:
        print(f"dashboards are {sorted(uids)}, not {sorted(lint_board.UIDS)}")
        found += 1
    for path in paths:
        for name, message in findings(json.loads(path.read_text()), alerts):
            print(f"{path.name}: {name}: {message}")
            found += 1
    print(f"{len(paths)} dashboards, {len(list(rules()))} rules, {found} findings", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
