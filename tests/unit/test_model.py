"""The model: what it derives, what it takes for a value, and that it mirrors the operator's own schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from fleet.config import catalog
from fleet.errors import ConfigError
from fleet.model import Fleet, base, parse_fleet, parse_stack, tenant, with_catalog
from fleet.model.checks import check_fleet
from fleet.model.flux import CORE, UPDATE, Flux, Sharding
from tests.rendering import ROOT, Schemas, load_case, make_fleet

# --- values ----------------------------------------------------------------------------------------------------------
VALUES: Final[Mapping[str, tuple[Any, str, str]]] = {
    "label": (
        base.DnsLabel,
        "a 3scale a-b x1 2024-01-01",
        "A a_b -a a- a.b on n null 123 007 1e3 0x1f 0o17 0b1",
    ),
    "name": (base.DnsName, "a a.b eu.example.com", "A a_b .a a. *.a"),
    "owner": (base.GitHubOwner, "a Acme-Corp 42", "-a a- a--b a_b a.b"),
    "repository": (base.RepositoryName, "fleet My.Fleet a_b a__b a-b--c", ".a a. a..b a___b -a a/b"),
    "oci": (
        base.OciUrl,
        "oci://r/a oci://r:5000/a/b:v1",
        "https://r/a oci://r oci://r/ oci://r/a/ oci:///a r/a",
    ),
    "prefix": (base.SourcePrefix, "oci://r/a/ https://h/ oci://r/", "oci://r/a http://h/ r/ oci:///"),
    "registry": (base.RegistryBase, "ghcr.io r:5000 r.io/a/b-c", "oci://r r/ R.io r/a/ r:x"),
    "range": (base.VersionRange, "2.x 2.8.x >=1.0.0 ^2 ~1.2 * v1.2.3 >=1.2.0-0", "latest stable"),
    "version": (base.Version, "1.2.3 v1.2.3 1.2.3-rc.1", "1.2 1 latest 1.2.3+b 1.2.x 1.2.3-"),
    "quantity": (base.Quantity, "8 0.5 .5 1. 250m 16Gi 1e3 1E-3 2k", "-1 1GB 1gi eight 1e 1mi i ."),
    "duration": (base.Duration, "1m 45s 1h30m 0.5h 100ms", "1 1d m -1m 1:00 60"),
    "variable": (base.VariableName, "A _a A1 a", "1A A-B A.B Ä"),
    "release": (tenant.ReleaseName, f"a {'a' * 53}", f"kustomization {'a' * 54} A"),
    "file": (tenant.FileName, f"a {'a' * 63}", f"kustomization {'a' * 64}"),
}
"""Type, words that it takes and words that it refuses."""


@pytest.mark.parametrize(("kind", "takes", "refuses"), VALUES.values(), ids=VALUES)
def test_values_are_taken_or_refused_before_a_cluster_sees_them(kind: Any, takes: str, refuses: str) -> None:
    assert [word for word in [*takes.split(), *refuses.split()] if is_valid(kind, word)] == takes.split()
    assert not is_valid(kind, "")


def is_valid(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("value", [1, True, None, "two\nlines", "x" * 4097])
def test_a_variable_is_one_line_of_text(value: object) -> None:
    assert not is_valid(base.VariableValue, value)
    assert is_valid(base.VariableValue, "")


@pytest.mark.parametrize(
    ("version", "works"),
    [
        *((version, True) for version in ("2.x", "2.8.x", ">=2.3", "^2.3", "3.x", "2", "*")),
        *((version, False) for version in ("2.7.x", "v2.7.4", "=2.7.4", "~2.7", "1.x", "1")),
    ],
)
def test_flux_is_new_enough_for_what_the_trees_use(version: str, works: bool) -> None:
    assert is_valid(Flux, {"version": version}) is works


def test_releases_of_different_repositories_may_have_policies_of_one_name() -> None:
    """Each repository's image automation has a namespace of its own."""
    release = {"chart": "oci://r.example.com/charts/x", "version": "1.0.0"}
    make_fleet(
        components={"a-b": {"releases": {"c": release}}},
        tenants={
            "a": {"team": "platform", "releases": {"b-c": release}},
            "a-b-c": {"team": "platform", "repository": "own", "releases": {"c": release}},
        },
    )


@pytest.mark.parametrize(("length", "works"), [(56, True), (57, False)])
def test_the_namespace_of_image_automation_is_as_long_as_kubernetes_admits(length: int, works: bool) -> None:
    """That of the fleet repository, which has none, may be longer."""
    make_fleet(repositories={"fleet": "f" * 100})
    if works:
        make_fleet(repositories={"apps": "r" * length})
    else:
        with pytest.raises(ConfigError, match="would be longer than 63"):
            make_fleet(repositories={"apps": "r" * length})


