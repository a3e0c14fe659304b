"""What stays ours for ever on a cluster: the secrets, and the variables that only the stack knows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import pulumi

from fleet import names
from fleet.config import ALERT_ADDRESS, Settings
from fleet.manifests.runtime import runtime_config_map
from fleet.model import AppInstallation, Credential, Fleet, credentials_of
from fleet.resources.options import Scope, managed, managed_annotations

Text = dict[str, pulumi.Input[str]]


def secrets(scope: Scope, settings: Settings, depends_on: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
    """Every Secret that this cluster needs in flux-system; their values are secret like what they are made of.

    The watch label makes a rotated credential reach the tenants' copies at once.
    """
    fleet, values = settings.fleet, settings.secrets
    writes = fleet.automates(scope.cluster) or fleet.environment_of(scope.cluster).role == "update"
    found = []
    for credential in credentials_of(fleet, settings.stack.environment, pulumi.get_stack()):
        if credential.secret == names.GIT_SECRET and not writes:
            continue  # another cluster of the environment runs image automation
        if credential.secret == names.REGISTRY_SECRET:
            config = values[credential.key].apply(lambda token: _docker_config(fleet, token))
            found.append(_secret(scope, credential.secret, {".dockerconfigjson": config}, depends_on))
        elif credential.secret:
            text = _git(credential, settings)
            found.append(_secret(scope, credential.secret, text, depends_on))
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


def _docker_config(fleet: Fleet, token: str) -> str:
    host, user = fleet.registry.partition("/")[0], fleet.bot.name
    auth = base64.b64encode(f"{user}:{token}".encode()).decode()
    return json.dumps({"auths": {host: {"username": user, "password": token, "auth": auth}}})


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


def runtime_info(scope: Scope, data: Mapping[str, str], depends_on: Sequence[pulumi.Resource]) -> pulumi.Resource:
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
