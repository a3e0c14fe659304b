"""`python -m fleet render DIR`: what the repositories contain, without any network."""

from __future__ import annotations

from argparse import Namespace

from fleet.config import FLEET_FILE, load_fleet
from fleet.manifests.trees import trees


def render(options: Namespace) -> int:
    """Writes a folder a repository; files of the same path are replaced, others are left alone."""
    fleet = load_fleet(options.root / FLEET_FILE)
    for repository, tree in trees(fleet).items():
        for path, content in tree.items():
            target = options.folder / repository / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        print(f"{options.folder / repository}: {len(tree)} files")
    return 0
