"""What the rendering tests share: the fleets they render, golden files, and the schemas of the operator's CRDs.

`fleet.yaml` is the case `default`; `complete` uses every key of the oci design, `git` is the other design with
projects of teams, each in a repository of its own and only in some environments; `cloud` has no token and encrypted
files; `mirror` pulls nothing from outside. Golden files are rewritten by `pytest tests/unit --update-golden`; read the
difference before you commit it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fleet import config
from fleet.manifests.trees import Tree, trees
from fleet.model import Fleet, mirrored, parse_fleet
from sandbox.parts import files, recipe

ROOT: Final = Path(__file__).parents[1]
GOLDEN: Final = ROOT / "tests/golden"
CASES: Final = {
    "default": ROOT / "fleet.yaml",
    "complete": ROOT / "tests/config/valid/complete.yaml",
    "git": ROOT / "tests/config/valid/git.yaml",
    "cloud": ROOT / "tests/config/valid/cloud.yaml",
    "mirror": ROOT / "tests/config/valid/mirror.yaml",
}
CLUSTERS: Final = {
    "default": ("staging", "prod-eu", "prod-us", "update"),
    "complete": ("qa", "staging", "prod-eu", "prod-us", "update"),
    "git": ("qa", "staging", "staging-2", "production"),
    "cloud": ("local", "staging", "production"),
    "mirror": ("staging", "production", "update"),
}

FOLDERS: Final = ("clusters", "tenants", "components", "update")
"""Of the repositories, what Flux reads."""

Schemas = Mapping[tuple[str, str], Mapping[str, Any]]
"""JSON schema of a custom resource, by API version and kind."""


def load_case(case: str) -> Fleet:
    return config.load_fleet(CASES[case])


def make_fleet(**sections: Any) -> Fleet:
    """The smallest fleet with other sections, by their names in fleet.yaml; without the catalog."""
    raw = yaml.safe_load((ROOT / "tests/config/valid/minimal.yaml").read_text())
    return mirrored(parse_fleet(raw | sections))


def trees_of(fleet: Fleet) -> dict[str, bytes]:
    """Every file of all repositories; the three that each fleet has are in folders of one name in all cases."""
    found = trees(fleet).items()
    return {f"{folder_of(fleet, name)}/{path}": content for name, tree in found for path, content in tree.items()}


def folder_of(fleet: Fleet, repository: str) -> str:
    """Where `trees_of` has a repository."""
    return {name: role for role, name in fleet.repositories.model_dump().items()}.get(repository, repository)


def tree_of(fleet: Fleet, role: str) -> Tree:
    """The tree of one of the three repositories that each fleet has."""
    return trees(fleet)[getattr(fleet.repositories, role)]


def delivering(fleet: Fleet) -> list[str]:
    """Clusters that get components and tenants."""
    return [name for name in fleet.clusters if fleet.environment_of(name).role == "fleet"]


def read_all(text: bytes | str) -> list[Any]:
    """The documents of a YAML text."""
    return list(yaml.load_all(text, yaml.CSafeLoader))


def objects_of(fleet: Fleet) -> Iterator[tuple[str, Any]]:
    """Every whole Kubernetes object in the trees, with its file; without what only kustomize, people or GitHub read."""
    for path, content in trees_of(fleet).items():
        patches = "/components/" in path and path.split("/")[-2] in fleet.overlays
        if is_applied(path) and not path.endswith(("/kustomization.yaml", "-values.yaml")) and not patches:
            for document in read_all(content):
                yield path, document


def is_applied(path: str) -> bool:
    """Whether Flux reads that YAML file, which those of a chart need not be; `path` begins with the repository."""
    return path.split("/")[1] in FOLDERS and path.endswith(".yaml") and "/charts/" not in path


def check_golden(folder: Path, rendered: Mapping[str, bytes], *, update: bool) -> None:
    """`rendered` (path → content) is exactly what lies in `folder`; with `update` it is put there."""
    if update:
        shutil.rmtree(folder, ignore_errors=True)
        for path, content in rendered.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    committed = {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}
    assert sorted(rendered) == sorted(committed)
    for path, content in rendered.items():
        assert content.decode() == committed[path], path


def find_schemas() -> Schemas:
    """Those of the operator's own CRDs and of Flux's newest ones, from the Go module that the sandbox builds."""
    module = module_folder(recipe.OPERATOR)
    sources = [module / "config/crd/bases", files.newest_flux(module / "config/data/flux")]
    found = (
        document for folder in sources for file in folder.glob("*.yaml") for document in read_all(file.read_text())
    )
    crds = [document["spec"] for document in found if document and document["kind"] == "CustomResourceDefinition"]
    return {
        (f"{crd['group']}/{version['name']}", crd["names"]["kind"]): closed(version["schema"]["openAPIV3Schema"])
        for crd in crds
        for version in crd["versions"]
    }


def module_folder(module: str) -> Path:
    """Where a Go module of the sandbox's parts is unpacked; downloaded first where it is missing."""
    command = ["go", "mod", "download", "-json", module]
    try:
        run = subprocess.run(command, cwd=recipe.folder(), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stdout", None) or error
        pytest.fail(f"the Go module `{module}` is needed: install Go, run `make up` once while online\n{said}")
    return Path(json.loads(run.stdout)["Dir"])


def closed(schema: Any) -> Any:
    """The schema as the API server applies it with strict field validation: it refuses keys it does not know."""
    if isinstance(schema, list):
        return [closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: closed(entry) for name, entry in value.items()} if key == "properties" else closed(value)
        for key, value in schema.items()
    }
    if "properties" in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def validate(schemas: Schemas, manifest: Mapping[str, Any]) -> None:
    """Raises what the API server would refuse, as far as it stands in the schema of a custom resource."""
    import jsonschema

    schema = schemas[manifest["apiVersion"], manifest["kind"]]
    closed_metadata = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    properties = schema["properties"] | {"metadata": closed_metadata}
    jsonschema.Draft202012Validator({**schema, "properties": properties}).validate(manifest)
