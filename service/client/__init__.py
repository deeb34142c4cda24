"""The Python client of a Holdfast server: `from service.client import Holdfast`.

Covers: asking models, waiting for them, posting interactions, looking, commands, events; synchronous (`Holdfast`) and asynchronous
(`AsyncHoldfast`, or `async with Holdfast(...)`). One set of rules without I/O (`waiting`, `calls`, `events`) is carried out
by two thin transports (`blocking`, `asynchronous`). Needs the base install only. Does not cover: the command line
(`service.commands`), which is built on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from service.client.blocking import Holdfast
from service.client.errors import (
    AlreadyTraining,
    AnswerTooSlow,
    HoldfastError,
    InvalidAnswer,
    InvalidQuestion,
    ModelFailed,
    ModelLoading,
    ModelUnknown,
    NoEarlierVersion,
    NotTrainedHere,
    Overloaded,
    RequestRefused,
    ServerFailed,
    ServerUnavailable,
    TrainingFailed,
    Unauthorized,
    UnknownEntity,
)
from service.client.events import Event, Snapshot, Transition
from service.client.results import (
    BatchRecommendations,
    Cleared,
    Failure,
    Health,
    Item,
    KeptVersion,
    ModelStatus,
    Posted,
    Predictions,
    Progress,
    Reason,
    Recommendations,
    ServerStatus,
    StoryLine,
    TrainingRun,
    UserResult,
    Versions,
)

if TYPE_CHECKING:
    from service.client.asynchronous import AsyncHoldfast

__all__ = [
    "AlreadyTraining",
    "AnswerTooSlow",
    "AsyncHoldfast",
    "BatchRecommendations",
    "Cleared",
    "Event",
    "Failure",
    "Health",
    "Holdfast",
    "HoldfastError",
    "InvalidAnswer",
    "InvalidQuestion",
    "Item",
    "KeptVersion",
    "ModelFailed",
    "ModelLoading",
    "ModelStatus",
    "ModelUnknown",
    "NoEarlierVersion",
    "NotTrainedHere",
    "Overloaded",
    "Posted",
    "Predictions",
    "Progress",
    "Reason",
    "Recommendations",
    "RequestRefused",
    "ServerFailed",
    "ServerStatus",
    "ServerUnavailable",
    "Snapshot",
    "StoryLine",
    "TrainingFailed",
    "TrainingRun",
    "Transition",
    "Unauthorized",
    "UnknownEntity",
    "UserResult",
    "Versions",
]


def __getattr__(name: str) -> Any:
    # aiohttp takes a quarter of a second to import, which the words of the command line should not pay for.
    if name == "AsyncHoldfast":
        from service.client.asynchronous import AsyncHoldfast

        return AsyncHoldfast
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
