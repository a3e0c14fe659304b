"""The embedded cluster: its folder, what runs in it, and who keeps that running.

home.py         the folder, its ports and its lock
credentials.py  certificates, tokens, kubeconfig files
plan.py         what was asked for
processes.py    what follows from that: every process, as data; process.py says what one is
objects.py      what a cluster without kubelets needs to look alive
supervisor.py   keeps the processes running; watcher.py and cluster_api.py are its eyes
control.py      start, stop, status
"""
