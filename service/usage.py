"""What this process and its host use: the numbers of GET /status.

Covers: cheap readings only. Proportional set size is left out on purpose: the kernel walks the page tables of every
mapped model to compute it.
"""

from __future__ import annotations

from pathlib import Path

from loaders.memory import read_memory

_STATUS = Path("/proc/self/status")


def process_usage() -> dict[str, int]:
    """Bytes of this process: resident (mapped models included, once per process that maps them) and private (its own alone)."""
    sizes = {}
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "RssAnon"):
            sizes[name] = int(value.split()[0]) * 1024
    return {"rss_bytes": sizes.get("VmRSS", 0), "private_bytes": sizes.get("RssAnon", 0)}


def memory_usage() -> dict[str, int | None]:
    """This process, the host, and the container's limit (null without one), in bytes."""
    memory = read_memory()
    return {
        **process_usage(),
        "host_total_bytes": memory.total_bytes,
        "host_available_bytes": memory.available_bytes,
        "container_limit_bytes": memory.container_limit_bytes,
    }
