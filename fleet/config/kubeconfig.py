"""Kubeconfigs of clusters that others made, as kubectl would read them: one context, complete in itself.

Called by `settings`. What leaves here enters the state and a provider, so it holds neither another cluster's
credentials nor the path of a file, but for an exec plug-in's command. Of what a kubeconfig holds, messages quote names.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from fleet.errors import ConfigError, Problem, did_you_mean
from fleet.model import ExistingCluster, Stack

Body = dict[str, Any]

KUBECTL_FILE: Final = "~/.kube/config"
SECTIONS: Final = {"clusters": "cluster", "contexts": "context", "users": "user"}
"""Sections of named entries → key of an entry's body."""
EMBEDDED: Final = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}
"""Keys that name a file → those that hold its content, which win where both are given."""
REFUSED: Final = {
    "insecure-skip-tls-verify": ("does not check the server's certificate", "give `certificate-authority`"),
    "tls-server-name": ("is not known to the reader of clusters", "use an address that the certificate names"),
    "tokenFile": ("leads to a token that changes under the run", "sign in with an exec plug-in"),
    "auth-provider": ("was removed from Kubernetes' clients", "sign in with an exec plug-in"),
}


@dataclass(frozen=True, kw_only=True)
class Text:
    """A kubeconfig as it was found."""

    label: str
    """How messages name it."""
    content: str
    folder: Path | None = None
    """Where its relative paths start; None where it is no file."""


def read_kubeconfigs(
    stack: Stack, root: Path, environment: Mapping[str, str], secrets: Mapping[str, str], source: str
) -> tuple[dict[str, str], list[Problem]]:
    """The kubeconfig of each cluster that exists already, as YAML, and what is wrong with those that cannot be had.

    Of `secrets`, those are there whose values can be read: outside of a run, none.
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    servers: dict[tuple[str, str], str] = {}
    for name, spec in stack.clusters.items():
        if not isinstance(spec, ExistingCluster) or (spec.kubeconfig_secret and spec.kubeconfig_secret not in secrets):
            continue
        path = f"{source}.clusters.{name}"
        try:
            found[name] = read_kubeconfig(spec, root, environment, secrets, path)
        except ConfigError as error:
            problems += error.problems
            continue
        if (other := servers.setdefault(_server_of(found[name]), name)) != name:
            message = f"leads to the API server of cluster `{other}`"
            problems.append(Problem(path, message, "each cluster has a kubeconfig of its own"))
    return found, problems


def read_kubeconfig(
    spec: ExistingCluster, root: Path, environment: Mapping[str, str], secrets: Mapping[str, str], path: str
) -> str:
    """The kubeconfig of a cluster as YAML. Raises ConfigError."""
    merged = _merge(_texts(spec, root, environment, secrets, path), path)
    return yaml.safe_dump(_select(merged, spec.context, path))


def _server_of(kubeconfig: str) -> tuple[str, str]:
    """Where the only cluster of a kubeconfig is reached: its address, and the proxy on the way."""
    cluster = yaml.safe_load(kubeconfig)["clusters"][0]["cluster"]
    return str(cluster["server"]).rstrip("/"), str(cluster.get("proxy-url", ""))


def _texts(
    spec: ExistingCluster, root: Path, environment: Mapping[str, str], secrets: Mapping[str, str], path: str
) -> list[Text]:
    if key := spec.kubeconfig_secret:
        return [Text(label=f"secret `{key}`", content=secrets[key])]
    if spec.kubeconfig:
        return [_read(root, spec.kubeconfig, f"{path}.kubeconfig")]
    if variable := spec.kubeconfig_variable:
        value, path = environment.get(variable, ""), f"{path}.kubeconfigVariable"
        if not value.strip():
            raise _fault(path, f"the environment variable `{variable}` is not set", "export it where `up` runs")
        if "\n" in value or value.lstrip().startswith("{"):
            return [Text(label=f"variable `{variable}`", content=value)]
        return _read_list(value, root, path)
    return _read_list(environment.get("KUBECONFIG") or KUBECTL_FILE, root, f"{path}.context")


def _read_list(value: str, root: Path, path: str) -> list[Text]:
    """Each file once; files of a list may be missing, as they may for kubectl, but not all of them."""
    files = list(dict.fromkeys(filter(None, value.split(os.pathsep))))
    found = [_read(root, file, path) for file in files if (root / Path(file).expanduser()).exists()]
    if not found:
        listed = ", ".join(f"`{file}`" for file in files)
        raise _fault(path, f"there is no kubeconfig: {listed}", "paths are relative to the project")
    return found


def _read(root: Path, file: str, path: str) -> Text:
    place = root / Path(file).expanduser()
    try:
        return Text(label=f"`{file}`", content=place.read_text(), folder=place.parent.absolute())
    except (OSError, UnicodeDecodeError) as error:
        hint = "give the path of a kubeconfig, relative to the project"
        raise _fault(path, f"`{file}` cannot be read: {_reason(error)}", hint) from None


def _merge(texts: Sequence[Text], path: str) -> Body:
    """Sections by name; of what is given twice, the first wins."""
    merged: Body = {section: {} for section in SECTIONS} | {"current-context": None}
    for text in texts:
        document = _parse(text, path)
        merged["current-context"] = merged["current-context"] or document.get("current-context")
        for section in SECTIONS:
            for name, body in _entries(document, section, text, path):
                merged[section].setdefault(name, (body, text))
    return merged


def _parse(text: Text, path: str) -> Body:
    """YAML's own errors quote the line, credentials and all."""
    where = ""
    try:
        document = yaml.safe_load(text.content)
    except yaml.YAMLError as error:
        if mark := getattr(error, "problem_mark", None):
            where = f" at line {mark.line + 1}"
    else:
        if isinstance(document, dict):
            return document
    raise _fault(path, f"{text.label} is not a kubeconfig{where}", "it is a YAML file that `kubectl config view` shows")


