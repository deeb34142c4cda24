"""How trained the models are, and the runs that train them.

Covers: the fields. Does not cover: how they are found (`service.routes.training`), what they mean in a run's life
(`training.running.runs`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.schemas.problems import Problem
from service.schemas.values import Bytes, ModelName, Seconds, Timestamp
from service.schemas.versions import VersionName

TrainingName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Name of a [training.NAME]", examples=["als"])]
RunId = Annotated[str, Meta(description="Also the name of the version that it publishes", examples=["20261121T101500-3fa9c1"])]
RunStatusWord = Literal["queued", "running", "published", "refused", "skipped", "failed", "cancelled", "crashed"]
RunPhaseWord = Literal["reading", "splitting", "fitting", "evaluating", "publishing"]


class AlgorithmStatus(Struct, kw_only=True):
    """One algorithm, by the name of a model or of a kind of models."""

    status: Annotated[
        Literal["trained", "untrained", "training"],
        Meta(description="training: a run of it waits or runs. untrained: nothing trained is loaded or published"),
    ]
    trained_at: Annotated[
        str | int | float | None, Meta(description="As the artifact, or the published version, says it", examples=["2026-03-04T05:06:07Z"])
    ]
    model: Annotated[ModelName | None, Meta(description="Which model is meant; null where none is of that kind")]
    training: (
        Annotated[TrainingName, Meta(description="The training that it is served from, or falls back to, if there is one")] | UnsetType
    ) = UNSET


class GateRule(Struct, kw_only=True):
    """One thing that the gate asks of a new version."""

    rule: Literal["minimum", "popular", "champion"]
    passed: Annotated[bool | None, Meta(description="null: not asked, the message says why")]
    message: Annotated[str, Meta(description="In words, with the figures")]


class GateDuel(Struct, kw_only=True):
    """The new version and the one that served, on the same users, on what neither of them was trained on."""

    version: VersionName
    candidate: float
    champion: float
    difference: Annotated[float, Meta(description="Mean over the users of candidate - champion")]
    standard_error: Annotated[float, Meta(ge=0.0, description="Of that mean, paired")]
    users: Annotated[int, Meta(ge=0)]


class GateVerdict(Struct, kw_only=True):
    """Whether a new version may serve, and why."""

    accepted: bool
    forced_by: Annotated[str | None, Meta(description="Who had it published although a rule said no")]
    metric: Annotated[str, Meta(examples=["ndcg@10"])]
    value: float
    popular: Annotated[float, Meta(description="The same, of the most popular items")]
    users: Annotated[int, Meta(ge=0, description="Users of the holdout on whom it was measured")]
    split: Literal["time", "random"]
    cut_at: Annotated[Timestamp | None, Meta(description="The latest time it was trained on; null for a random split")]
    rules: list[GateRule]
    champion: GateDuel | None


class DataFingerprint(Struct, kw_only=True):
    """What the data and the parameters were: the same again is not trained again."""

    interactions: Annotated[int, Meta(ge=0)]
    latest_at: Annotated[Timestamp | None, Meta(description="The greatest time of an interaction")]
    digest: Annotated[str, Meta(description="Of everything that was read")]
    recipe: Annotated[str, Meta(description="Of everything else that decides what comes of it")]


class RunFailure(Struct, kw_only=True):
    """Why a run did not come to an end."""

    type: Annotated[str, Meta(description="See the page of failures", examples=["data_unavailable"])]
    message: str


class RunChanged(Struct, kw_only=True):
    """A training run. Null is what is not known, or not yet. The data of a `run` event."""

    id: RunId
    training: TrainingName
    algorithm: Annotated[str, Meta(examples=["als"])]
    status: RunStatusWord
    cause: Annotated[
        Literal["command", "schedule", "interactions", "fallback"],
        Meta(description="interactions: enough new ones; fallback: a model had nothing else to serve"),
    ]
    requested_by: Annotated[str, Meta(description="Who asked for it; where nobody did, what had led to it")]
    forced: Annotated[bool, Meta(description="To be published whatever the gate says")]
    created_at: Timestamp
    started_at: Timestamp | None
    ended_at: Timestamp | None
    seconds: Seconds | None
    phase: RunPhaseWord | None
    step: Annotated[str | None, Meta(description="What it does, in words")]
    progress: Annotated[float, Meta(ge=0.0, le=1.0, description="Of that step")] | None
    parameters: Annotated[dict[str, Any], Meta(description="As configured; once it is fitted, all that were used")]
    fingerprint: DataFingerprint | None
    metrics: Annotated[dict[str, float], Meta(description="What was measured of the new version on the holdout")]
    verdict: GateVerdict | None
    version: Annotated[VersionName | None, Meta(description="The version that it published")]
    reason: Annotated[str | None, Meta(description="Why it waits, was skipped or cancelled, or does not serve")]
    failure: RunFailure | None
    peak_bytes: Bytes | None
    cap_bytes: Bytes | None


class Run(RunChanged, kw_only=True):
    """A training run, with the last lines of its output."""

    log: list[str]


class RunStarted(Struct, kw_only=True):
    """The run of a command."""

    run: Run


class Runs(Struct, kw_only=True):
    """Training runs."""

    runs: list[Run]


class RunProblem(Problem, kw_only=True):
    """Training, or this run of it, as it is, does not let this be done."""

    model: str | UnsetType = UNSET
    run: Run | UnsetType | None = UNSET
