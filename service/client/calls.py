"""Everything that can be asked of a server, as steps: what both clients have in common, method by method.

Covers: paths, parameters, bodies, which answers are results, and what may be sent twice. Does not cover: waiting and
retrying (`service.client.waiting`), sending (`service.client.blocking`, `service.client.asynchronous`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NotRequired, Required, TypedDict, TypeVar

from service.client.decoding import answer_in, parsed, typed
from service.client.errors import InvalidAnswer, ModelFailed
from service.client.following import until_over, until_ready, until_settled
from service.client.posting import LONGEST_S, posting
from service.client.results import (
    Answer,
    Cleared,
    Health,
    Id,
    Models,
    ModelStatus,
    Posted,
    Recommendations,
    RunBegun,
    ServerStatus,
    TrainingRun,
    TrainingRuns,
    Versions,
)
from service.client.waiting import Call, OnProgress, Rules, answered
from service.client.wire import Response, Server, Steps, encoded, query, segment

T = TypeVar("T")


class _Patience(TypedDict, total=False):
    deadline_s: float | None
    """How long this call may take with all its waiting; 0 is one try."""
    on_progress: OnProgress | None


class _Choice(_Patience, total=False):
    k: int
    exclude: Sequence[Id]
    only: Sequence[Id] | None
    categories: Sequence[str]
    fields: Sequence[str]
    diversity: float | None


class _OfUsers(_Choice, total=False):
    exclude_seen: bool | None
    explain: bool


class ForUser(_OfUsers):
    """A question for one user; a hybrid also takes what they like."""

    user_id: Required[Id]
    liked: NotRequired[Sequence[Id]]


class ForLiked(_OfUsers):
    """A question for somebody of whom only the items they like are known."""

    liked: Required[Sequence[Id]]


class ForUsers(_OfUsers):
    """A question for several users."""

    users: Required[Sequence[Id]]


class ForRows(_Patience):
    """A question for predictions: rows of features as lists, or as objects by feature name; None is a missing value."""

    instances: Required[Sequence[Any]]


class ForItem(_Choice):
    """A question for items like one."""


Wait = bool | float
"""Whether a command waits for what comes of it: False does not, True as long as the client's deadline, a number so many seconds."""


