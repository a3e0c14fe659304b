"""A GitOps fleet as one Pulumi program: fleet.yaml and a stack's configuration in, clusters run by Flux out.

Read the modules in the order of the data: `config` → `model` → `manifests` → `resources` → `outputs`.
"""
