"""Kubeconfigs of existing clusters: read from where kubectl would, cut down to one context, complete in themselves."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.config.kubeconfig import _server_of, read_kubeconfig
from fleet.errors import ConfigError
from fleet.model import ExistingCluster

SECRET = "hunter2-0123456789"  # noqa: S105
WHERE = "Pulumi.test.yaml.clusters.eu"

Document = dict[str, Any]


def document(*names: str, **user: Any) -> Document:
    """A kubeconfig with a context of each name; the first is the current one."""
    return {
        "current-context": names[0],
        "clusters": [{"name": f"c-{name}", "cluster": {"server": f"https://{name}.test"}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": f"c-{name}", "user": f"u-{name}"}} for name in names],
        "users": [{"name": f"u-{name}", "user": user or {"token": f"{SECRET}-{name}"}} for name in names],
    }


def changed(section: str, **body: Any) -> Document:
    """A kubeconfig whose only entry of a section has other keys too."""
    found = document("eu")
    found[section][0][section.removesuffix("s")] |= body
    return found


class Place:
    """A project with kubeconfig files, and the environment that `up` runs in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment: dict[str, str] = {}

    def write(self, name: str, content: Document | str | bytes) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(content) if isinstance(content, dict) else content
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    def read(self, *, secret: Document | str | None = None, **spec: Any) -> Document:
        text = yaml.safe_dump(secret) if isinstance(secret, dict) else secret
        secrets = {} if text is None else {spec["kubeconfigSecret"]: text}
        cluster = ExistingCluster.model_validate({"kind": "existing", **spec})
        found: Document = yaml.safe_load(read_kubeconfig(cluster, self.root, self.environment, secrets, WHERE))
        return found

    def read_document(self, content: Document | str) -> Document:
        return self.read(kubeconfig=self.write("kubeconfig", content))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def told(read: Callable[[], object]) -> list[tuple[str, str, str]]:
    """Path, message and hint of each fault; none quotes a credential, in its text or in what caused it."""
    with pytest.raises(ConfigError) as caught:
        read()
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return [(p.path.removeprefix(WHERE), p.message, p.hint) for p in caught.value.problems]


# --- where it comes from ---------------------------------------------------------------------------------------------
def given_by_file(place: Place) -> dict[str, str]:
    return {"kubeconfig": place.write("folder/config", document("eu"))}


def given_by_path(place: Place) -> dict[str, str]:
    place.environment["OURS"] = str(place.root / place.write("other", document("eu")))
    return {"kubeconfigVariable": "OURS"}


def given_by_content(place: Place) -> dict[str, str]:
    place.environment["OURS"] = yaml.safe_dump(document("eu"))
    return {"kubeconfigVariable": "OURS"}


def given_by_json(place: Place) -> dict[str, str]:
    place.environment["OURS"] = json.dumps(document("eu"))
    return {"kubeconfigVariable": "OURS"}


def given_by_kubectl(place: Place) -> dict[str, str]:
    place.environment["KUBECONFIG"] = place.write("of-kubectl", document("us", "eu"))
    return {"context": "eu"}


def given_by_home(place: Place) -> dict[str, str]:
    home = Path.home() / ".kube"
    home.mkdir()
    (home / "config").write_text(yaml.safe_dump(document("us", "eu")))
    return {"context": "eu"}


@pytest.mark.parametrize(
    "given",
    [given_by_file, given_by_path, given_by_content, given_by_json, given_by_kubectl, given_by_home],
    ids=lambda given: given.__name__,
)
def test_the_same_kubeconfig_from_everywhere(place: Place, given: Callable[[Place], dict[str, str]]) -> None:
    assert place.read(**given(place)) == document("eu") | {"apiVersion": "v1", "kind": "Config"}


def test_a_secret_holds_the_kubeconfig_itself(place: Place) -> None:
    assert place.read(secret=document("eu", "us"), kubeconfigSecret="x", context="us")["current-context"] == "us"


def test_of_several_files_the_first_wins_and_missing_ones_do_not_matter(place: Place) -> None:
    """kubectl's own merge: each entry by itself, and the current context too."""
    first, second = document("eu"), document("us", "eu")
    first["contexts"], second["users"][1]["user"] = [], {"token": "of the second"}
    files = ["gone", place.write("one", first), place.write("two", second), "one"]
    place.environment["OURS"] = os.pathsep.join(files)
    assert place.read(kubeconfigVariable="OURS") == document("eu") | {"apiVersion": "v1", "kind": "Config"}
    assert place.read(kubeconfigVariable="OURS", context="us")["current-context"] == "us"


