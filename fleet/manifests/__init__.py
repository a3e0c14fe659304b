"""From the model to Kubernetes objects and files: pure functions, no pulumi, no clock, no network.

instance.py   FluxInstance of a cluster
operator.py   Flux Operator: chart values, and the ResourceSet by which Flux keeps it up to date
runtime.py    the variables of a cluster, and what Flux's substitution makes of a manifest
policies.py   ResourceSet with the admission policy for tenants' sources
delivery.py   ResourceSets that deliver platform components and tenants
decryption.py what opens encrypted files in a namespace
sources.py    where their content comes from: the difference between the designs
automation.py ResourceSet that moves chart versions in Git, and which versions it may take
alerts.py     what Flux tells people
mirror.py     what objects need to pull from a mirror
images.py     everything that is pulled, and what the mirror calls it
releases.py   a chart source and a HelmRelease
dump.py       the one YAML writer
trees/        whole repositories as path → bytes
"""
