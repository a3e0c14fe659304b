"""The truth about a fleet: frozen, checked data without pulumi, files or network.

`fleet.py` is the root (fleet.yaml), `stack.py` the stack's own part; `parsing.py` turns plain data into both.
"""

from fleet.model.catalog import with_catalog
from fleet.model.cluster import Cluster, Environment
from fleet.model.fleet import Bot, Fleet, Repositories, Team
from fleet.model.flux import Flux, Operator
from fleet.model.parsing import parse_fleet, parse_stack
from fleet.model.stack import ClusterSource, ExistingCluster, KindCluster, Stack
from fleet.model.tenant import Component, Config, Quota, Release, Tenant, Workload

__all__ = [
    "Bot",
    "Cluster",
    "ClusterSource",
    "Component",
    "Config",
    "Environment",
    "ExistingCluster",
    "Fleet",
    "Flux",
    "KindCluster",
    "Operator",
    "Quota",
    "Release",
    "Repositories",
    "Stack",
    "Team",
    "Tenant",
    "Workload",
    "parse_fleet",
    "parse_stack",
    "with_catalog",
]
