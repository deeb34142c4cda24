"""Waiting by looking: until a model serves, until what an operator commanded is done, until a training run is over.

Covers: when to look again, and when that is in vain. Does not cover: one look (`service.client.waiting`).
"""

from __future__ import annotations

from service.client.errors import ModelFailed, ModelLoading, TrainingFailed
from service.client.results import ModelStatus, TrainingRun
from service.client.waiting import SPREAD, Call, OnProgress, Rules, answered, loading_message, spread
from service.client.wire import Pause, Steps

POLL_S = 0.5
"""Between two looks."""
_ENDED_WELL = ("published", "refused", "skipped")
"""A refusal is an answer: what served goes on."""


def until_ready(
    look: Call[ModelStatus], rules: Rules, on_progress: OnProgress | None, start: Call[ModelStatus] | None
) -> Steps[ModelStatus]:
    """Wait until a model serves. `start` is sent once for a model that loads on demand and that nobody asked for so far.

    Raises ModelFailed when waiting is in vain, ModelLoading at the deadline, and what `answered` raises.
    """
    deadline = rules.clock() + rules.deadline_s
    while True:
        model = yield from answered(look, rules.left_until(deadline))
        if model.is_ready:
            return model
        if model.is_hopeless:
            raise failed(model)
        if on_progress is not None:
            on_progress(model.as_progress())
        if model.status == "not_started":
            if start is None:
                raise ModelLoading(f"{model.name} loads on demand: ask it something, or load it with the admin token", model.as_progress())
            model = yield from answered(start, rules.left_until(deadline))
            start = None
        yield from _look_again(model, rules, deadline)


def until_settled(look: Call[ModelStatus], first: ModelStatus, rules: Rules, on_progress: OnProgress | None) -> Steps[ModelStatus]:
    """Wait until no attempt runs any more; `first` is what the command answered.

    Raises ModelFailed where the last attempt failed, though an older version may serve; ModelLoading at the deadline.
    """
    deadline = rules.clock() + rules.deadline_s
    model = first
    while not model.is_settled:
        if on_progress is not None:
            on_progress(model.as_progress())
        yield from _look_again(model, rules, deadline)
        model = yield from answered(look, rules.left_until(deadline))
    if model.failure is not None and model.status != "unloaded":
        raise failed(model)
    return model


def until_over(look: Call[TrainingRun], first: TrainingRun, rules: Rules, on_progress: OnProgress | None) -> Steps[TrainingRun]:
    """Wait until a run has ended; `first` is what the command answered.

    Raises TrainingFailed for one that failed, crashed or was cancelled; ModelLoading at the deadline, when it goes on.
    """
    deadline = rules.clock() + rules.deadline_s
    run = first
    while not run.is_over:
        if on_progress is not None:
            on_progress(run.as_progress())
        yield from _look_again(run, rules, deadline)
        run = yield from answered(look, rules.left_until(deadline))
    if run.status not in _ENDED_WELL:
        why = f"{run.failure.type}: {run.failure.message}" if run.failure is not None else run.reason or "nothing is known of it"
        raise TrainingFailed(f"run {run.id} of {run.training} {_ENDED_BADLY.get(run.status, run.status)}: {why}", run)
    return run


_ENDED_BADLY = {"cancelled": "was cancelled"}


def _look_again(what: ModelStatus | TrainingRun, rules: Rules, deadline: float) -> Steps[None]:
    left_s = deadline - rules.clock()
    if left_s <= 0:
        progress = what.as_progress()
        raise ModelLoading(loading_message(progress), progress)
    yield Pause(min(spread(POLL_S, SPREAD, rules), left_s))


def failed(model: ModelStatus) -> ModelFailed:
    """The error of a model that will not become ready by itself."""
    failure = model.failure
    why = f"{failure.type}: {failure.message}" if failure is not None else model.reason or "an operator must load it again"
    return ModelFailed(f"{model.name} is {model.status}: {why}", model_status=model.status, failure=failure)
