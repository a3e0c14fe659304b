"""The one YAML writer: same data, same bytes. Keys keep the order in which a manifest builds them.

PyYAML writes for readers of YAML 1.1; Flux, kustomize and the operator read with Go's yaml, which also knows the
numbers of YAML 1.2 and the short truth values. Text that looks like one of those is quoted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    """SafeDumper without aliases, and with readable blocks for text of several lines."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)

_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?0o[0-7]+$")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))


def dump(*objects: object) -> bytes:
    """YAML of one or more objects, as documents of one file."""
    return yaml.dump_all(
        objects, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True, explicit_start=True
    ).encode()


def dump_files(files: Iterable[tuple[str, Any]]) -> dict[str, bytes]:
    """Path → YAML; bytes are kept as they are, a tuple becomes several documents."""
    return {path: _bytes(content) for path, content in files}


def _bytes(content: Any) -> bytes:
    if isinstance(content, bytes):
        return content
    return dump(*content) if isinstance(content, tuple) else dump(content)
