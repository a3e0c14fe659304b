"""What stays ours for ever on a cluster: the secrets, the variables that only the stack knows, and the annotation by
which Azure knows a controller."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence

import pulumi

from fleet import names
from fleet.config import ALERT_ADDRESS, Settings
from fleet.manifests.decryption import age_secret_name
from fleet.manifests.mirror import trust_secret
from fleet.manifests.runtime import runtime_config_map
from fleet.model import AppInstallation, Credential, Fleet, age_keys, credentials_on
from fleet.model.identity import azure_identities
from fleet.resources.options import Scope, managed, managed_annotations

Text = dict[str, pulumi.Input[str]]


def secrets(scope: Scope, settings: Settings, depends_on: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
    """Every Secret that this cluster needs in flux-system; their values are secret like what they are made of.

    The watch label makes a rotated credential reach the tenants' copies at once.
    """
    fleet, values = settings.fleet, settings.secrets
    found = []
    for credential in credentials_on(fleet, scope.cluster):
        if credential.secret:
            text = _docker(credential, settings) if credential.is_of_a_registry else _git(credential, settings)
            found.append(_secret(scope, credential.secret, text, depends_on))
    for workload, key in age_keys(fleet, settings.stack.environment).items():
        found.append(_secret(scope, age_secret_name(workload), {names.AGE_FILE: values[key]}, depends_on))
    if trust := trust_secret(fleet):
        found.append(_secret(scope, names.TRUST_SECRET, trust["stringData"], depends_on))
    if ALERT_ADDRESS in values:
        found.append(_secret(scope, names.ALERTS_SECRET, {"address": values[ALERT_ADDRESS]}, depends_on))
    return found


def _secret(scope: Scope, name: str, text: Text, depends_on: Sequence[pulumi.Resource]) -> pulumi.Resource:
    from pulumi_kubernetes.core.v1 import Secret

    return Secret(
        scope.resource_name(name),
        metadata={
            "name": name,
            "namespace": names.FLUX_NAMESPACE,
            "labels": {names.LABEL_WATCH: "Enabled"},
            "annotations": managed_annotations(),
        },
        type="kubernetes.io/dockerconfigjson" if ".dockerconfigjson" in text else "Opaque",
        string_data=text,
        opts=managed(scope, depends_on),
    )


def _docker(credential: Credential, settings: Settings) -> Text:
    fleet, value = settings.fleet, settings.secrets[credential.key]
    if credential.name == "mirror" and fleet.mirror:
        user, hosts = fleet.mirror.user or "", fleet.mirror.servers
    else:
        user, hosts = fleet.bot.name, (fleet.registry.partition("/")[0],)
    return {".dockerconfigjson": value.apply(lambda token: _docker_config(user, token, hosts))}


def _docker_config(user: str, token: str, hosts: Iterable[str]) -> str:
    auth = base64.b64encode(f"{user}:{token}".encode()).decode()
    return json.dumps({"auths": {host: {"username": user, "password": token, "auth": auth} for host in hosts}})


def _git(credential: Credential, settings: Settings) -> Text:
    """Keys as Flux reads them: sources `username` and `password`, alerts `token`; an App's are the same for both."""
    value = settings.secrets[credential.key]
    if credential.auth == "token":
        return {"username": settings.fleet.bot.name, "password": value, "token": value}
    return _app(settings.stack.github_apps[credential.name], value, settings.fleet)


def _app(app: AppInstallation, key: pulumi.Output[str], fleet: Fleet) -> Text:
    text: Text = {
        "githubAppID": str(app.id),
        "githubAppInstallationID": str(app.installation),
        "githubAppPrivateKey": key,
    }
    enterprise = fleet.github.url != "https://github.com"
    return text | ({"githubAppBaseURL": f"{fleet.github.url}/api/v3"} if enterprise else {})


def runtime_info(
    scope: Scope, data: Mapping[str, pulumi.Input[str]], depends_on: Sequence[pulumi.Resource]
) -> pulumi.Resource:
    """Our keys of `flux-runtime-info`; the keys of Git come with the sync and are merged into the same object."""
    from pulumi_kubernetes.core.v1 import ConfigMap

    manifest = runtime_config_map(data)
    metadata = manifest["metadata"]
    metadata["annotations"] = metadata["annotations"] | managed_annotations()
    return ConfigMap(
        scope.resource_name(names.RUNTIME_INFO),
        metadata=metadata,
        data=manifest["data"],
        opts=managed(scope, depends_on),
    )


def controller_accounts(
    scope: Scope, fleet: Fleet, variables: Mapping[str, pulumi.Input[str]], depends_on: Sequence[pulumi.Resource]
) -> list[pulumi.Resource]:
    """The client IDs of controllers, before their pods start. The accounts are Flux's, which leaves what others
    annotate; of Git they are no part, since only the cluster's maker knows them."""
    from pulumi_kubernetes.core.v1 import ServiceAccountPatch

    known = {**fleet.clusters[scope.cluster].runtime_info, **variables}
    return [
        ServiceAccountPatch(
            scope.resource_name(controller),
            metadata={
                "name": controller,
                "namespace": names.FLUX_NAMESPACE,
                "annotations": {names.ANNOTATION_CLIENT_ID: known[variable]} | managed_annotations(),
            },
            opts=managed(scope, depends_on),
        )
        for controller, variable in azure_identities(fleet, scope.cluster).items()
    ]
