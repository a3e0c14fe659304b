"""What the program declares for each stack of the repository: the whole graph, its order, its providers."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pulumi import RunError

from fleet import names
from fleet.errors import ConfigError
from fleet.manifests.delivery import resource_sets_of
from fleet.manifests.instance import flux_instance
from fleet.manifests.runtime import runtime_info, substituted
from fleet.ownership import ABSENT, Verdict
from sandbox.program.registration import UNKNOWN, Secret
from tests.checkout import (
    DELIVERING,
    DESIGNS,
    KIND,
    KIND_STACKS,
    REPOSITORY,
    STACKS,
    Checkout,
    Run,
    identity,
    label,
    label_of,
    order_of,
)
from tests.reader import ADOPTED, Reader, found
from tests.recording import RecordingMonitor

FLUX_CLUSTER = "fleet:index:FluxCluster"
KUBERNETES = "pulumi:providers:kubernetes"
RESOURCE_SET = "kubernetes:fluxcd.controlplane.io/v1:ResourceSet"
MODES = pytest.mark.parametrize("preview", [True, False], ids=["preview", "up"])
EVERY_STACK = pytest.mark.parametrize("stack", STACKS)
EVERY_CLUSTER = pytest.mark.parametrize(("stack", "cluster"), [(s, c) for s in STACKS for c in STACKS[s]])
EVERY_DESIGN = pytest.mark.parametrize(
    ("design", "stack"),
    [*(("oci", stack) for stack in STACKS), *((d, s) for d in DESIGNS[1:] for s in ("sandbox", "production"))],
)


# --- graph -----------------------------------------------------------------------------------------------------------
def graph(design: str, stack: str) -> dict[str, str]:
    """Label of each resource of a stack → label of its parent."""
    root = f"pulumi:pulumi:Stack::fleet-{stack}"
    parents: dict[str, str] = {}
    for cluster in STACKS[stack]:
        component = f"{FLUX_CLUSTER}::{cluster}"
        parents |= {component: root, f"{KUBERNETES}::{cluster}": component}
        parents |= {label(cluster, word): component for stage in order_of(design, stack) for word in stage}
    if stack in KIND_STACKS:
        parents |= {f"{KIND}::{stack}-kind": root, f"pulumi:providers:command::{stack}-kind": root}
    return parents


@MODES
@EVERY_DESIGN
@pytest.mark.covers("R98", "R105", "R106", "R107", "R108", "R144", "R148")
def test_the_graph_is_exactly_this(checkout: Checkout, reader: Reader, design: str, stack: str, preview: bool) -> None:
    """One `up` is the whole bootstrap: namespace, operator, secrets, delivery, instance."""
    run = checkout.run(stack, preview=preview, **checkout.use(design, stack))
    assert {asked.label: label_of(asked.parent) for asked in run.monitor.registrations} == graph(design, stack)
    assert len(run.monitor.registrations) == len(graph(design, stack))


@MODES
@EVERY_DESIGN
@pytest.mark.parametrize("verdict", [ABSENT, ADOPTED], ids=["fresh", "adopted"])
def test_each_object_waits_for_all_earlier_stages_and_for_nothing_else(
    checkout: Checkout, reader: Reader, verdict: Verdict, design: str, stack: str, preview: bool
) -> None:
    """Also where objects are only read or imported."""
    reader.answer = lambda kubeconfig: found("instance", verdict, verdict)
    run = checkout.run(stack, preview=preview, **checkout.use(design, stack))
    for cluster in STACKS[stack]:
        earlier: set[str] = set()
        for stage in order_of(design, stack):
            for word in stage:
                assert run.before(label(cluster, word)) == earlier
            earlier |= {label(cluster, word) for word in stage}


# --- providers -------------------------------------------------------------------------------------------------------
@MODES
@EVERY_STACK
def test_every_resource_has_the_explicit_provider_of_its_cluster(
    checkout: Checkout, reader: Reader, stack: str, preview: bool
) -> None:
    run = checkout.run(stack, preview=preview)
    for asked in run.monitor.registrations:
        if asked.custom and not asked.type.startswith("pulumi:providers:"):
            owner = label_of(asked.parent).rpartition("::")[2] if asked.type != KIND else f"{stack}-kind"
            expected = f"pulumi:providers:{asked.type.partition(':')[0]}::{owner}"
            assert label_of(asked.provider.rpartition("::")[0]) == expected, asked.label


@EVERY_STACK
def test_no_stack_may_fall_back_to_a_default_provider(stack: str) -> None:
    values = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    assert values["pulumi:disable-default-providers"] == ["*"]


@EVERY_CLUSTER
def test_the_arguments_of_a_provider(checkout: Checkout, reader: Reader, stack: str, cluster: str) -> None:
    """The provider takes booleans as JSON text; the identifier keeps a new address from replacing all objects."""
    assert checkout.run(stack).resources[f"{KUBERNETES}::{cluster}"].inputs == {
        "kubeconfig": Secret(checkout.kubeconfig(cluster)),
        "clusterIdentifier": identity(cluster) if stack in KIND_STACKS else cluster,
        "enableServerSideApply": "true",
        "skipUpdateUnreachable": "true",
        "upsertExistingObjects": "true",
        "enableSecretMutable": "true",
        "enableConfigMapMutable": "true",
    }


def test_a_context_is_all_that_reaches_the_reader_and_the_provider(checkout: Checkout, reader: Reader) -> None:
    """Whatever else the kubeconfig knows."""
    checkout.change_fleet(
        environments={"production": {"tracks": "releases"}}, clusters={"prod-eu": {"environment": "production"}}
    )
    near, far = (yaml.safe_load(checkout.kubeconfig(name)) for name in ("prod-us", "prod-eu"))
    both = near | {section: near[section] + far[section] for section in ("clusters", "contexts", "users")}
    (checkout.root / "both").write_text(yaml.safe_dump(both))
    (checkout.root / "Pulumi.production.yaml").unlink()
    cluster = {"kind": "existing", "kubeconfigVariable": "OURS", "context": "prod-eu"}
    values = {"fleet:environment": "production", "fleet:clusters": {"prod-eu": cluster}}
    (checkout.root / "Pulumi.production.yaml").write_text(yaml.safe_dump({"config": values}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OURS", "both")
        run = checkout.run("production")
    assert run.resources[f"{KUBERNETES}::prod-eu"].inputs["kubeconfig"] == Secret(checkout.kubeconfig("prod-eu"))
    assert reader.asked == [checkout.kubeconfig("prod-eu")]


def test_the_plan_of_a_cluster_to_be_made_knows_no_kubeconfig(checkout: Checkout, reader: Reader) -> None:
    """Unknown, and secret all the same; nothing is there to be read."""
    run = checkout.run("staging", preview=True)
    assert run.resources[f"{KUBERNETES}::staging"].inputs["kubeconfig"] == Secret(UNKNOWN)
    assert run.outputs["kubeconfigs"] == {"staging": Secret(UNKNOWN)}
    assert reader.asked == []


# --- content ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize(("stack", "cluster"), DELIVERING)
@pytest.mark.covers("R109")
def test_what_flux_will_own_is_what_the_fleet_repository_holds(
    checkout: Checkout, reader: Reader, stack: str, cluster: str, design: str
) -> None:
    """The same specs, with the cluster's variables filled in."""
    from fleet.config import load_fleet

    limited = {"tenants": checkout.sections["tenants"] | {"only": {"team": "web", "environments": ["production"]}}}
    run = checkout.run(stack, **checkout.use(design, stack, **limited))
    fleet = load_fleet(checkout.root / "fleet.yaml")
    assert run.of(cluster, "instance").inputs["spec"] == flux_instance(fleet, cluster)["spec"]
    variables, sets = runtime_info(fleet, cluster), resource_sets_of(fleet, cluster)
    assert ("apps.production" in sets) is (stack == "production")
    for name, manifest in sets.items():
        inputs = run.resources[f"{RESOURCE_SET}::{cluster}-resourceset-{name}"].inputs
        assert inputs["spec"] == substituted(manifest["spec"], variables)
        assert "${" not in str(inputs)
    applied = {asked.name for asked in run.monitor.registrations if asked.type == RESOURCE_SET}
    assert {name for name in applied if name.startswith(f"{cluster}-")} == {f"{cluster}-resourceset-{n}" for n in sets}


