"""Reads dashboards with the schema of one version of Grafana and says which keys it does not know.

    PYTHONPATH=target/dashboards-sdk/10.1.0 python check_schema.py VERSION [FILE…]

A version passes over a key that it does not know; each that may be passed over stands below with what is then seen.
What it cannot read at all is a failure.
"""

import json
import re
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402
from grafana_foundation_sdk.cog.plugins import register_default_plugins  # noqa: E402
from grafana_foundation_sdk.models import dashboard as model  # noqa: E402

NUMBER = re.compile(r"\[\d+\]")
HERE = Path(__file__).resolve().parent

# The end of a key: the last version that passes over it, and what that looks like.
OF_12 = (11, 99)
PASSED_OVER = {
    "list.definition": (OF_12, "a copy of the query, for the list of variables in the settings"),
    "links.placement": (OF_12, "where the link stands; here where it always stood"),
    "list.allowCustomValue": ((11, 4), "values that are not in the list can be typed"),
    "options.percentChangeColorMode": ((11, 1), "the default of a number that changes, which is not shown"),
    "options.perPage": ((11, 1), "rows of a timeline are on one page"),
    "custom.axisWidth": ((11, 3), "of a timeline: its times stand not quite under those of the graphs"),
    "options.legend": ((10, 4), "of a bar gauge: the default, which is none"),
    "options.showPercentChange": ((10, 2), "the default, which is not to show it"),
    "options.wideLayout": ((10, 3), "the name of a number stands above it"),
    "options.sizing": ((10, 3), "the default of a bar gauge"),
    "options.maxVizHeight": ((10, 3), "bars of a few hosts are higher"),
    "options.namePlacement": ((10, 2), "the name stands above the bar"),
}


def lost(ours, known, path=""):
    """Keys that the schema does not know."""
    if isinstance(ours, dict) and isinstance(known, dict):
        for key, value in ours.items():
            if key in known:
                yield from lost(value, known[key], f"{path}.{key}")
            elif value is not None:
                yield f"{path}.{key}"
    elif isinstance(ours, list) and isinstance(known, list):
        for index, (left, right) in enumerate(zip(ours, known)):
            yield from lost(left, right, f"{path}[{index}]")


def read(board):
    return json.loads(json.dumps(model.Dashboard.from_json(board), cls=JSONEncoder))


def main() -> int:
    version, files = sys.argv[1], [Path(each) for each in sys.argv[2:]] or sorted(HERE.parent.glob("*.json"))
    register_default_plugins()
    release = tuple(int(part) for part in version.split(".")[:2])
    wrong, passed = set(), set()
    for path in files:
        board = json.loads(path.read_text())
        try:
            known = read(board)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            wrong.add(f"{path.name}: Grafana {version} cannot read it: {error!r}")
            continue
        for each in lost(board, known):
            key = NUMBER.sub("", each).rsplit(".", 2)
            name = ".".join(key[-2:])
            last, _ = PASSED_OVER.get(name, ((0, 0), ""))
            if release <= last:
                passed.add(name)
            else:
                wrong.add(f"{path.name}: Grafana {version} does not know {NUMBER.sub('[]', each)}")
    print("\n".join(sorted(wrong)) or f"Grafana {version}: {len(files)} dashboards; passed over: {', '.join(sorted(passed)) or 'nothing'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
