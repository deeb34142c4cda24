"""What the server tells, typed: recommendations, predictions, statuses, progress.

Covers: the shapes of answers. Does not cover: reading them from JSON (`service.client.decoding`), errors
(`service.client.errors`), events (`service.client.events`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, field

Id = int | str


class Reason(Struct, frozen=True):
    """An item of the history that speaks for a recommended one."""

    item_id: Id
    contribution: float


class Item(Struct, frozen=True):
    """One recommended item. fields: the columns that were asked for. because: the strongest reasons first, if they were asked for."""

    item_id: Id
    score: float
    fields: Mapping[str, Any] = {}
    because: Sequence[Reason] | None = None


class Recommendations(Struct, frozen=True):
    """The best items, best first. notes: what a family adds; parts: model -> version of those that a hybrid asked."""

    model: str
    version: str
    items: Sequence[Item]
    user_id: Id | None = None
    item_id: Id | None = None
    parts: Mapping[str, str] = {}
    notes: Mapping[str, Any] = {}


class UserResult(Struct, frozen=True):
    """What came of one user of a batch: items, or why there are none."""

    user_id: Id
    items: Sequence[Item] = ()
    error: Mapping[str, Any] | None = None
    """The problem document (RFC 9457) of a user that the model does not know."""
    notes: Mapping[str, Any] = {}


class BatchRecommendations(Struct, frozen=True):
    """One result a user, in the order in which they were asked for."""

    model: str
    version: str
    results: Sequence[UserResult]
    parts: Mapping[str, str] = {}


class Predictions(Struct, frozen=True):
    """One prediction a row. probabilities: a row of them in the order of `classes`, from a classifier."""

    model: str
    version: str
    predictions: Sequence[Any]
    probabilities: Sequence[Any] | None = None
    classes: Sequence[Any] | None = None
    parts: Mapping[str, str] = {}


Answer = Recommendations | BatchRecommendations | Predictions


class Progress(Struct, frozen=True):
    """How far a model is that is not ready yet. `progress` is 0..1; what is not known is None."""

    model: str
    phase: str | None = None
    progress: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    eta_s: float | None = None
    reason: str | None = None


class Failure(Struct, frozen=True):
    """Why the last attempt to load failed. Times are RFC 3339."""

    type: str
    message: str
    retryable: bool = False
    attempts: int = 0
    at: str | None = None
    next_attempt_at: str | None = None


class StoryLine(Struct, frozen=True):
    """One transition of a model."""

    at: str
    event: str
    from_: str = field(name="from")
    to: str
    cause: str


class ModelStatus(Struct, frozen=True):
    """A model as it was when asked: `status` is ready, loading, error, unloaded or not_started. Sizes in bytes, times RFC 3339."""

    name: str
    status: str
    stale: bool = False
    phase: str | None = None
    progress: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    eta_s: float | None = None
    reason: str | None = None
    version: str | None = None
    family: str | None = None
    source: str | None = None
    revision: str | None = None
    required: bool = True
    artifact_bytes: int | None = None
    segment_bytes: int | None = None
    loaded_at: str | None = None
    load: Mapping[str, Any] | None = None
    details: Mapping[str, Any] | None = None
    failure: Failure | None = None
    story: Sequence[StoryLine] = ()

    @property
    def is_ready(self) -> bool:
        """Whether a version serves."""
        return self.status == "ready"

    @property
    def is_hopeless(self) -> bool:
        """Whether waiting is in vain: unloaded by an operator, or failed for good."""
        failed_for_good = self.status == "error" and self.failure is not None and not self.failure.retryable
        return self.status == "unloaded" or failed_for_good

    @property
    def is_settled(self) -> bool:
        """Whether no attempt runs or is queued; an old version may still be draining."""
        return self.phase in (None, "draining")

    def as_progress(self) -> Progress:
        """The part of it that moves."""
        return Progress(self.name, self.phase, self.progress, self.bytes_done, self.bytes_total, self.eta_s, self.reason)


class Models(Struct, frozen=True):
    """GET /models, and what commands to all models answer."""

    models: Sequence[ModelStatus] = ()


class Health(Struct, frozen=True):
    """GET /health: `status` is ok, loading or degraded; models: name -> status."""

    status: str
    models: Mapping[str, str] = {}


class ServerStatus(Struct, frozen=True):
    """GET /status: the process, its memory in bytes, and every model."""

    version: str
    uptime_s: float
    models: Sequence[ModelStatus]
    memory: Mapping[str, Any] = {}
    workers: Sequence[Mapping[str, Any]] = ()


class KeptVersion(Struct, frozen=True):
    """One version of a model that is kept. What it was trained with, and the verdict of the gate, where it was trained there."""

    version: str
    live: bool = False
    pinned: bool = False
    revision: str | None = None
    family: str | None = None
    loaded_at: str | None = None
    artifact_bytes: int | None = None
    segment_bytes: int | None = None
    metrics: Mapping[str, Any] | None = None
    published_at: str | None = None
    trained_at: str | None = None
    algorithm: str | None = None
    parameters: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None
    withdrawn: Mapping[str, Any] | None = None
    """Why it was taken back after it was published: at, type, message."""


class Versions(Struct, frozen=True):
    """The versions of a model that are kept; `live` serves, `current` is to, `pinned` stays until an operator says otherwise."""

    model: str
    versions: Sequence[KeptVersion]
    live: str | None = None
    current: str | None = None
    pinned: str | None = None


class TrainingRun(Struct, frozen=True):
    """One training run as it was when asked, or as it came along. `status` is queued, running, published, refused (by the gate: what
    served goes on), skipped (nothing new in the data), failed, cancelled or crashed. Times are RFC 3339."""

    id: str
    training: str
    status: str
    algorithm: str = ""
    cause: str = ""
    requested_by: str = ""
    forced: bool = False
    created_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    seconds: float | None = None
    phase: str | None = None
    step: str | None = None
    progress: float | None = None
    """0..1 of that step."""
    parameters: Mapping[str, Any] = {}
    fingerprint: Mapping[str, Any] | None = None
    metrics: Mapping[str, float] = {}
    verdict: Mapping[str, Any] | None = None
    version: str | None = None
    """The version that it published."""
    reason: str | None = None
    failure: Failure | None = None
    peak_bytes: int | None = None
    cap_bytes: int | None = None
    log: Sequence[str] = ()
    """The last lines of its output; not in events."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in whatever way."""
        return self.ended_at is not None

    def as_progress(self) -> Progress:
        """The part of it that moves, under the name of the training."""
        return Progress(self.training, self.phase or self.status, self.progress, reason=self.step or self.reason)


class TrainingRuns(Struct, frozen=True):
    """GET /training/runs, and what training everything begins."""

    runs: Sequence[TrainingRun]


class RunBegun(Struct, frozen=True):
    """What the command to train answers."""

    run: TrainingRun


class Posted(Struct, frozen=True):
    """What came of posting interactions: they are in the table. duplicate: they had been already, under the same key, by an earlier try
    or an earlier call; nothing was appended for this one."""

    accepted: int
    duplicate: bool


class Cleared(Struct, frozen=True):
    """What `clear` freed."""

    freed_bytes: int
