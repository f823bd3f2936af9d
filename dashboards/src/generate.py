"""Writes the dashboards: `python generate.py [DIRECTORY]`; with --check it only compares.

The JSON is committed, so that it can be imported without Python; a test compares it with this.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")  # the SDK would rather have Grafana's V2 format, which 10 and 11 lack

import audit  # noqa: E402
import exporter  # noqa: E402
import fleet  # noqa: E402
import host  # noqa: E402
import logs  # noqa: E402
import users  # noqa: E402
from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: E402

BOARDS = {"fleet": fleet, "host": host, "users": users, "audit": audit, "logs": logs, "exporter": exporter}


def rendered(module) -> str:
    """The dashboard as it is committed: the same bytes each time."""
    board = json.loads(json.dumps(module.build(), cls=JSONEncoder))
    board["id"] = None
    return json.dumps(board, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    places = [each for each in arguments if not each.startswith("-")]
    directory = Path(places[0]) if places else Path(__file__).resolve().parent.parent
    stale = []
    for name, module in BOARDS.items():
        path, text = directory / f"{name}.json", rendered(module)
        if check:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
        else:
            path.write_text(text)
    if stale:
        print(f"not up to date: {', '.join(stale)}; run dashboards/src/generate.py", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
