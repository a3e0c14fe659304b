"""YAML files as plain data: fleet.yaml, the stacks' own, and the catalog. What they mean is not looked at here."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fleet.errors import ConfigError, Problem

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FLEET_FILE = "fleet.yaml"


@cache
def catalog() -> dict[str, dict[str, Any]]:
    """The built-in starting points of components and tenants, by name."""
    folder = resources.files("fleet") / "catalog"
    files = (entry for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {Path(entry.name).stem: _catalog_entry(entry) for entry in files}


def _catalog_entry(file: Traversable) -> dict[str, Any]:
    """An entry of the catalog, with the text of the files that its ConfigMaps name in place of their paths."""
    entry: dict[str, Any] = yaml.load(file.read_bytes(), _Loader)  # noqa: S506 a SafeLoader underneath
    for config_map in entry.get("configMaps", {}).values():
        texts = [resources.files("fleet") / "catalog" / path for path in config_map["files"]]
        config_map["files"] = {text.name: text.read_text() for text in texts}
    return entry


def read_mapping(path: Path) -> dict[str, Any]:
    """A YAML file whose top level is a mapping. Raises ConfigError for everything else."""
    try:
        raw = yaml.load(path.read_bytes(), _Loader)  # noqa: S506 a SafeLoader underneath
    except FileNotFoundError:
        problem = Problem(path.name, "the file does not exist", "run from the project's folder")
    except OSError as error:
        problem = Problem(path.name, f"cannot be read: {error.strerror}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        problem = Problem(where, f"not valid YAML: {error.problem}", str(error.context or ""))
    except (yaml.YAMLError, ValueError) as error:
        problem = Problem(path.name, f"not valid YAML: {error}")
    else:
        if isinstance(raw, dict):
            return raw
        hint = f"start with `{'design: oci' if path.name == FLEET_FILE else 'config:'}`"
        problem = Problem(path.name, "a mapping is expected at the top level", hint)
    raise ConfigError([problem])


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """SafeLoader that refuses a key given twice; plain YAML keeps the last one and loses the other in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                hint = "put text with braces or brackets into quotes"
                raise yaml.constructor.ConstructorError(hint, None, "a key must be text", key.start_mark)
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                message = f"key `{key.value}` given twice"
                raise yaml.constructor.ConstructorError("keep one of the two", None, message, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)  # type: ignore[no-any-return]
