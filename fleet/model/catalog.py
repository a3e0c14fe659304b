"""Starting points: what a component or tenant is made of when fleet.yaml only names it.

The entries are data in `fleet/catalog/`, in the schema of fleet.yaml; `fleet.config` reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleet.errors import Problem, did_you_mean
from fleet.model.tenant import Component, Tenant, Workload

SECTIONS: Mapping[str, type[Workload]] = {"components": Component, "tenants": Tenant}

Entries = Mapping[str, Mapping[str, Any]]


def with_catalog(raw: Mapping[str, Any], catalog: Entries, source: str) -> tuple[dict[str, Any], list[Problem]]:
    """`raw` with each entry laid over its catalog entry, and a problem for each unknown `catalog` word."""
    problems: list[Problem] = []
    resolved = dict(raw)
    for section in SECTIONS:
        entries = raw.get(section)
        if not isinstance(entries, Mapping):
            continue
        words = fitting(section, catalog)
        resolved[section] = {}
        for name, entry in entries.items():
            own = {} if entry is None else entry
            if isinstance(own, Mapping):
                wanted = own.get("catalog") or name
                if isinstance(wanted, str) and wanted not in words and own.get("catalog"):
                    path, hint = f"{source}.{section}.{name}.catalog", did_you_mean(wanted, words)
                    problems.append(Problem(path, f"the catalog has no entry `{wanted}` for {section}", hint))
                elif not own and str(wanted) not in words:
                    message = f"is empty, and the catalog has no entry `{name}`"
                    problems.append(Problem(f"{source}.{section}.{name}", message, did_you_mean(str(name), words)))
                start = _without_foreign_environments(words.get(str(wanted), {}), raw.get("environments"))
                own = merge(start, own)
            resolved[section][name] = own
    return resolved, problems


def fitting(section: str, catalog: Entries) -> Entries:
    """The catalog entries that a section can use: a tenant has no place for a component's custom resources."""
    keys = {str(field.alias) for field in SECTIONS[section].model_fields.values()}
    return {word: entry for word, entry in catalog.items() if entry.keys() <= keys}


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
