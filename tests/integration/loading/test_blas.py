"""OpenBLAS under a cap: it has what it needs before, or there is a failure; it never asks for room for ever."""

from __future__ import annotations

from tests.support import run_python

FREEZE = """
import re, resource, sys
from loaders.blas import settle

def cap(more):
    used = int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (used + more, used + more))
"""
COMPUTE = """
settle(2)
import numpy as np
from scipy.linalg import blas
from threadpoolctl import threadpool_limits
square, product = np.ones((600, 600), np.float32, order="F"), np.empty((600, 600), np.float32, order="F")
cap(4 << 20)
with threadpool_limits(2, "blas"):
    np.matmul(square, square, product)
    print(product[0, 0], blas.sgemm(1.0, square, square, c=product, overwrite_c=True)[0, 0])
"""
REFUSE = """
cap(int(sys.argv[1]) << 20)
try:
    settle(int(sys.argv[2]))
except (MemoryError, OSError) as error:
    print("no room")
"""


def test_what_was_settled_needs_no_more_room() -> None:
    done = run_python(FREEZE + COMPUTE)
    assert (done.stdout, done.stderr) == ("600.0 600.0\n", "")


def test_where_there_is_no_room_it_fails() -> None:
    for mib, threads in ((40, 1), (90, 1), (130, 1), (200, 4), (300, 4)):
        done = run_python(FREEZE + REFUSE, str(mib), str(threads))
        assert (done.stdout, done.stderr) == ("no room\n", ""), f"{mib} MiB, {threads} threads"
