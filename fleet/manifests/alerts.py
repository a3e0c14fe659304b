"""What Flux tells people: a commit status for each revision, and messages to a chat.

Each namespace has alerts of its own, since tenants' objects may not refer to other namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable

from fleet import names
from fleet.manifests.objects import copied, custom_resource_exists, metadata, resource_set
from fleet.model import Fleet
from fleet.model.base import Manifest

ALERTS = "alerts"
STATUS = "commit-status"
CHAT = "chat"


def has_alerts(fleet: Fleet) -> bool:
    return fleet.reports_commits or fleet.alerts.chat is not None


def alerts_resource_set(fleet: Fleet) -> Manifest:
    """Alerts on what the fleet repository itself delivers."""
    repository = fleet.repositories.fleet
    return resource_set(
        ALERTS,
        every="5m",
        depends_on=alert_kinds(fleet),
        resources=alerts(fleet, names.FLUX_NAMESPACE, repository, status_secret(fleet, names.SYNC)),
    )


def alert_kinds(fleet: Fleet) -> list[Manifest]:
    """Dependencies of a ResourceSet that has alerts."""
    kinds = ("alerts", "providers") if has_alerts(fleet) else ()
    return [custom_resource_exists(f"{kind}.notification.toolkit.fluxcd.io") for kind in kinds]


def status_secret(fleet: Fleet, git_secret: str) -> str:
    """In the git design the token that reads reports too."""
    return git_secret if fleet.design == "git" else names.STATUS_SECRET


def alert_secrets(fleet: Fleet, namespace: str) -> list[Manifest]:
    """Copies of the secrets that alerts need and that a namespace does not have for another reason."""
    wanted = []
    if fleet.reports_commits and fleet.design == "oci":
        wanted.append(names.STATUS_SECRET)
    if fleet.alerts.chat:
        wanted.append(names.ALERTS_SECRET)
    return [copied("Secret", secret, namespace) for secret in wanted]


def alerts(fleet: Fleet, namespace: str, repository: str, secret: str) -> list[Manifest]:
    """Providers and Alerts of a namespace; commit statuses go to `repository`, with the token in `secret`."""
    found = []
    if fleet.reports_commits:
        provider = {"type": "github", "address": f"{fleet.home}/{repository}", "secretRef": {"name": secret}}
        found += _told(STATUS, namespace, provider)
    if chat := fleet.alerts.chat:
        spec = {"type": chat.type, "channel": chat.channel, "secretRef": {"name": names.ALERTS_SECRET}}
        found += _told(CHAT, namespace, spec, severity=fleet.alerts.severity, kinds=_kinds(fleet))
    return found


def _kinds(fleet: Fleet) -> tuple[str, ...]:
    return ("GitRepository" if fleet.design == "git" else "OCIRepository", "Kustomization", "HelmRelease")


def _told(
    name: str,
    namespace: str,
    provider: Manifest,
    *,
    severity: str = "info",
    kinds: Iterable[str] = ("Kustomization",),
) -> list[Manifest]:
    """A Provider and the Alert that uses it. GitHub knows revisions, which only Kustomizations report."""
    alert = {
        "providerRef": {"name": name},
        "eventSeverity": severity,
        "eventSources": [{"kind": kind, "name": "*"} for kind in kinds],
        "eventMetadata": {"cluster": "${CLUSTER_NAME}"},
    }
    specs = {"Provider": {key: value for key, value in provider.items() if value is not None}, "Alert": alert}
    return [
        {"apiVersion": names.NOTIFICATION_API, "kind": kind, "metadata": metadata(name, namespace), "spec": spec}
        for kind, spec in specs.items()
    ]
