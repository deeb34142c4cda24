"""The interface of a trainer: a dataset and parameters in, a bundle that serves out.

Covers: types, and how parameters are declared and checked. Does not cover: algorithms (one file each). Capped child only;
but for `training.trainers` itself, which names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from models.bundle import Bundle
from training.dataset.base import Dataset

OnProgress = Callable[[str, int, int], None]
"""What is being done ("fitting", "searching regularization"), steps done, steps in all (0 where that is not known)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an algorithm. default None: chosen by the trainer (the help says how); choices () is no limit.

    type: of a value; None is that of the default.
    """

    default: int | float | bool | str | None
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    type: type[int] | type[float] | type[bool] | type[str] | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What a trainer is given.

    train: the interactions to learn from, holdout taken out (its ids, items and features are complete). seen: CSR arrays
    (indptr int64, indices int32, weights float32) over users x items of everything users have, the holdout included: what the
    served model leaves out of answers, never what it learns from. parameters: checked, every name present.
    parts: role -> folder of the published version of that part (hybrids only); part_models: role -> name of the model that serves it.
    memory_bytes: the cap of this process. threads: how many may compute.
    """

    train: Dataset
    seen: Any
    parameters: Mapping[str, Any]
    seed: int
    memory_bytes: int
    threads: int
    parts: Mapping[str, Path] = field(default_factory=dict)
    part_models: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a trainer gives. parameters: those that were used, chosen ones filled in. notes: what else is to be recorded, JSON."""

    bundle: Bundle
    parameters: Mapping[str, Any]
    notes: Mapping[str, Any] = field(default_factory=dict)


class Trainer(Protocol):
    """One algorithm: a module-level object in its own file, named in `training.trainers.TRAINERS`."""

    parameters: Mapping[str, Parameter]
    is_floor: bool
    """Whether it is what others are measured against (popular): the gate does not ask it to beat itself."""

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """Learn. Deterministic for a seed and a number of threads. Raises training.errors.Untrainable, MemoryError."""
        ...
