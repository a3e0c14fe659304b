"""The Pulumi resources of a stack. The only package that imports provider packages.

deploy.py     the stack: its repositories and its clusters side by side
github/       teams and repositories on GitHub, in the one stack that makes them
clusters/     one module a kind of cluster: settings in, kubeconfig out
state.py      the only reader of the stack's own state
live.py       the only reader of a live cluster: who owns what there
options.py    the only builder of resource options: managed, gitops, precious, attached
operator.py   the Flux Operator's namespace and release
managed.py    what stays ours for ever: registry secret, runtime info
handover.py   what becomes Flux's: ResourceSets and the FluxInstance
updates.py    what an update environment is for: automation.py has it run on a cluster, then it is proposed
"""

from fleet.resources.deploy import Deployment, FluxCluster, deploy

__all__ = ["Deployment", "FluxCluster", "deploy"]
