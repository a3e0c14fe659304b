"""What the sandbox is made of: pinned Go modules, the operator's chart, and the recipe that names them.

`sandbox/build.py` is the only caller. Everything here, and nothing else, decides what a build contains:
the hash of this folder is the key of the cache.
"""