def test_no_other_clusters_credentials_are_in_it(place: Place) -> None:
    found = document("eu", "us")
    found["contexts"][0]["context"] |= {"namespace": "kube-system", "extensions": [{"name": "x"}]}
    found["clusters"][0]["cluster"]["extensions"] = [{"name": "last update"}]
    reduced = place.read_document(found)
    assert {key: len(reduced[key]) for key in ("clusters", "contexts", "users")} == {
        "clusters": 1,
        "contexts": 1,
        "users": 1,
    }
    assert "us.test" not in yaml.safe_dump(reduced)
    assert "extensions" not in yaml.safe_dump(reduced)
    assert reduced["contexts"][0]["context"]["namespace"] == "kube-system"


def test_the_same_input_is_the_same_text(place: Place) -> None:
    """Another text is a change of the provider."""
    cluster = ExistingCluster.model_validate({"kind": "existing", "kubeconfig": place.write("a", document("eu"))})
    texts = {read_kubeconfig(cluster, place.root, {}, {}, WHERE) for _ in range(2)}
    turned = dict(reversed(document("eu").items()))
    place.write("a", yaml.safe_dump(turned, sort_keys=False))
    assert texts == {read_kubeconfig(cluster, place.root, {}, {}, WHERE)}


def test_two_kubeconfigs_with_one_server_can_be_told(place: Place) -> None:
    given = (document("eu"), changed("clusters", **{"proxy-url": "x"}))
    texts = [yaml.safe_dump(place.read_document(each)) for each in given]
    assert [_server_of(text) for text in texts] == [("https://eu.test", ""), ("https://eu.test", "x")]


# --- files that it names ---------------------------------------------------------------------------------------------
FILES = {
    "clusters": {"certificate-authority": "ca.pem"},
    "users": {"client-certificate": "keys/cert.pem", "client-key": "keys/key.pem"},
}


@pytest.mark.parametrize("section", FILES)
def test_files_are_embedded_from_the_folder_of_the_kubeconfig(place: Place, section: str) -> None:
    for file in FILES[section].values():
        place.write(f"folder/{file}", b"\xff" + file.encode())
    place.write("folder/config", changed(section, **FILES[section]))
    body = place.read(kubeconfig="folder/config")[section][0][section.removesuffix("s")]
    for key, file in FILES[section].items():
        assert base64.b64decode(body[f"{key}-data"]) == b"\xff" + file.encode()
        assert key not in body


def test_files_of_each_of_several_kubeconfigs_are_found_beside_it(place: Place) -> None:
    for folder in ("one", "two"):
        place.write(f"{folder}/ca.pem", folder)
    place.write("one/config", document("us"))
    place.write("two/config", changed("clusters", **{"certificate-authority": "ca.pem"}))
    place.environment["KUBECONFIG"] = f"one/config{os.pathsep}two/config"
    cluster = place.read(context="eu")["clusters"][0]["cluster"]
    assert base64.b64decode(cluster["certificate-authority-data"]) == b"two"


def test_what_is_embedded_already_wins(place: Place) -> None:
    given = {"certificate-authority": "nowhere", "certificate-authority-data": "b2s="}
    cluster = place.read_document(changed("clusters", **given))["clusters"][0]["cluster"]
    assert cluster == {"server": "https://eu.test", "certificate-authority-data": "b2s="}


@pytest.mark.parametrize(
    ("command", "found"), [("aws", "aws"), ("./bin/login", "{folder}/bin/login"), ("/usr/bin/aws", "/usr/bin/aws")]
)
def test_an_exec_plug_in_stays_and_is_found_as_kubectl_finds_it(place: Place, command: str, found: str) -> None:
    plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "args": ["token"]}
    place.write("folder/config", document("eu", exec=plugin))
    user = place.read(kubeconfig="folder/config")["users"][0]["user"]
    assert Path(user["exec"]["command"]) == Path(found.format(folder=place.root / "folder"))
    assert user["exec"] | {"command": command} == plugin