@pytest.mark.covers("R72", "R106")
def test_the_release_has_the_name_under_which_flux_takes_it_over(checkout: Checkout, reader: Reader) -> None:
    run = checkout.run("sandbox", operatorChart="/charts/operator", operatorVersion="0.59.0")
    inputs = run.of("staging", "operator").inputs
    values = inputs["values"]
    assert (inputs["name"], inputs["namespace"]) == ("flux-operator", "flux-system")
    assert (inputs["chart"], inputs["version"]) == ("/charts/operator", "0.59.0")
    assert values["multitenancy"] == {"enabled": True, "defaultServiceAccount": "flux-operator"}
    assert inputs["timeout"] == 300


def test_a_stack_adds_its_own_variables(checkout: Checkout, reader: Reader) -> None:
    """Git's variables are not among them: both sides own their keys of one object."""
    run = checkout.run("sandbox", runtimeInfo={"REGION": "eu"})
    assert run.of("staging", "runtime").inputs["data"] == {
        "FLEET_STACK": "sandbox",
        "FLEET_CLUSTER": "staging",
        "REGION": "eu",
    }
    assert run.of("staging", "runtime").inputs["metadata"]["annotations"][names.ANNOTATION_SSA] == "Merge"


# --- bad configuration -----------------------------------------------------------------------------------------------
BAD_CONFIGURATION = """\
the configuration is not valid, nothing was changed (3 problems)
  fleet.yaml.tenants.frontend.team: there is no team `wbe`
      hint: did you mean `web`?
  Pulumi.production.yaml.readyTimeout: Input should be less than or equal to 3600, got `9999`
      hint: Seconds that a FluxInstance may take to become ready.
  Pulumi.production.yaml.redyTimeout: unknown key `redyTimeout`
      hint: did you mean `readyTimeout`?"""