class Calls:
    """The steps of every call to one server. Without state: any number of them may be under way."""

    def __init__(self, server: Server, rules: Rules) -> None:
        self.server = server
        self.rules = rules

    def ask(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        is_admin: bool,
        is_idempotent: bool | None,
        deadline_s: float | None,
        on_progress: OnProgress | None,
    ) -> Steps[Any]:
        request = self.server.request(method, path, None if body is None else encoded(body), is_admin=is_admin)
        safe = method in ("GET", "HEAD") if is_idempotent is None else is_idempotent
        return self._put(Call(request, _json, safe, is_held=not is_admin), deadline_s=deadline_s, on_progress=on_progress)

    # -- questions ----------------------------------------------------------------------------------------------------

    def predict(self, model: str | None, question: Mapping[str, Any]) -> Steps[Answer]:
        """An answer is the same however often it is given: the call may be sent again."""
        fields = {name: value for name, value in question.items() if name not in _Patience.__annotations__}
        path = "/predict" if model is None else f"/models/{segment(model)}/predict"
        request = self.server.request("POST", path, encoded(fields))
        return self._put(Call(request, lambda response: answer_in(response.body), is_held=True), **_patience_of(question))

    def similar(self, model: str, item_id: Id, question: Mapping[str, Any]) -> Steps[Recommendations]:
        parameters = {name: value for name, value in question.items() if name not in _Patience.__annotations__}
        request = self.server.request("GET", f"/models/{segment(model)}/similar/{segment(item_id)}{query(parameters)}")
        return self._put(Call(request, _recommendations, is_held=True), **_patience_of(question))

    # -- posting ------------------------------------------------------------------------------------------------------

    def post_interactions(self, interactions: Sequence[Mapping[str, Any]], key: str | None, deadline_s: float | None) -> Steps[Posted]:
        """202 is the result here: they are in the table, nothing is waited for."""
        rules = self.rules.until(deadline_s)
        return answered(posting(self.server, interactions, key), rules.until(min(rules.deadline_s, LONGEST_S)))

    # -- looking ------------------------------------------------------------------------------------------------------

    def models(self) -> Steps[list[ModelStatus]]:
        return self._put(self._get("/models", _models))

    def model(self, name: str) -> Steps[ModelStatus]:
        return self._put(self._look(name))

    def versions(self, name: str) -> Steps[Versions]:
        return self._put(self._get(f"/models/{segment(name)}/versions", partial(_typed, Versions)))

    def runs(self, training: str | None, limit: int | None) -> Steps[list[TrainingRun]]:
        return self._put(self._get(f"/training/runs{query({'training': training, 'limit': limit})}", _runs))

    def run(self, id: str) -> Steps[TrainingRun]:
        return self._put(self._look_at_run(id))

    def status(self) -> Steps[ServerStatus]:
        return self._put(self._get("/status", partial(_typed, ServerStatus)))

    def health(self) -> Steps[Health]:
        return self._put(self._get("/health", partial(_typed, Health)), deadline_s=0)

    def is_ready(self) -> Steps[bool]:
        call = Call(self.server.request("GET", "/health/ready"), lambda response: response.status == 200, accepts=(503,))
        return self._put(call, deadline_s=0)

    def wait_ready(self, name: str, *, deadline_s: float | None = None, on_progress: OnProgress | None = None) -> Steps[ModelStatus]:
        start = self._command("POST", name, "load") if self.server.has_token else None
        return until_ready(self._look(name), self.rules.until(deadline_s), on_progress, start)

    # -- commands -----------------------------------------------------------------------------------------------------

    def load(self, name: str, wait: Wait, on_progress: OnProgress | None) -> Steps[ModelStatus]:
        return self._commanded(self._command("POST", name, "load"), wait, on_progress)

    def unload(self, name: str, wait: Wait, on_progress: OnProgress | None) -> Steps[ModelStatus]:
        return self._commanded(self._command("POST", name, "unload"), wait, on_progress)

    def reload(self, name: str, force: bool, wait: Wait, on_progress: OnProgress | None) -> Steps[ModelStatus]:
        word = "reload?force=true" if force else "reload"
        return self._commanded(self._command("POST", name, word, is_idempotent=not force), wait, on_progress)

    def rollback(self, name: str, to: str | None, unpin: bool, wait: Wait, on_progress: OnProgress | None) -> Steps[ModelStatus]:
        word = f"rollback{query({'to': to, 'unpin': unpin or None})}"
        # Twice goes back twice, if it is not said where to.
        is_idempotent = unpin or to is not None
        return self._commanded(self._command("POST", name, word, is_idempotent=is_idempotent), wait, on_progress)

    def activate(self, name: str, version: str, wait: Wait, on_progress: OnProgress | None) -> Steps[ModelStatus]:
        return self._commanded(self._command("POST", name, f"activate{query({'version': version})}"), wait, on_progress)

    def train(self, name: str, force: bool, by: str | None, wait: Wait, on_progress: OnProgress | None) -> Steps[TrainingRun]:
        path = f"/models/{segment(name)}/train{query({'force': force or None, 'by': by})}"
        begun = Call(self.server.request("POST", path, is_admin=True), partial(_typed, RunBegun), is_idempotent=False)
        first = (yield from self._put(begun)).run
        if wait is False:
            return first
        return (yield from until_over(self._look_at_run(first.id), first, self._rules_of(wait), on_progress))

    def train_all(self, force: bool, by: str | None) -> Steps[list[TrainingRun]]:
        path = f"/api/ml/train-all{query({'force': force or None, 'by': by})}"
        return self._put(Call(self.server.request("POST", path, is_admin=True), _runs, is_idempotent=False))

    def cancel_run(self, id: str, by: str | None) -> Steps[TrainingRun]:
        path = f"/training/runs/{segment(id)}/cancel{query({'by': by})}"
        return self._put(Call(self.server.request("POST", path, is_admin=True), partial(_typed, TrainingRun), is_idempotent=False))

    def reload_all(self, wait: Wait, on_progress: OnProgress | None) -> Steps[list[ModelStatus]]:
        first = yield from self._put(Call(self.server.request("POST", "/models/reload", is_admin=True), _models, is_idempotent=False))
        if wait is False:
            return first
        # The first failure must not hide how the others end.
        ended: list[ModelStatus] = []
        failures: list[ModelFailed] = []
        rules = self._rules_of(wait)
        deadline = rules.clock() + rules.deadline_s
        for model in first:
            left = rules.left_until(deadline)
            try:
                ended.append((yield from until_settled(self._look(model.name), model, left, on_progress)))
            except ModelFailed as error:
                failures.append(error)
        if failures:
            raise failures[0] if len(failures) == 1 else ModelFailed("; ".join(str(each) for each in failures))
        return ended

    def clear(self, name: str | None) -> Steps[Cleared]:
        path = "/models/clear" if name is None else f"/models/{segment(name)}/cache"
        return self._put(Call(self.server.request("DELETE", path, is_admin=True), partial(_typed, Cleared)))

    # -- parts --------------------------------------------------------------------------------------------------------

    def _put(self, call: Call[T], *, deadline_s: float | None = None, on_progress: OnProgress | None = None) -> Steps[T]:
        return answered(call, self.rules.until(deadline_s), on_progress)

    def _get(self, path: str, decode: Any) -> Call[Any]:
        return Call(self.server.request("GET", path), decode)

    def _look(self, name: str) -> Call[ModelStatus]:
        return Call(self.server.request("GET", f"/models/{segment(name)}/status"), partial(_typed, ModelStatus))

    def _look_at_run(self, id: str) -> Call[TrainingRun]:
        return self._get(f"/training/runs/{segment(id)}", partial(_typed, TrainingRun))

    def _command(self, method: str, name: str, word: str, *, is_idempotent: bool = True) -> Call[ModelStatus]:
        request = self.server.request(method, f"/models/{segment(name)}/{word}", is_admin=True)
        return Call(request, partial(_typed, ModelStatus), is_idempotent)

    def _commanded(self, command: Call[ModelStatus], wait: Wait, on_progress: OnProgress | None) -> Steps[ModelStatus]:
        """Give the command, then look until it is done: a connection that breaks while waiting leaves no doubt whether it was given."""
        first = yield from self._put(command)
        if wait is False:
            return first
        rules = self._rules_of(wait)
        return (yield from until_settled(self._look(first.name), first, rules, on_progress))

    def _rules_of(self, wait: Wait) -> Rules:
        return self.rules.until(None if wait is True else float(wait))


def _patience_of(question: Mapping[str, Any]) -> dict[str, Any]:
    return {name: question[name] for name in _Patience.__annotations__ if name in question}


def _typed(type: type[T], response: Response) -> T:
    return typed(response.body, type)


def _json(response: Response) -> Any:
    return parsed(response.body) if response.body else None


def _models(response: Response) -> list[ModelStatus]:
    return list(typed(response.body, Models).models)


def _runs(response: Response) -> list[TrainingRun]:
    return list(typed(response.body, TrainingRuns).runs)


def _recommendations(response: Response) -> Recommendations:
    answer = answer_in(response.body)
    if not isinstance(answer, Recommendations):
        raise InvalidAnswer("similar items were asked for, and something else was answered")
    return answer
