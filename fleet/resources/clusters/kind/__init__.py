"""Clusters in local containers, made with the kind CLI: there is no Pulumi provider for it.

host.py      what is on this machine, looked at before anything is declared
command.py   the resource that makes a cluster and removes it
config.py    the file that kind makes a cluster by
kind.sh      what the resource runs
"""

from fleet.resources.clusters.kind.command import make_kind
from fleet.resources.clusters.kind.host import observe_kind

__all__ = ["make_kind", "observe_kind"]
