"""Where a fleet's content comes from: pushed as artifacts, and fetched by a stand-in for source-controller.

registry.py         a tree of files as a Flux artifact in a registry
publish.py          which trees, under which names
stand_in.py         the stand-in; kinds.py and artifact_server.py belong to it
"""
