"""The one YAML writer: what it writes is the same data for the readers of both versions of YAML, and for Go's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet.manifests.dump import Commented, dump, dump_files
from fleet.manifests.objects import config_map, flux_system, metadata, resource_set
from fleet.manifests.trees.overlay import kustomization
from sandbox.build import Parts
from tests import oracle

WORDS: Final = r"""
yes no on off y N true False null ~ = << - ? ! # [] {} & * | > % @ ` ' " \ a: a,b [a] {a:b} {{a}} &a *a #a it's ${A}
0123 0o17 0x1F 0b1 08 8 -8 +8 1_000 1e3 1E-3 12. .5 .inf .NaN 1:30 190:20:30 2024-01-01 2024-01-01T00:00:00Z
1.2.3 v1 8Gi 250m Grüße🚀 << inputs.dependsOn | toJson >>
"""
LINES: Final = [
    *["", " ", " a", "a ", "a: b", "a #b", 'say "hi"', "a\tb", "\u2028", "\ufeffa", "a" * 200, "word " * 50],
    *[
        "a\nb",
        "a\nb\n",
        "a\n\n",
        "\n",
        "\na",
        "  a\nb",
        "a\n  b\n",
        "a \nb",
        "a\r\nb",
        "a\n# b",
        "- a\n- b",
        "a:\n",
    ],
]
TEXTS: Final = [*WORDS.split(), *LINES, *WORDS.strip().splitlines()]
"""Text that looks like something else, or that is hard to write down."""


class CoreLoader(yaml.BaseLoader):
    """Reads scalars as the core schema of YAML 1.2 says (section 10.3.2); what is not text becomes a pair."""


for tag, pattern, first in (
    ("null", r"null|Null|NULL|~|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", list("-+.")),
):
    CoreLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"(?:{pattern})$"), first)
    CoreLoader.add_constructor(f"tag:yaml.org,2002:{tag}", lambda loader, node: (node.tag, node.value))


@pytest.mark.parametrize("loader", [yaml.SafeLoader, CoreLoader])
@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_text_stays_text(text: str, loader: Any) -> None:
    assert yaml.load(dump({"key": text}), loader) == {"key": text}  # noqa: S506
    assert yaml.load(dump([text]), loader) == [text]  # noqa: S506


@pytest.mark.sandbox
def test_text_stays_text_for_the_reader_of_kustomize(parts: Parts, tmp_path: Path) -> None:
    """Go's yaml is what Flux and the operator read with; it knows some words of both versions of YAML."""
    data = {f"key-{number}": text for number, text in enumerate(TEXTS)}
    files = {
        "map.yaml": dump(config_map(metadata("texts"), data)),
        "kustomization.yaml": dump(kustomization(["map.yaml"])),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    built = yaml.load(oracle.run(parts.kustomize, "build", str(tmp_path)), CoreLoader)  # noqa: S506
    assert built["data"] == data


@pytest.mark.sandbox
def test_text_stays_text_for_the_reader_of_the_operator(parts: Parts) -> None:
    """Helm and Flux use the same one; unlike that of kustomize it knows `y` and `n`."""
    data = {f"key-{number}": text for number, text in enumerate(TEXTS)}
    inputs: list[Any] = [{"data": data}]
    resources = [config_map(flux_system("texts")) | {"data": "<< inputs.data | toJson >>"}]
    built = oracle.build_resource_set(parts, resource_set("texts", inputs=inputs, resources=resources))
    assert yaml.load(built, CoreLoader)["data"] == data  # noqa: S506


def test_other_values_and_the_order_of_keys_stay() -> None:
    value = {"b": 1, "a": [True, None, 1.5, {"z": [], "y": {}}], "8": "8"}
    assert list(yaml.safe_load(dump(value)).items()) == list(value.items())


def test_text_of_several_lines_is_written_as_a_block() -> None:
    """Patches and scripts are read by people."""
    assert dump({"patch": "- op: add\n  path: /a\n"}) == b"---\npatch: |\n  - op: add\n    path: /a\n"


MARK: Final = '{"$imagepolicy": "ns:name:tag"}'


@pytest.mark.parametrize("loader", [yaml.SafeLoader, CoreLoader])
@pytest.mark.parametrize("version", ["1.2.3", "v1.20.2", "1.2.3-rc.1", "0.10.0"])
def test_a_comment_stands_after_its_text_and_is_no_part_of_it(version: str, loader: Any) -> None:
    """In any place, also where the same text has none."""
    value = {"tag": Commented(version, MARK), "other": version, "list": [Commented(version, MARK), {"a": version}]}
    written = dump(value).decode()
    marked = f"{version} # {MARK}"
    assert written == f"---\ntag: {marked}\nother: {version}\nlist:\n- {marked}\n- a: {version}\n"
    assert yaml.load(written, loader) == {"tag": version, "other": version, "list": [version, {"a": version}]}  # noqa: S506


def test_a_text_with_a_comment_is_a_text_like_any_other() -> None:
    """For whoever reads the manifest instead of the file."""
    commented = Commented("1.2.3", MARK)
    assert (commented, commented.comment, {"tag": commented}) == ("1.2.3", MARK, {"tag": "1.2.3"})


def test_what_stands_for_a_comment_while_it_is_written_is_in_no_file() -> None:
    """Not even where a text has quotes, or the comment is the only thing on the page."""
    written = dump([Commented("1.2.3", MARK), "it's", {"quoted": "'1.2.3'", "block": "a\n'b'\n"}])
    assert not re.search("[\ue000-\uf8ff]", written.decode())
    assert yaml.safe_load(written) == ["1.2.3", "it's", {"quoted": "'1.2.3'", "block": "a\n'b'\n"}]


def test_what_occurs_twice_is_written_twice() -> None:
    """kustomize reads anchors, people do not."""
    shared = {"a": 1}
    assert b"&" not in dump({"one": shared, "two": shared})


def test_a_file_is_bytes_or_one_document_or_several() -> None:
    given = [("raw", b"\xff"), ("one", {"a": 1}), ("two", ({"a": 1}, {"b": 2}))]
    assert dump_files(given) == {"raw": b"\xff", "one": b"---\na: 1\n", "two": b"---\na: 1\n---\nb: 2\n"}
