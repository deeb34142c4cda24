"""What becomes of a version that passed? It is published whole, switched to, pinned, withdrawn, pruned; copied and exported.

The layout is told in `loaders.published`. Blocking: called in threads, by whoever holds the lock of switching.
"""
