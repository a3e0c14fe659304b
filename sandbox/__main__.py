"""`python -m sandbox up|status|down`, called by `make`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fleet.errors import FleetError
from sandbox import up as verbs


def main() -> int:
    """Exit status: 0 when the fleet is as asked, 1 when not or after an error that was told, 130 for an interrupt."""
    from rich.console import Console

    parser = argparse.ArgumentParser(prog="python -m sandbox", description="The fleet on this machine.")
    parser.add_argument("verb", choices=["up", "status", "down"])
    options = parser.parse_args()
    console = Console(soft_wrap=True)
    try:
        place = verbs.default_place(verbs.require_checkout(Path.cwd()))
        if options.verb == "down":
            verbs.down(place, console)
            return 0
        return 0 if getattr(verbs, options.verb)(place, console) else 1
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; `make up` goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
