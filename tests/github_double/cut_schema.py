"""Cuts GitHub's published GraphQL schema down to what the given documents ask for.

    python -m tests.github_double.cut_schema schema.graphql [DOCUMENT.graphql …] > tests/github_double/schema.graphql

`schema.graphql` is that of the npm package `@octokit/graphql-schema` (MIT); the queries of `fleet.github` are always
asked for, documents of others (those of a provider, say) are given as files. Types, arguments and whether something
may be null are GitHub's; only fields that nobody asks for are left out.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from graphql import (
    FieldNode,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_specified_scalar_type,
    parse,
    print_ast,
    print_type,
    validate,
    visit,
)

from fleet.github import queries
from fleet.github.inventory import Names


def cut(schema: GraphQLSchema, documents: Iterable[str]) -> str:
    """The text of a smaller schema, in which `documents` mean the same."""
    asked = _Asked(schema)
    for text in documents:
        document = parse(text)
        assert not (faults := validate(schema, document)), faults
        visit(document, TypeInfoVisitor(asked.info, asked))
    kept = asked.close()
    kinds = [schema.type_map[name] for name in sorted(kept)]
    for kind in kinds:
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            kind.interfaces = tuple(one for one in kind.interfaces if one.name in kept)
            for interface in kind.interfaces:
                kept[interface.name] |= kept[kind.name] & interface.fields.keys()
    for kind in kinds:
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            wanted = kept[kind.name].union(*(kept[interface.name] for interface in kind.interfaces))
            kind.fields = {name: field for name, field in kind.fields.items() if name in wanted}
    return without_prose("\n\n".join(map(print_type, kinds)))


def without_prose(text: str) -> str:
    """The schema's facts; its descriptions are GitHub's text."""
    return print_ast(visit(parse(text, no_location=True), _Silence())) + "\n"


class _Silence(Visitor):
    """Takes the description of every definition."""

    def leave(self, node: Any, *_: object) -> Any:
        return replace(node, description=None) if getattr(node, "description", None) else None


class _Asked(Visitor):
    """Collects types, and for each the fields that are asked for."""

    def __init__(self, schema: GraphQLSchema) -> None:
        super().__init__()
        self.info = TypeInfo(schema)
        self._schema = schema
        self._fields: defaultdict[str, set[str]] = defaultdict(set)

    def enter_field(self, node: FieldNode, *_: object) -> None:
        parent = self.info.get_parent_type()
        assert parent
        if not node.name.value.startswith("__"):
            self._fields[parent.name].add(node.name.value)

    def close(self) -> dict[str, set[str]]:
        """What the fields need: their own types, those of their arguments, and those below."""
        waiting = list(self._fields)
        while waiting:
            name = waiting.pop()
            for needed in self._needs(name):
                if needed not in self._fields and not is_specified_scalar_type(self._schema.type_map[needed]):
                    self._fields[needed] = set()
                    waiting.append(needed)
        return dict(self._fields)

    def _needs(self, name: str) -> Iterable[str]:
        kind = self._schema.type_map[name]
        if isinstance(kind, GraphQLInputObjectType):
            yield from (get_named_type(field.type).name for field in kind.fields.values())
        elif isinstance(kind, GraphQLUnionType):
            yield from (member.name for member in kind.types)
        elif isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)):
            for field_name in self._fields[name]:
                field = kind.fields[field_name]
                yield get_named_type(field.type).name
                yield from (get_named_type(argument.type).name for argument in field.args.values())


INVENTORY: Final = Names(repositories=("fleet",), teams=("platform",), people=("ada",))


def main() -> None:
    source, *more = sys.argv[1:]
    documents = [
        queries.LOOK,
        queries.REPLACE,
        queries.contents(["0" * 40]),
        INVENTORY.query,
        *(Path(one).read_text() for one in more),
    ]
    print("# GitHub's GraphQL schema, cut by cut_schema.py from @octokit/graphql-schema (MIT, GitHub Inc.).\n")
    print(cut(build_schema(Path(source).read_text(), assume_valid=True), documents), end="")


if __name__ == "__main__":
    main()
