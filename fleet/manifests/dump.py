"""The one YAML writer: same data, same bytes. Keys keep the order in which a manifest builds them.

PyYAML writes for readers of YAML 1.1; Flux, kustomize and the operator read with Go's yaml, which also knows the
numbers of YAML 1.2 and the short truth values. Text that looks like one of those is quoted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Self

import yaml

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Commented(str):
    """Plain text, such as a version, with a comment after it on its line, where tools look for their marks."""

    __slots__ = ("comment",)

    def __new__(cls, text: str, comment: str) -> Self:
        made = super().__new__(cls, text)
        made.comment = comment
        return made

    comment: str


class _Dumper(_Base):  # type: ignore[misc]
    """SafeDumper without aliases, and with readable blocks for text of several lines."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_MARK: Final = "\ue000"
"""Between a text and its comment while PyYAML writes, which knows no comments; a private character, used nowhere."""
_MARKED: Final = re.compile(f"'([^'\n]*){_MARK}([^'\n]*){_MARK}'")


def _represent_commented(dumper: Any, text: Commented) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", f"{text}{_MARK}{text.comment}{_MARK}", style="'")


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Commented, _represent_commented)

_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?0o[0-7]+$")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))


def dump(*objects: object) -> bytes:
    """YAML of one or more objects, as documents of one file."""
    text = yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True, explicit_start=True)
    return _MARKED.sub(r"\1 # \2", text).encode()


def dump_files(files: Iterable[tuple[str, Any]]) -> dict[str, bytes]:
    """Path → YAML; bytes are kept as they are, a tuple becomes several documents."""
    return {path: _bytes(content) for path, content in files}


def _bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return dump(*content) if isinstance(content, tuple) else dump(content)
