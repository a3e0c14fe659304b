"""The API of a live cluster, by its kubeconfig: plain JSON. Called by whoever looks at one: `live`, `automation`.

lightkube makes the TLS connection and no more. Its models are built by msgspec, which crashes the process when two
threads are the first to use one; clusters are read side by side. Exec plug-ins of any version are run here, with an end
to their time and with client certificates. No error quotes a kubeconfig.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from fleet.config import process_environment

if TYPE_CHECKING:
    import httpx2

Object = Mapping[str, Any]

TIMEOUT: Final = 10.0
"""Seconds for one request."""
RETRIES: Final = 10
PAUSE: Final = 1.0
"""Tries and seconds between them while the API server asks for patience (429), as it does when CRDs have just come."""
PLUGIN_TIMEOUT: Final = 60.0
"""Seconds for an exec plug-in, which may ask a cloud."""


@dataclass(frozen=True)
class Api:
    """Raises httpx2.HTTPError for no answer and for a refusal, whose message is the API server's."""

    _client: httpx2.Client

    def get(self, path: str) -> Object:
        return self._send("GET", path)

    def find(self, path: str) -> Object | None:
        """None where there is no such object, kind or namespace."""
        import httpx2

        try:
            return self.get(path)
        except httpx2.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            return None

    def merge(self, path: str, change: Object) -> None:
        """Changes an object by a merge patch."""
        self._send("PATCH", path, json=change, headers={"Content-Type": "application/merge-patch+json"})

    def _send(self, method: str, path: str, **request: Any) -> Object:
        import httpx2

        for patience in range(RETRIES, -1, -1):
            answer = self._client.request(method, path, **request)
            if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS or not patience:
                break
            time.sleep(PAUSE)
        if answer.is_success:
            return dict(answer.json())
        raise httpx2.HTTPStatusError(_message(answer), request=answer.request, response=answer)


def _message(answer: httpx2.Response) -> str:
    """What the API server says of a refusal; a missing kind is told in plain text."""
    try:
        return str(answer.json()["message"])
    except (KeyError, TypeError, ValueError):
        return f"{answer.status_code} {answer.reason_phrase}"


def path_of(api_version: str, plural: str, name: str = "", *, namespace: str = "") -> str:
    """Of one object, or of all of a kind: in a namespace, or without one in the whole cluster."""
    group = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{group}{within}/{plural}" + (f"/{name}" if name else "")


@contextmanager
def connect(kubeconfig: str) -> Iterator[Api]:
    """The API of the current context. Raises ValueError for a broken kubeconfig and for a plug-in that gives no
    credential. Proxies of the shell are not used."""
    import httpx2
    from lightkube.config.client_adapter import Client, ConnectionParams
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.config.models import Cluster, Context, User

    document = _parse(kubeconfig)
    try:
        name = document["current-context"]
        context = _body(document, "context", name)
        server, user = (_body(document, key, context[key]) for key in ("cluster", "user"))
        if plugin := user.get("exec"):
            user |= _ask_plugin(plugin, server)
        cluster = Cluster(server=server["server"], certificate_auth_data=server.get("certificate-authority-data"))
    except KeyError as error:
        raise ValueError(f"the kubeconfig lacks `{error.args[0]}`") from None
    credential = User(
        token=user.get("token"),
        username=user.get("username"),
        password=user.get("password"),
        client_cert_data=user.get("client-certificate-data"),
        client_key_data=user.get("client-key-data"),
    )
    single = SingleConfig(name, Context(cluster=name), cluster, credential)
    parameters = ConnectionParams(timeout=httpx2.Timeout(TIMEOUT), trust_env=False, proxy=server.get("proxy-url"))
    with Client(single, parameters) as client:
        yield Api(client)


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


def _body(document: Mapping[str, Any], key: str, name: str) -> dict[str, Any]:
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
