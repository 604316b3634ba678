"""A little package outside `src` that adds to Dragonfly what its users add: each module is one addition, none edits ours.

docs/extending.md is written from these modules.
"""
