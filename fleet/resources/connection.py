"""A client of a live cluster, by its kubeconfig. Called by whoever looks at one: `live`, `automation`.

lightkube makes the connection. What it leaves out is added: exec plug-ins of any version, with an end to their time and
with client certificates, and proxies. No error quotes a kubeconfig.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from fleet import names
from fleet.config import process_environment

if TYPE_CHECKING:
    from lightkube import Client

TIMEOUT: Final = 10.0
"""Seconds for one request."""
PLUGIN_TIMEOUT: Final = 60.0
"""Seconds for an exec plug-in, which may ask a cloud."""


def connect(kubeconfig: str, context: str | None = None) -> Client:
    """A client whose namespace is flux-system; it is a context manager. Raises ValueError for a broken kubeconfig and
    for a plug-in that gives no credential. Proxies of the shell are not used."""
    import httpx2
    from lightkube import Client, KubeConfig

    document = _parse(kubeconfig)
    try:
        found = KubeConfig.from_dict(document).get(context)
        assert found is not None, "without a context lightkube raises"
        cluster, user = _body(document, "cluster", found.context.cluster), _body(document, "user", found.context.user)
        if "exec" in user:
            credential = {**user, "exec": None} | _ask_plugin(user["exec"], cluster)
            users = [{"name": found.context.user, "user": credential}]
            found = KubeConfig.from_dict(document | {"users": users}).get(context)
    except KeyError as error:
        raise ValueError(f"the kubeconfig lacks `{error.args[0]}`") from None
    proxy, timeout = cluster.get("proxy-url"), httpx2.Timeout(TIMEOUT)
    return Client(found, namespace=names.FLUX_NAMESPACE, timeout=timeout, trust_env=False, proxy=proxy)


def _parse(kubeconfig: str) -> dict[str, Any]:
    """YAML's own errors quote the line, credentials and all."""
    import yaml

    try:
        document = yaml.safe_load(kubeconfig)
    except yaml.YAMLError:
        raise ValueError("the kubeconfig is not valid YAML") from None
    if not isinstance(document, dict):
        raise ValueError("the kubeconfig is not a mapping")  # noqa: TRY004 a fault of the text, not of the call
    return document


def _body(document: Mapping[str, Any], key: str, name: str | None) -> Mapping[str, Any]:
    found = {entry["name"]: entry[key] for entry in document[f"{key}s"]}
    return dict(found[name] or {})


def _ask_plugin(plugin: Mapping[str, Any], cluster: Mapping[str, Any]) -> dict[str, str]:
    """The credential of an exec plug-in, as a kubeconfig's user has it. Raises ValueError."""
    command = str(plugin["command"])
    given = {str(item["name"]): str(item["value"]) for item in plugin.get("env") or ()}
    spec: dict[str, Any] = {"interactive": False}
    if plugin.get("provideClusterInfo"):
        spec["cluster"] = {key: cluster[key] for key in ("server", "certificate-authority-data") if key in cluster}
    asked = {"apiVersion": plugin["apiVersion"], "kind": "ExecCredential", "spec": spec}
    try:
        answer = subprocess.run(
            [command, *(plugin.get("args") or ())],
            env={**process_environment(), **given, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PLUGIN_TIMEOUT,
            check=True,
        )
        return _credential(json.loads(answer.stdout)["status"])
    except OSError as error:
        raise ValueError(f"the exec plug-in `{command}` cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"the exec plug-in `{command}` gave no answer within {PLUGIN_TIMEOUT:.0f} s") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ValueError(f"the exec plug-in `{command}` failed: {said}") from None
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"the exec plug-in `{command}` gave no credential") from None


def _credential(status: Mapping[str, str]) -> dict[str, str]:
    certificate = {
        "client-certificate-data": status.get("clientCertificateData", ""),
        "client-key-data": status.get("clientKeyData", ""),
    }
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in certificate.items() if value}
    token = {"token": status["token"]} if "token" in status or not encoded else {}
    return encoded | token
