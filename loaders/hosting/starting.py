"""From a stored artifact to a hosted model that answers: the child's plan, its hello, what is shown of it.

Covers: the order of those steps, and what a child says of itself checked as untrusted input. Does not cover: asking it
(`loaders.hosting.scorer`), what it does (`loaders.hosting.child`). Event loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from config.schema import LoadingSettings, ModelSettings
from loaders.errors import ChildCrashed
from loaders.hosting.scorer import FRAME_LIMIT, HostedModel
from loaders.plan import host_plan
from loaders.process import CappedChild
from models.bundle import BadBundle
from models.estimator import Signature
from models.forms import RowForm

HOSTED = "hosted"
"""The family's name."""
CHILD: tuple[str, ...] = ("-I", "-m", "loaders.hosting.child")
_TAKES = ("rows", "texts", "objects")


async def start_hosted(
    model: ModelSettings,
    loading: LoadingSettings,
    artifact_fd: int,
    size: int,
    format: str,
    on_frame: Callable[[dict[str, Any]], None],
) -> tuple[HostedModel, dict[str, Any]]:
    """The model, alive, and {"peak_bytes", "cap_bytes", "walls", "warnings"} of its load. `format` as the structural reading found it.

    Raises UntrustedType, MissingLibrary, UnknownFormat (no predict), CorruptArtifact, MemoryCapExceeded, LoadTimeout, ChildCrashed.
    """
    plan = host_plan(model, loading, artifact_fd, size, format)
    async with AsyncExitStack() as stack:
        hosting = CappedChild((artifact_fd,), plan["cgroup_bytes"], CHILD, role="hosting", frame_limit=FRAME_LIMIT)
        child = await stack.enter_async_context(hosting)
        hello = await child.run(plan, model.load_timeout_s, on_frame)
        try:
            hosted = _opened(child, hello)
        except BadBundle as error:
            raise ChildCrashed(f"the hosting process described its model wrongly: {error}") from error
        stack.pop_all()  # the child is the model's now
    facts = {
        "peak_bytes": _count(hello.get("peak_bytes")),
        "cap_bytes": plan["data_hard_bytes"],
        "walls": [*_words(hello.get("walls"), 40), *child.walls],
        "warnings": _words(hello.get("warnings"), 300),
    }
    return hosted, facts


def _opened(child: CappedChild, hello: dict[str, Any]) -> HostedModel:
    signature = Signature.from_meta(hello.get("signature"))  # type: ignore[arg-type]
    takes, model = hello.get("takes"), hello.get("model")
    if takes not in _TAKES or not isinstance(model, str):
        raise BadBundle("its hello is malformed")
    shown = signature.details()
    details = {
        "model": model[:200],
        **shown,
        "features": signature.features or None,
        "takes": takes,
        "probabilities": hello.get("has_probabilities") is True,
    }
    form = RowForm(signature, takes, _columns(hello.get("text"), signature.features), details["probabilities"])
    return HostedModel(child, form, details)


def _columns(value: Any, features: int) -> frozenset[int]:
    found = value if isinstance(value, list) else []
    return frozenset(column for column in found if type(column) is int and 0 <= column < features)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62 else 0


def _words(value: Any, longest: int) -> list[str]:
    return [text[:longest] for text in value if isinstance(text, str)][:16] if isinstance(value, list) else []