def test_all_faults_of_both_files_are_told_at_once_before_anything_exists(
    checkout: Checkout, reader: Reader, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The program ends with a RunError, of which the language host shows the text alone, without a traceback."""
    checkout.change_fleet(tenants={"frontend": {"team": "wbe"}})
    monitor = RecordingMonitor()
    with pytest.raises(ConfigError) as raised:
        checkout.run("production", monitor=monitor, readyTimeout=9999, redyTimeout=5)
    told = raised.value.__cause__
    assert isinstance(told, RunError)
    assert str(told) == BAD_CONFIGURATION
    assert monitor.registrations == []
    assert reader.asked == []
    assert (capfd.readouterr(), caplog.messages) == (("", ""), [])


@pytest.mark.parametrize("design", DESIGNS)
def test_every_missing_secret_is_told_at_once(checkout: Checkout, reader: Reader, design: str) -> None:
    """Those of the clusters and those of the design."""
    keys = {"oci": ["registryToken"], "git": ["platformToken", "tenantsToken"]}
    keys["git with apps"] = ["platformAppKey", "tenantsAppKey"]
    missing = [*keys[design], "prodEuKubeconfig", "prodUsKubeconfig"]
    values = checkout.use(design, "production")
    with pytest.raises(ConfigError) as raised:
        checkout.run("production", without=missing, **values)
    assert [problem.path for problem in raised.value.problems] == [f"Pulumi.production.yaml.{key}" for key in missing]
    assert all("is not set" in problem.message for problem in raised.value.problems)


# --- repeated runs ---------------------------------------------------------------------------------------------------
def test_runs_in_one_process_do_not_leak_into_each_other(checkout: Checkout, reader: Reader) -> None:
    def seen(run: Run) -> dict[str, Any]:
        return {"resources": run.resources, "outputs": run.outputs, "components": run.monitor.outputs}

    first = seen(checkout.run("staging"))
    production = seen(checkout.run("production", preview=True))
    with pytest.raises(ConfigError, match="`registryToken` is not set"):
        checkout.run("sandbox", without=["registryToken"])
    assert seen(checkout.run("production", preview=True)) == production
    assert seen(checkout.run("staging")) == first
