"""What a training process is told: one frame, from whoever runs it (`training.running.runner`) to the child (`training.running.child`).

Covers: the plan and its frame, and the limits that follow from it. Does not cover: carrying it out (`training.running.steps`). No numpy.
The frame holds the address of the data with its password: it goes over the wire, never into a log or a message.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.schema import GIB, DataSettings, TrainingSettings
from loaders.blas import THREAD_BYTES

COMMAND: tuple[str, ...] = ("-I", "-m", "training.running.child")
"""Arguments of the interpreter, for `loaders.process.CappedChild`."""
_CPU_SLACK = 2
_LEAST_FILE_BYTES = 4 * GIB


@dataclass(frozen=True, slots=True)
class Plan:
    """One run, as the child is to carry it out.

    run_id: also the name of the version. store: absolute. champion: the version that serves, None where nothing is published.
    last_fingerprint: that of the last published or refused run of this training, None where nothing may be skipped (no such run, or
    what it published is gone). parts: role -> training (hybrids only); part_models: role -> model that serves it. forced_by: who
    wants it published whatever the gate says, None where nobody does; a forced run is never skipped. code_version: of the program.
    """

    run_id: str
    store: Path
    data: DataSettings
    training: TrainingSettings
    champion: str | None = None
    last_fingerprint: Mapping[str, Any] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    part_models: Mapping[str, str] = field(default_factory=dict)
    forced_by: str | None = None
    code_version: str = ""

    def to_frame(self) -> dict[str, Any]:
        """JSON for `CappedChild.run`, with the limits of the process."""
        return {
            "run_id": self.run_id,
            "store": str(self.store),
            "data": {**_plain(self.data), "ingest_token": ""},
            "training": _plain(self.training),
            "champion": self.champion,
            "last_fingerprint": None if self.last_fingerprint is None else dict(self.last_fingerprint),
            "parts": dict(self.parts),
            "part_models": dict(self.part_models),
            "forced_by": self.forced_by,
            "code_version": self.code_version,
            **limits(self.training),
        }

    @classmethod
    def of(cls, frame: Mapping[str, Any]) -> Plan:
        """From `to_frame`. Raises KeyError, TypeError for what is none."""
        return cls(
            run_id=frame["run_id"],
            store=Path(frame["store"]),
            data=DataSettings(**frame["data"]),
            training=TrainingSettings(**frame["training"]),
            **{name: frame[name] for name in ("champion", "last_fingerprint", "parts", "part_models", "forced_by", "code_version")},
        )


def limits(training: TrainingSettings) -> dict[str, int]:
    """What the process may take: data_bytes, data_hard_bytes (RLIMIT_DATA), file_bytes (each file), cpu_s.

    Processor time is that of every processor for as long as the run may take: the wall clock is the runner's.
    """
    return {
        "data_bytes": training.memory_bytes,
        "data_hard_bytes": training.memory_bytes,
        "file_bytes": max(_LEAST_FILE_BYTES, 2 * training.memory_bytes),
        "cpu_s": max(60, int(training.timeout_s * _CPU_SLACK * len(os.sched_getaffinity(0)))),
    }


def threads_of(training: TrainingSettings) -> int:
    """How many threads may compute at once: each processor one, as far as a quarter of the cap has room for what threads take."""
    return max(1, min(len(os.sched_getaffinity(0)), training.memory_bytes // 4 // THREAD_BYTES))


def _plain(settings: DataSettings | TrainingSettings) -> dict[str, Any]:
    """Not `dataclasses.asdict`: it copies, and the read-only tables that stand as defaults cannot be copied."""
    found = {each.name: getattr(settings, each.name) for each in dataclasses.fields(settings)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in found.items()}
