"""`python -m fleet VERB`: one module a verb. Stacks other than the sandbox's are run by the Pulumi CLI from here."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fleet.errors import FleetError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: that of the verb, 1 for an error that was told, 130 for an interrupt."""
    options = _parser().parse_args(arguments)
    try:
        status = int(options.run(options))
        sys.stdout.flush()
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever reads has enough, as `head` does; what is left in the buffer must not be written at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    from fleet.cli import images, pulumi, render, seed, tokens

    parser = argparse.ArgumentParser(prog="python -m fleet", description="Commands of the fleet.")
    parser.set_defaults(root=Path.cwd())
    of_a_stack = argparse.ArgumentParser(add_help=False)
    of_a_stack.add_argument("--stack", required=True, help="name of the stack: Pulumi.<stack>.yaml")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, text in (("up", "make the stack as declared"), ("status", "show its outputs"), ("down", "remove it")):
        verb = verbs.add_parser(name, parents=[of_a_stack], help=f"{text}, with the Pulumi CLI")
        verb.set_defaults(run=getattr(pulumi, name))
    text = "list the credentials that a stack needs, with their least permissions"
    verbs.add_parser("tokens", parents=[of_a_stack], help=text).set_defaults(run=tokens.tokens)
    verb = verbs.add_parser("images", help="list every image, chart and artifact that is pulled, and its copy")
    verb.add_argument("--stack", help="only what this stack's clusters need; by default all of fleet.yaml")
    verb.add_argument("--json", action="store_true", help="as JSON, with what each is and where it is used")
    verb.set_defaults(run=images.images)
    text = "bring a repository's content up to date on GitHub; `up` calls it"
    verb = verbs.add_parser("seed", parents=[of_a_stack], help=text)
    verb.add_argument("--repository", required=True, help="name of the repository")
    verb.add_argument("--check", action="store_true", help="only say what would be done")
    verb.set_defaults(run=seed.seed)
    verb = verbs.add_parser("render", help="write the trees of all repositories, offline")
    verb.add_argument("folder", type=Path, help="where to; made when it does not exist")
    verb.set_defaults(run=render.render)
    return parser
