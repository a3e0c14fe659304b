"""The truth about a fleet: frozen, checked data without pulumi, files or network.

`fleet.py` is the root (fleet.yaml), `stack.py` the stack's own part; `parsing.py` turns plain data into both.
"""

from fleet.model.catalog import with_catalog
from fleet.model.clusters import AksCluster, ClusterSource, EksCluster, ExistingCluster, GkeCluster, KindCluster
from fleet.model.credential import Credential, credentials_of, credentials_on
from fleet.model.decryption import Decryption, age_keys
from fleet.model.environment import Cluster, Environment
from fleet.model.fleet import Fleet, Repositories
from fleet.model.flux import Flux, Operator
from fleet.model.github import AppInstallation, Bot, GitHub, Team
from fleet.model.mirror import Mirror
from fleet.model.mirroring import mirrored
from fleet.model.parsing import parse_fleet, parse_stack
from fleet.model.repository import Branch, Repository, repositories_of
from fleet.model.stack import Stack, stack_file
from fleet.model.tenant import Component, Config, Quota, Release, Tenant, Workload

__all__ = [
    "AksCluster",
    "AppInstallation",
    "Bot",
    "Branch",
    "Cluster",
    "ClusterSource",
    "Component",
    "Config",
    "Credential",
    "Decryption",
    "EksCluster",
    "Environment",
    "ExistingCluster",
    "Fleet",
    "Flux",
    "GitHub",
    "GkeCluster",
    "KindCluster",
    "Mirror",
    "Operator",
    "Quota",
    "Release",
    "Repositories",
    "Repository",
    "Stack",
    "Team",
    "Tenant",
    "Workload",
    "age_keys",
    "credentials_of",
    "credentials_on",
    "mirrored",
    "parse_fleet",
    "parse_stack",
    "repositories_of",
    "stack_file",
    "with_catalog",
]