# --- what is derived -------------------------------------------------------------------------------------------------
def test_artifacts_lie_below_the_owner_in_lower_case() -> None:
    """OCI repositories are lower case, GitHub owners need not be."""
    assert make_fleet(owner="Acme-Corp", registry="r:5000/mirror").artifacts == "r:5000/mirror/acme-corp"


def test_clusters_that_only_update_charts_have_no_overlay() -> None:
    assert load_case("complete").overlays == ("qa", "staging", "production")


def test_a_workload_has_overlays_in_the_order_of_promotion_whatever_order_it_names_them_in() -> None:
    fleet = load_case("complete")
    named = fleet.components["probes"].environments
    assert named == ("staging", "qa")
    assert fleet.overlays_of(fleet.components["probes"]) == ("qa", "staging")
    assert fleet.overlays_of(fleet.components["edge"]) == fleet.overlays


def test_a_tenant_shares_the_repository_unless_it_has_its_own() -> None:
    fleet = load_case("complete")
    homes = {name: fleet.repository_of(tenant) for name, tenant in fleet.tenants.items()}
    assert homes == {"frontend": "apps.v2", "3scale": "apps.v2", "shop": "Shop.Deploy"}


def test_a_cluster_lays_its_own_keys_over_the_fleets_flux() -> None:
    fleet = load_case("complete")
    staging, us = fleet.flux_of("staging"), fleet.flux_of("prod-us")
    assert (staging.size, staging.network_policy, staging.version) == ("medium", False, fleet.flux.version)
    assert (us.sharding, us.storage, us.type, us.size) == (None, None, "gcp", "small")
    assert fleet.flux_of("qa") == fleet.flux


def test_controllers_are_those_of_the_role_unless_they_are_named() -> None:
    two = ["source-controller", "kustomize-controller"]
    environments = {"a": {"tracks": "main"}, "u": {"tracks": "main", "role": "update"}}
    clusters: dict[str, Any] = {
        "one": {"environment": "a"},
        "two": {"environment": "u"},
        "three": {"environment": "u", "flux": {}},
    }
    clusters["three"]["flux"] = {"components": two}
    fleet = make_fleet(environments=environments, clusters=clusters)
    assert [fleet.controllers_of(name) for name in clusters] == [CORE, UPDATE, tuple(two)]
    assert list(fleet.clusters_in("u")) == ["two", "three"]


def test_commits_of_the_bot_have_an_address_even_without_a_mail() -> None:
    assert make_fleet().bot.address == "acme-bot@users.noreply.github.com"
    assert load_case("complete").bot.address == "flux@acme.example"


def test_a_model_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_fleet().owner = "other"  # type: ignore[misc]


