"""The versions that a training has published, without a server: read and switched in the store.

Covers: finding the training that a name means, going back, activating, unpinning under the training's lock; a server that starts
later, or runs unseen, takes what is current. Does not cover: what is printed (`service.commands.versions`).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from service.commands.configuration import expected_errors
from service.commands.progress import printable
from service.commands.server import EXIT_FAILED

if TYPE_CHECKING:
    from config.schema import Settings
    from service.client import Versions
    from training.running.runner import Runner

Switch = Callable[["Runner", str], Coroutine[Any, Any, object]]
"""What is done to the versions of a training, by its name."""


def training_in(settings: Settings, name: str) -> str | None:
    """The training whose versions a model of this name takes, or that has the name; None where there is none."""
    from training.running.arrangement import training_behind

    return training_behind(settings, name)


def versions_in(settings: Settings, name: str, training: str, switch: Switch | None = None) -> Versions | int:
    """The versions as a server would tell them that has none loaded, after `switch`; or the exit code, with the reason on stderr."""
    import msgspec

    from loaders.published import PublishedFolder
    from service.app import build_runner
    from service.client import Versions
    from service.lifecycle.versions import kept_versions
    from service.workshop import read_published
    from training.running.lock import SwitchBusy
    from training.versions.publish import NoEarlierVersion, UnknownVersion

    expected: tuple[type[Exception], ...] = (NoEarlierVersion, UnknownVersion, SwitchBusy, *expected_errors())
    try:
        if switch is not None:
            asyncio.run(_awaited(switch(build_runner(settings), training)))
        published = read_published(PublishedFolder(settings.store.path, training))
    except expected as error:
        print(printable(f"holdfast: {error}"), file=sys.stderr)
        return EXIT_FAILED
    return msgspec.convert(kept_versions(name, None, published).to_json(), Versions)


async def _awaited(work: Coroutine[Any, Any, object]) -> None:
    await work
