"""kubeconform in strict mode, with the schemas of Kubernetes, of Flux and of its operator, all from Go modules.

For tests marked `sandbox`. Nothing is downloaded that the sandbox's parts are not built of.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.build import Parts
from sandbox.parts import recipe
from tests import oracle
from tests.rendering import Schemas, closed, module_folder

REFERENCE: Final = "#/components/schemas/"


def check(parts: Parts, schemas: Schemas, objects: Iterable[Any], folder: Path) -> set[str]:
    """Kinds among `objects` that nobody has a schema of; fails with what kubeconform finds in the others."""
    found = list(objects)
    kinds = {(o["apiVersion"], o["kind"]) for o in found}
    known = _kubernetes() | dict(schemas)
    for version, kind in kinds & known.keys():
        # to kubeconform, the group of what has none is its version
        file = folder / f"{version.partition('/')[0]}_{version.rpartition('/')[2]}" / f"{kind.lower()}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known[version, kind]))
    checked = [o for o in found if (o["apiVersion"], o["kind"]) in known]
    template = f"{folder}/{{{{ .Group }}}}_{{{{ .ResourceAPIVersion }}}}/{{{{ .ResourceKind }}}}.json"
    flags = ("-strict", "-output", "json", "-summary", "-schema-location", template, "-")
    told = json.loads(oracle.run(parts.kubeconform, *flags, given=yaml.safe_dump_all(checked).encode()))
    assert told["summary"] == {"valid": len(checked), "invalid": 0, "errors": 0, "skipped": 0}
    return {kind for version, kind in kinds - known.keys()}


@cache
def _kubernetes() -> dict[tuple[str, str], Any]:
    """Schemas of Kubernetes' own kinds, by API version and kind, from its published description."""
    known = {}
    for file in sorted((module_folder(recipe.KUBERNETES) / "api/openapi-spec/v3").glob("*_openapi.json")):
        schemas = json.loads(file.read_text().replace(REFERENCE, "#/definitions/"))["components"].get("schemas", {})
        definitions = {name: closed(schema) for name, schema in schemas.items()}
        for name, schema in schemas.items():
            for kind in schema.get("x-kubernetes-group-version-kind", ()):
                version = "/".join(filter(None, [kind["group"], kind["version"]]))
                whole = {"$ref": f"#/definitions/{name}", "definitions": definitions}
                known[version, kind["kind"]] = whole
    return known
