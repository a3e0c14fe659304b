"""`python -m fleet images`: what the fleet pulls and where its mirror has it, to be read by what copies it there."""

from __future__ import annotations

import json
from argparse import Namespace

from fleet.config import FLEET_FILE, load_upstream, read_files, with_stack
from fleet.manifests.images import kept, pulled


def images(options: Namespace) -> int:
    """A line each: source, and with a mirror the copy's name. What needs no copy stands behind `#`."""
    stack = read_files(options.root, options.stack)[1] if options.stack else None
    fleet = load_upstream(options.root / FLEET_FILE)
    if stack:
        fleet = with_stack(fleet, stack)
    needed, others = pulled(fleet, stack), kept(fleet, stack)
    if options.json:
        listed = [
            {"kind": each.kind, "source": each.source, "mirror": each.mirror(fleet), "usedBy": each.used_by}
            for each in needed
        ]
        print(json.dumps({"pulled": listed, "notMirrored": others}, indent=2))
        return 0
    for each in needed:
        copy = each.mirror(fleet)
        if copy or fleet.mirror is None:
            print(" ".join(filter(None, [each.source, copy])))
    inside = [each.source for each in needed if fleet.mirror and fleet.mirror.serves(each.source)]
    for address in [*others, *inside]:
        print(f"# not mirrored: {address}")
    return 0
