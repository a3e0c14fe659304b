"""Where a fleet's content comes from: published as artifacts or commits, fetched by a stand-in for source-controller.

registry.py         a tree of files as a Flux artifact in a registry
git.py              a tree of files as a commit; git_server.py serves it
publish.py          which trees, under which names
stand_in.py         the stand-in; kinds.py, git_kind.py and artifact_server.py belong to it
packing.py          a tree of files in one file
"""
