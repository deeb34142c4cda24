"""OpenBLAS under a memory cap: its buffers are taken before they are needed. In capped children, before they read anything.

At the first computation of each thread OpenBLAS takes a buffer of 32 MiB, and keeps it for later ones. Where the cap has no room
for one it does not fail: it asks again, for ever (`blas_memory_alloc` in its `driver/others/memory.c`). numpy and scipy bring one
each. Covers: taking them, and saying that there is no room. Does not cover: the cap (`loaders.walls`).
"""

from __future__ import annotations

import mmap
from importlib.util import find_spec

THREAD_BYTES = 80 << 20
"""What one more computing thread may take: a buffer of either OpenBLAS, and two stacks."""
_ROOM_BYTES = 64 << 20
"""What an OpenBLAS with one thread takes, and as much again for what is imported with it."""
_SIDE = 600
"""Of a square matrix: large enough that every thread is given a part of the product."""


def settle(threads: int = 1) -> None:
    """Have OpenBLAS, numpy's and scipy's, take the buffers of so many threads.

    Raises MemoryError or OSError where the cap has no room for them.
    """
    more = (threads - 1) * THREAD_BYTES
    _check_room(more)
    import numpy as np

    _check_room(more)
    square = np.ones((_SIDE, _SIDE), np.float32)
    square @ square
    if find_spec("scipy") is None:
        return
    _check_room(more)
    from scipy.linalg import blas

    _check_room(more)
    blas.sgemm(1.0, square, square)
    if threads > 1 and find_spec("threadpoolctl") is not None:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(threads, "blas"):
            square @ square
            blas.sgemm(1.0, square, square)


def _check_room(more: int) -> None:
    mmap.mmap(-1, _ROOM_BYTES + more, mmap.MAP_PRIVATE).close()
