"""Every way a run can fail. The class has the public name: `type` stands in the run's record, its metrics and the log.

Covers: failures of runs. Does not cover: refusals of the gate, which are verdicts (`training.judging.verdict`). What the loading child can
also meet (`loaders.errors`: disk_full, memory_cap_exceeded, child_crashed, missing_library) has its name there.
"""

from __future__ import annotations

from typing import ClassVar

from loaders.errors import NamedFailure


class TrainingError(NamedFailure):
    """A run could not be carried out. is_retryable: whether the same run may do better soon."""

    is_retryable: ClassVar[bool] = False


class DataUnavailable(TrainingError):
    """The database could not be reached, or broke off, as often as it was tried."""

    type = "data_unavailable"
    is_retryable = True


class BadData(TrainingError):
    """A query that fails, a column that is missing or of the wrong kind: the message names query and column."""

    type = "bad_data"


class BadParameter(TrainingError):
    """A parameter of [training.<name>] that the algorithm does not take; the message names it and what it takes."""

    type = "bad_parameter"


class Untrainable(TrainingError):
    """The data cannot give such a model: no interactions, no text, too many items for the memory; the message says which."""

    type = "untrainable"


class PartUnpublished(TrainingError):
    """A part of a hybrid has published nothing yet."""

    type = "part_unpublished"
    is_retryable = True


class TrainingTimeout(TrainingError):
    """The run took longer than its time limit."""

    type = "training_timeout"


TRAINING_FAILURES: dict[str, type[TrainingError]] = {
    cls.type: cls for cls in (DataUnavailable, BadData, BadParameter, Untrainable, PartUnpublished, TrainingTimeout)
}