# --- all faults at once ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("parse", [parse_fleet, lambda raw: parse_stack(raw, None, "x")])
@pytest.mark.parametrize(
    "raw",
    [
        *({}, {"x": 1}, {"clusters": None, "environments": []}, {"clusters": {1: {}}}),
        {"design": "git", "environments": {"a": {}}, "clusters": {"c": {"environment": ["a"]}}},
        {"design": "git", "clusters": {"c": {"environment": "a"}}, "alerts": {"chat": 1}},
        {"environments": {"a": {"tracks": "main"}}, "clusters": {"c": None}, "tenants": {"t": {"environments": "a"}}},
        {"environment": {"a": 1}, "clusters": {"c": 1}, "githubApps": {"platform": 1}},
        {"repositories": {"fleet": 1}, "tenants": {"t": {"repository": ["r"], "source": 1}}, "teams": []},
    ],
)
def test_no_input_is_too_broken_to_be_told_about(
    parse: Callable[[Mapping[str, Any]], object], raw: Mapping[str, Any]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(raw)
    assert len({problem.path for problem in caught.value.problems}) == len(caught.value.problems)


def test_parsing_leaves_its_input_as_it_is() -> None:
    raw = {"owner": "a b", "clusters": {"x": {}}}
    with pytest.raises(ConfigError):
        parse_fleet(raw)
    assert raw == {"owner": "a b", "clusters": {"x": {}}}


def test_dependencies_are_followed_once_however_many_ways_lead_there() -> None:
    """Each of 60 components depends on all before it: 2^59 ways, 1770 dependencies."""

    class Counting(dict[str, Any]):
        looked_up = 0

        def __getitem__(self, key: str) -> Any:
            self.looked_up += 1
            assert self.looked_up < 10_000
            return super().__getitem__(key)

    raw = yaml.safe_load((ROOT / "tests/config/valid/minimal.yaml").read_text())
    raw["components"] = {f"c{n}": {"dependsOn": [f"c{m}" for m in range(n)]} for n in range(60)}
    unchecked = Fleet.model_validate(raw)
    counting = Counting(unchecked.components)
    assert check_fleet(unchecked.model_copy(update={"components": counting}), raw, "fleet.yaml") == []
    assert counting.looked_up


# --- the operator's schema -------------------------------------------------------------------------------------------
RULES: Final = {
    ".spec.storage must be set when .spec.sharding.storage is 'persistent'": "flux-sharding-without-storage",
    ".objectLevelWorkloadIdentity must be set to true when .multitenantWorkloadIdentity is set to true": (
        "flux-workload-identity"
    ),
    "sync.provider 'github' is only supported for GitRepository": "choices",
    "sync.provider 'gcp' is only supported for OCIRepository and Bucket": "flux-registry-provider-in-the-git-design",
    "Sync name is immutable": None,
}
"""Rule of the FluxInstance → the invalid fleet that breaks it; None where we never give a name, so that the rule has
nothing to refuse."""


def walk(schema: Any, path: str = "") -> list[tuple[str, Any]]:
    below = [(f"{path}.{key}", entry) for key, entry in schema.get("properties", {}).items()]
    below += [(f"{path}[]", schema["items"])] if "items" in schema else []
    return [(path, schema), *(found for name, entry in below for found in walk(entry, name))]


@pytest.fixture
def spec(schemas: Schemas) -> dict[str, Any]:
    """Every place of a FluxInstance's spec in the CRD."""
    return dict(walk(schemas["fluxcd.controlplane.io/v1", "FluxInstance"]["properties"]["spec"]))


def test_every_rule_of_the_operator_is_known_and_has_a_case(spec: dict[str, Any]) -> None:
    rules = {rule["message"] for place in spec.values() for rule in place.get("x-kubernetes-validations", ())}
    assert rules == RULES.keys()
    for case in filter(None, RULES.values()):
        assert (ROOT / f"tests/config/invalid/{case}.yaml").exists()


def test_every_choice_of_the_operator_is_ours(spec: dict[str, Any]) -> None:
    fields = Flux.model_json_schema()["properties"] | {
        "sharding.storage": Sharding.model_json_schema()["properties"]["storage"]
    }
    ours = {name: enum_of(field) for name, field in fields.items() if enum_of(field)}
    operators = {path: place["enum"] for path, place in spec.items() if "enum" in place}
    assert ours == {
        "components": operators[".components[]"],
        "size": operators[".cluster.size"],
        "type": operators[".cluster.type"],
        "variant": operators[".distribution.variant"],
        "sharding.storage": operators[".sharding.storage"],
        "registryProvider": [choice for choice in operators[".sync.provider"] if choice != "github"],
    }
    assert len(operators) == len(ours) + len({".sync.kind"})


def enum_of(field: Mapping[str, Any]) -> list[str]:
    places = [field, field.get("items", {}), *field.get("anyOf", ())]
    places += [place.get("items", {}) for place in field.get("anyOf", ())]
    return next((place["enum"] for place in places if "enum" in place), [])


def test_the_operators_pattern_of_durations_is_ours(spec: dict[str, Any]) -> None:
    (constraints,) = [c for c in get_args(base.Duration) if hasattr(c, "pattern")]
    assert spec[".sync.interval"]["pattern"] == constraints.pattern


def test_no_field_that_the_operator_requires_may_be_missing(spec: dict[str, Any]) -> None:
    required = {f"{path}.{key}" for path, place in spec.items() for key in place.get("required", ())}
    assert required == {
        *(".distribution", ".distribution.registry", ".distribution.version", ".kustomize.patches[].patch"),
        *(".sharding.shards", ".storage.class", ".storage.size"),
        *(".sync.kind", ".sync.path", ".sync.ref", ".sync.url"),
    }


def test_one_word_changes_the_design() -> None:
    """Of the fleet as it is committed; a cluster that tracks main does what the update cluster did."""
    raw = yaml.safe_load((ROOT / "fleet.yaml").read_text())
    resolved, _ = with_catalog(raw | {"design": "git"}, catalog(), "fleet.yaml")
    oci, git = load_case("default"), parse_fleet(resolved)
    assert oci.updating == ("update",)
    assert git.updating == ()
    assert git.clusters.keys() == oci.clusters.keys() - {"update"}
    assert git.automates("staging")
    with pytest.raises(ConfigError, match="leaves those with `role: update` out"):
        parse_stack({"environment": "update", "clusters": {"update": {"kind": "kind"}}}, git, "update")
