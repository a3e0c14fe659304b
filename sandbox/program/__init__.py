"""The Pulumi program and what it meets at the far end.

engine.py        the real engine, where it is on PATH
seam.py          otherwise Pulumi's public test seam; registration.py is what comes through it
monitor.py       order, options and failures
apply.py         one resource made real; api.py, fields.py, conditions.py, helm.py, helm_command.py help it
"""