# --- faults ----------------------------------------------------------------------------------------------------------
BROKEN = {
    "not YAML": (f"users:\n- {SECRET}: x: y", "", "`kubeconfig` is not a kubeconfig at line 2"),
    "a list": (f"- {SECRET}", "", "`kubeconfig` is not a kubeconfig"),
    "empty": ("", "", "`kubeconfig` is not a kubeconfig"),
    "no name": ({"users": [{"user": {"token": SECRET}}]}, "", "an entry of `users` in `kubeconfig` has …"),
    "text": ({"users": [SECRET]}, "", "an entry of `users` in `kubeconfig` has no name or no content"),
    "no context": (document("eu") | {"contexts": []}, ".context", "the kubeconfig has no context `eu`"),
    "none current": (document("eu") | {"current-context": ""}, ".context", "the kubeconfig has no current context"),
    "no user": (document("eu") | {"users": []}, ".context", "context `eu` has no user `u-eu`"),
    "no cluster": (document("eu") | {"clusters": []}, ".context", "context `eu` has no cluster `c-eu`"),
    "no check": (changed("clusters", **{"insecure-skip-tls-verify": True}), "", "`insecure-skip-tls-verify` of …"),
    "another name": (changed("clusters", **{"tls-server-name": "x"}), "", "`tls-server-name` of cluster `c-eu` is …"),
    "no TLS": (changed("clusters", server="http://eu.test"), "", "cluster `c-eu` is reached without TLS, …"),
    "no TLS, number": (changed("clusters", server="http://10.0.0.1"), "", "cluster `c-eu` is reached without TLS, …"),
    "no server": (changed("clusters", server=""), "", "cluster `c-eu` has no address of a server"),
    "a token file": (document("eu", tokenFile="x"), "", "`tokenFile` of user `u-eu` leads to a token that changes …"),
    "a provider": (document("eu", **{"auth-provider": {"name": "gcp"}}), "", "`auth-provider` of user `u-eu` was …"),
    "no file": (changed("users", **{"client-key": "gone"}), "", "`client-key` of user `u-eu`, `gone`, cannot …"),
    "a folder": (changed("users", **{"client-key": "."}), "", "`client-key` of user `u-eu`, `.`, cannot be …"),
}


@pytest.mark.parametrize(("content", "path", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_told_without_its_content(
    place: Place, content: Document | str, path: str, message: str
) -> None:
    ((where, said, _),) = told(lambda: place.read_document(content))
    assert where == path
    assert said.startswith(message.removesuffix("…")) if message.endswith("…") else said == message


def test_all_faults_of_a_context_are_told_at_once(place: Place) -> None:
    found = changed("clusters", **{"insecure-skip-tls-verify": True, "certificate-authority": "gone"})
    found["users"][0]["user"] = {"tokenFile": "x", "client-key": "gone"}
    assert len(told(lambda: place.read_document(found))) == 4


@pytest.mark.parametrize("server", ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"])
def test_loopback_needs_no_tls(place: Place, server: str) -> None:
    """`kubectl proxy`, and the tests."""
    assert place.read_document(changed("clusters", server=server))


def test_an_unknown_context_names_the_nearest(place: Place) -> None:
    place.write("kubeconfig", document("admin@eu", "admin@us"))
    ((path, message, hint),) = told(lambda: place.read(kubeconfig="kubeconfig", context="admin@eup"))
    assert (path, message) == (".context", "the kubeconfig has no context `admin@eup`")
    assert hint == "did you mean `admin@eu`?"


@pytest.mark.parametrize(
    ("spec", "value", "path", "message"),
    [
        ({"kubeconfig": "gone"}, "", ".kubeconfig", "`gone` cannot be read: No such file or directory"),
        ({"kubeconfig": "binary"}, "", ".kubeconfig", "`binary` cannot be read: it is not text"),
        ({"kubeconfigVariable": "KUBECONFIG"}, "a:b", ".kubeconfigVariable", "there is no kubeconfig: `a`, `b`"),
        ({"kubeconfigVariable": "OURS"}, "", ".kubeconfigVariable", "the environment variable `OURS` is not set"),
        ({"context": "eu"}, "gone", ".context", "there is no kubeconfig: `gone`"),
        ({"context": "eu"}, "", ".context", "there is no kubeconfig: `~/.kube/config`"),
    ],
)
def test_a_kubeconfig_that_is_not_there_is_told(
    place: Place, spec: dict[str, str], value: str, path: str, message: str
) -> None:
    place.write("binary", b"\xff\xfe")
    place.environment["KUBECONFIG"] = value
    ((where, said, _),) = told(lambda: place.read(**spec))
    assert (where, said) == (path, message)


RELATIVE = {
    "file": ({"client-key": "key.pem"}, "`client-key` of user `u-eu`, `key.pem`, cannot be read: the path is"),
    "plug-in": ({"exec": {"command": "./x"}}, "the exec plug-in of user `u-eu`, `./x`, cannot be found: the path is"),
}


@pytest.mark.parametrize(("user", "message"), RELATIVE.values(), ids=RELATIVE)
def test_relative_paths_need_a_file(place: Place, user: Document, message: str) -> None:
    """A secret, and the text in a variable, lie in no folder."""
    found = document("eu", **user)
    place.environment["OURS"] = yaml.safe_dump(found)
    for read in (
        lambda: place.read(secret=found, kubeconfigSecret="x"),
        lambda: place.read(kubeconfigVariable="OURS"),
    ):
        ((_, said, _),) = told(read)
        assert said.startswith(message)


def test_a_broken_secret_is_told_by_its_name(place: Place) -> None:
    ((_, message, _),) = told(lambda: place.read(secret=f"{SECRET}: x: y", kubeconfigSecret="euKubeconfig"))
    assert message.startswith("secret `euKubeconfig` is not a kubeconfig")
