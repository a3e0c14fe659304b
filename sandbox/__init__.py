"""The embedded cluster: real control plane and Flux Operator from source, run as processes of this machine."""
