"""Which versions of a model are kept, and serving another of them: the archive of its training, joined with what serves.

Covers: whose versions a model's are, going back, activating, unpinning, what an operator chose. Does not cover: loading what is
switched to (the machine is told to ask the source again), reading and switching files (`ports.Archive`). Event loop only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from config.schema import ModelSettings

from .errors import NoEarlierVersion, UnknownVersion
from .events import Event, ReloadCommanded
from .fallback import PUBLISHED, trainings_behind
from .lease import Held
from .policy import status_of
from .ports import Archive
from .state import Entry, Status
from .versions import KeptVersion, KeptVersions, kept_versions, version_before


@dataclass(frozen=True, slots=True)
class Current:
    """State and version of one model; replaced as one, so that no reader sees a new state with an old version."""

    entry: Entry
    held: Held | None


class Switching:
    """The versions of all models. look: state and version of a model now; dispatch: gives an event to the machine."""

    def __init__(
        self,
        models: Mapping[str, ModelSettings],
        archive: Archive | None,
        *,
        look: Callable[[str], Current],
        dispatch: Callable[[str, Event], None],
    ) -> None:
        self._models = models
        self._archive = archive
        self._look = look
        self._dispatch = dispatch
        self._chosen: dict[str, str] = {}
        """Training -> the version of it that an operator asked for last."""

    async def versions(self, name: str) -> KeptVersions:
        training = self._training_behind(name)
        published = await self._archive.published(training) if self._archive is not None and training is not None else None
        held = self._look(name).held
        live = held.facts if held is not None else None
        if published is not None:
            return kept_versions(name, live, published)
        return KeptVersions(name) if live is None else KeptVersions(name, live=live.version, versions=(KeptVersion(live),))

    def _training_behind(self, name: str) -> str | None:
        """The training whose versions the model serves, or would; None while it serves from a source of its own. Raises UnknownModel."""
        live = self._look(name).entry.live
        model = self._models[name]
        is_elsewhere = not model.source.startswith(PUBLISHED) and live is not None and live.fallback is None
        return None if is_elsewhere else next(iter(trainings_behind(model)), None)

    async def rollback(self, name: str, to: str | None, by: str) -> None:
        archive, training = self._archive_of(name)
        published = await archive.published(training)
        version = to if to is not None else version_before(published)
        if version is None:
            raise NoEarlierVersion(name)
        if all(record.version != version for record in published.versions):
            raise UnknownVersion(name, version)
        await self._switch(name, training, version, archive.roll_back(training, version, by))

    async def activate(self, name: str, version: str, by: str) -> None:
        archive, training = self._archive_of(name)
        published = await archive.published(training)
        if all(record.version != version for record in published.versions):
            raise UnknownVersion(name, version)
        await self._switch(name, training, version, archive.activate(training, version, by))

    async def unpin(self, name: str, by: str) -> None:
        archive, training = self._archive_of(name)
        await archive.unpin(training, by)

    def _archive_of(self, name: str) -> tuple[Archive, str]:
        training = self._training_behind(name)
        if self._archive is None or training is None:
            raise NoEarlierVersion(name)
        return self._archive, training

    async def _switch(self, name: str, training: str, version: str, switching: Awaitable[None]) -> None:
        """Have the pointer switched and the model loaded from it at once; one that nobody wants loaded is not.

        What was chosen is noted before, because the pointer is watched, by other models of this training too.
        """
        before = self._chosen.get(training)
        self._chosen[training] = version
        try:
            await switching
        except BaseException:
            self._chosen.pop(training, None)
            if before is not None:
                self._chosen[training] = before
            raise
        if status_of(self._look(name).entry) not in (Status.UNLOADED, Status.NOT_STARTED):
            self._dispatch(name, ReloadCommanded())

    def is_chosen(self, name: str, revision: str) -> bool:
        """Whether an operator asked last for just this revision of the training behind the model."""
        return any(f"{PUBLISHED}{self._chosen.get(training)}" == revision for training in trainings_behind(self._models[name]))
