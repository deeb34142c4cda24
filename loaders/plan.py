"""What a capped child is told: its limits, its file descriptors, what to look for. Pure but for reading the host's memory.

Covers: the numbers. Does not cover: enforcing them (`loaders.walls`), admission (`loaders.memory`).
"""

from __future__ import annotations

import os
from typing import Any

import psutil

from config.schema import LoadingSettings, ModelSettings

MIB = 1 << 20
BASE_BYTES = 300 * MIB
HOSTED_BYTES = 1 << 30
"""Cap of a hosting child: scikit-learn, scipy and pandas take about a fifth of it before the model comes."""
PER_PLAIN_BYTE = 20
"""Private memory a byte of non-array pickle may cost: strings, dicts and the id table built from them (measured: ~15)."""
_COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00", b"\x04\x22\x4d\x18", b"\x78")


def load_plan(
    model: ModelSettings, loading: LoadingSettings, artifact_fd: int, segment_fd: int, size: int, sha256: str | None
) -> dict[str, Any]:
    """The plan frame. With no configured memory the soft cap follows the non-array bytes that were read, up to the hard one."""
    is_compressed = os.pread(artifact_fd, 5, 0).startswith(_COMPRESSED)
    segment_limit = loading.segment_limit_bytes or max(64 * MIB, size * (64 if is_compressed else 4))
    auto_hard = min(psutil.virtual_memory().total, BASE_BYTES + PER_PLAIN_BYTE * size * (8 if is_compressed else 1))
    hard = model.memory_bytes or auto_hard
    return {
        "artifact_fd": artifact_fd,
        "segment_fd": segment_fd,
        "digest": sha256,
        "verify_sha256": model.sha256.lower() or None,
        "family": model.family,
        "options": {"id_column": model.id_column},
        "data_bytes": min(hard, model.memory_bytes or BASE_BYTES),
        "data_hard_bytes": hard,
        "data_per_plain_byte": 0 if model.memory_bytes else PER_PLAIN_BYTE,
        "segment_limit": segment_limit,
        "cpu_s": max(10, int(model.load_timeout_s * 2)),
        "cgroup_bytes": hard + (segment_limit if model.segment == "memory" else size + 256 * MIB),
    }


def host_plan(model: ModelSettings, loading: LoadingSettings, artifact_fd: int, size: int, format: str) -> dict[str, Any]:
    """The plan frame of a hosting child. Its cap is one number: what it will allocate to answer cannot be known beforehand."""
    cap = model.memory_bytes or HOSTED_BYTES
    return {
        "artifact_fd": artifact_fd,
        "is_joblib": format.partition("+")[0] == "joblib",
        "trust": loading.trust,
        "data_bytes": cap,
        "data_hard_bytes": cap,
        "cgroup_bytes": cap + size + 256 * MIB,
    }


def need_bytes(model: ModelSettings, size: int, learned_bytes: int | None, *, is_hosted: bool = False) -> int:
    """Memory a load will need that the kernel cannot reclaim, bytes: learned from the last load of that size, else estimated."""
    if is_hosted:
        return learned_bytes or min(model.memory_bytes or HOSTED_BYTES, 2 * size + 100 * MIB)
    private = learned_bytes or min(model.memory_bytes or BASE_BYTES + size // 4, 96 * MIB + size // 4)
    return private + (size if model.segment == "memory" else 0)
