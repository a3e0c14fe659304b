"""Every name, label and annotation key that more than one place must agree on, once.

Imported by all layers; imports nothing. Names that a user chooses live in `fleet.model`, not here.
"""

from typing import Final

# --- Flux Operator ---------------------------------------------------------------------------------------------------
FLUX_NAMESPACE: Final = "flux-system"
INSTANCE: Final = "flux"
"""The operator refuses any other name for a FluxInstance."""
OPERATOR: Final = "flux-operator"
"""Helm release, ServiceAccount and ResourceSet; helm-controller later upgrades the release of exactly this name."""
OPERATOR_VALUES: Final = "flux-operator-values"
OPERATOR_API: Final = "fluxcd.controlplane.io/v1"
OPERATOR_CHART: Final = "oci://ghcr.io/controlplaneio-fluxcd/charts/flux-operator"
OPERATOR_IMAGE: Final = "ghcr.io/controlplaneio-fluxcd/flux-operator"
MANIFESTS_ARTIFACT: Final = "oci://ghcr.io/controlplaneio-fluxcd/flux-operator-manifests:latest"

# --- API versions of the kinds that the trees use --------------------------------------------------------------------
KUSTOMIZATION_API: Final = "kustomize.toolkit.fluxcd.io/v1"
KUSTOMIZE_CONFIG_API: Final = "kustomize.config.k8s.io/v1beta1"
SOURCE_API: Final = "source.toolkit.fluxcd.io/v1"
HELM_API: Final = "helm.toolkit.fluxcd.io/v2"
NOTIFICATION_API: Final = "notification.toolkit.fluxcd.io/v1beta3"
IMAGE_API: Final = "image.toolkit.fluxcd.io/v1"
RBAC_API: Final = "rbac.authorization.k8s.io/v1"
ADMISSION_API: Final = "admissionregistration.k8s.io/v1"
NETWORK_API: Final = "networking.k8s.io/v1"

# --- objects of a fleet ----------------------------------------------------------------------------------------------
RUNTIME_INFO: Final = "flux-runtime-info"
REGISTRY_SECRET: Final = "ghcr-auth"
GIT_SECRET: Final = "github-auth"
"""The bot's write access, for image automation."""
TENANTS_SECRET: Final = "flux-apps"
STATUS_SECRET: Final = "github-status"
ALERTS_SECRET: Final = "alert-address"
MIRROR_SECRET: Final = "mirror-auth"
TRUST_SECRET: Final = "mirror-trust"
"""The mirror's authority and Sigstore's trusted root: public, but Flux reads both from a Secret."""
AGE_SECRET: Final = "sops-age"
"""In the namespace of a component or tenant, the age key of its files; in flux-system its name follows."""
AGE_FILE: Final = "age.agekey"
"""kustomize-controller knows age keys by the ending."""
ALLOW_LIST: Final = "flux-allowlist"
SYNC: Final = "flux-system"
"""Source and Kustomization that a FluxInstance generates; both are named after its namespace."""
TENANTS: Final = "tenants"
AUTOMATION: Final = "image-update-automation"
TENANT_ACCOUNT: Final = "flux"
"""The ServiceAccount that Flux impersonates in each tenant namespace."""

# --- labels and annotations ------------------------------------------------------------------------------------------
LABEL_RUNTIME: Final = "toolkit.fluxcd.io/runtime"
LABEL_ROLE: Final = "toolkit.fluxcd.io/role"
LABEL_TENANT: Final = "toolkit.fluxcd.io/tenant"
LABEL_WATCH: Final = "reconcile.fluxcd.io/watch"
LABEL_POLICY_ROLE: Final = "fluxcd.controlplane.io/role"
LABEL_POD_SECURITY: Final = "pod-security.kubernetes.io/enforce"
ANNOTATION_SUBSTITUTE: Final = "kustomize.toolkit.fluxcd.io/substitute"
ANNOTATION_SSA: Final = "kustomize.toolkit.fluxcd.io/ssa"
ANNOTATION_COPY_FROM: Final = "fluxcd.controlplane.io/copyFrom"
ANNOTATION_RECONCILE: Final = "fluxcd.controlplane.io/reconcile"
"""`disabled` leaves an object out of what a ResourceSet makes."""
ANNOTATION_CLIENT_ID: Final = "azure.workload.identity/client-id"
ANNOTATION_RECONCILE_EVERY: Final = "fluxcd.controlplane.io/reconcileEvery"
ANNOTATION_RECONCILE_AT: Final = "reconcile.fluxcd.io/requestedAt"

# --- who owns a live object (labels that Flux and its operator write on what they apply) -----------------------------
OWNER_KUSTOMIZATION: Final = "kustomize.toolkit.fluxcd.io/name"
OWNER_HELM_RELEASE: Final = "helm.toolkit.fluxcd.io/name"
OWNER_INSTANCE: Final = "fluxcd.controlplane.io/name"
OWNER_RESOURCE_SET: Final = "resourceset.fluxcd.controlplane.io/name"

# --- Pulumi ----------------------------------------------------------------------------------------------------------
PROJECT: Final = "fleet"
FIELD_MANAGER: Final = "kubectl-fleet"
"""Flux strips managers whose name starts with `kubectl` when it takes an object over (fluxcd/pkg ssa)."""
ANNOTATION_FIELD_MANAGER: Final = "pulumi.com/patchFieldManager"
ANNOTATION_PATCH_FORCE: Final = "pulumi.com/patchForce"
ANNOTATION_WAIT_FOR: Final = "pulumi.com/waitFor"
ANNOTATION_TIMEOUT: Final = "pulumi.com/timeoutSeconds"
