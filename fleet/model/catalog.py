"""Starting points: what a component or tenant is made of when fleet.yaml only names it.

The entries are data in `fleet/catalog/`, in the schema of fleet.yaml; `fleet.config` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.errors import ConfigError, Problem, did_you_mean

SECTIONS = ("components", "tenants")


def with_catalog(raw: Mapping[str, Any], catalog: Mapping[str, Mapping[str, Any]], source: str) -> dict[str, Any]:
    """`raw` with each entry laid over its catalog entry. Raises ConfigError for unknown `catalog` words."""
    problems: list[Problem] = []
    resolved = dict(raw)
    known_environments = raw.get("environments")
    for section in SECTIONS:
        entries = raw.get(section)
        if not isinstance(entries, Mapping):
            continue
        resolved[section] = {}
        for name, entry in entries.items():
            own = {} if entry is None else entry
            wanted = own.get("catalog", name) if isinstance(own, Mapping) else name
            if isinstance(own, Mapping) and "catalog" in own and wanted not in catalog:
                path = f"{source}.{section}.{name}.catalog"
                problems.append(Problem(path, f"the catalog has no entry `{wanted}`", did_you_mean(str(wanted), catalog)))
            start = _without_foreign_environments(catalog.get(str(wanted), {}), known_environments)
            resolved[section][name] = merge(start, own) if isinstance(own, Mapping) else own
    if problems:
        raise ConfigError(problems)
    return resolved


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merge key by key; everything else in `above` replaces what is in `below`."""
    merged = dict(below)
    for key, value in above.items():
        start = merged.get(key)
        merged[key] = merge(start, value) if isinstance(start, Mapping) and isinstance(value, Mapping) else value
    return merged


def _without_foreign_environments(entry: Mapping[str, Any], known: object) -> dict[str, Any]:
    """A catalog entry knows values for the usual environments; those that this fleet lacks are no fault."""
    trimmed = dict(entry)
    for part in ("releases", "configs"):
        for name, spec in entry.get(part, {}).items():
            kept = {e: v for e, v in spec.get("environments", {}).items() if isinstance(known, Mapping) and e in known}
            trimmed[part] = trimmed[part] | {name: spec | {"environments": kept}}
    return trimmed