def _entries(document: Body, section: str, text: Text, path: str) -> Iterator[tuple[str, Body]]:
    for entry in document.get(section) or ():
        name, body = (entry.get("name"), entry.get(SECTIONS[section])) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(body, dict):
            raise _fault(path, f"an entry of `{section}` in {text.label} has no name or no content")
        yield name, body


def _select(merged: Body, wanted: str | None, path: str) -> Body:
    """What one context needs, complete in itself."""
    name = wanted or merged["current-context"]
    contexts, where = merged["contexts"], f"{path}.context"
    if not name:
        hint = f"choose one: {', '.join(f'`{known}`' for known in contexts)}"
        raise _fault(where, "the kubeconfig has no current context", hint)
    if name not in contexts:
        raise _fault(where, f"the kubeconfig has no context `{name}`", did_you_mean(str(name), contexts))
    context, _ = contexts[name]
    faults: list[Problem] = []
    chosen: dict[str, Body] = {}
    for section, key in (("clusters", "cluster"), ("users", "user")):
        target = context.get(key)
        if target in merged[section]:
            body, text = merged[section][target]
            chosen[section] = {"name": target, key: _complete(body, text, f"{key} `{target}`", path, faults)}
        else:
            faults.append(Problem(where, f"context `{name}` has no {key}" + (f" `{target}`" if target else "")))
    faults += _check_server(chosen["clusters"], path) if "clusters" in chosen else []
    if faults:
        raise ConfigError(faults)
    kept = {key: context[key] for key in ("cluster", "namespace", "user") if key in context}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [chosen["clusters"]],
        "contexts": [{"name": name, "context": kept}],
        "current-context": name,
        "users": [chosen["users"]],
    }


def _complete(body: Body, text: Text, label: str, path: str, faults: list[Problem]) -> Body:
    """A cluster or user with the files that it names embedded; what cannot be is added to `faults`."""
    for key, (problem, hint) in REFUSED.items():
        if body.get(key):
            faults.append(Problem(path, f"`{key}` of {label} {problem}", hint))
    complete = {key: value for key, value in body.items() if key not in EMBEDDED and key != "extensions"}
    for key, data in EMBEDDED.items():
        if (file := body.get(key)) and not body.get(data):
            try:
                complete[data] = base64.b64encode(_locate(str(file), text).read_bytes()).decode()
            except (OSError, ValueError) as error:
                faults.append(Problem(path, f"`{key}` of {label}, `{file}`, cannot be read: {_reason(error)}"))
    plugin = body.get("exec")
    if isinstance(plugin, dict) and os.sep in str(plugin.get("command")):
        try:
            complete["exec"] = plugin | {"command": str(_locate(plugin["command"], text))}
        except ValueError as error:
            message = f"the exec plug-in of {label}, `{plugin['command']}`, cannot be found: {error}"
            faults.append(Problem(path, message))
    return complete


def _locate(file: str, text: Text) -> Path:
    """Where a path in a kubeconfig leads to. Raises ValueError for a relative one in what is no file."""
    if text.folder is None and not Path(file).is_absolute():
        raise ValueError(f"the path is relative, and {text.label} lies in no folder")
    return (text.folder or Path("/")) / file


def _check_server(cluster: Body, path: str) -> list[Problem]:
    """An API server must be reached by TLS, or credentials go over the network in clear; loopback is no network."""
    label, address = f"cluster `{cluster['name']}`", str(cluster["cluster"].get("server", ""))
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return []
    if parts.scheme != "http" or not parts.hostname:
        return [Problem(path, f"{label} has no address of a server", "`server: https://…`")]
    with suppress(ValueError):
        if ip_address(parts.hostname).is_loopback:
            return []
    if parts.hostname == "localhost":
        return []
    return [Problem(path, f"{label} is reached without TLS, which shows the credentials", "`server: https://…`")]


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _fault(path: str, message: str, hint: str = "") -> ConfigError:
    return ConfigError([Problem(path, message, hint)])
