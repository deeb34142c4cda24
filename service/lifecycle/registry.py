"""What request handlers read: which version serves, or why none does. And the commands of operators.

Covers: the interface (`Registry`), so that another process can put a mirror behind it, and its in-process form. Event
loop only. A model that is made of others is seen as `parts.effective_entry` says, and a lease on it holds its parts. Does
not cover: performing anything (`supervisor`), HTTP numbers (`service.status`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from config.schema import ModelSettings

from .changes import Bell, Subscription
from .errors import UnknownModel
from .events import Event, LoadCommanded, ReloadCommanded, Requested, SourceTouched, UnloadCommanded
from .lease import Held, Lease
from .parts import Part, effective_entry
from .policy import is_hopeless, is_settled, status_of
from .ports import Archive
from .state import Entry, Status
from .switching import Current, Switching
from .versions import KeptVersions
from .view import ModelView, NotReady

__all__ = ["Lease", "LocalRegistry", "ModelView", "NotReady", "Registry", "Subscription", "UnknownModel"]


class Registry(Protocol):
    """The models of the server. Every method that takes a name raises UnknownModel for one that is not configured."""

    def acquire(self, name: str, *, demand: bool = True) -> Lease:
        """A lease on the live version, and on those of its parts. Raises NotReady(view); `demand` then starts what loads on demand."""
        ...

    def view(self, name: str) -> ModelView: ...

    def snapshot(self) -> tuple[ModelView, ...]:
        """All models, in the order of the configuration."""
        ...

    async def versions(self, name: str) -> KeptVersions:
        """The versions that are kept, and which of them serves. Raises ArchiveUnavailable."""
        ...

    async def wait_ready(self, name: str, timeout_s: float) -> bool:
        """Whether it is ready, at the latest after timeout_s seconds; at once when it is hopeless (permanent failure, unloaded)."""
        ...

    async def wait_settled(self, name: str, timeout_s: float) -> ModelView:
        """The view when no attempt runs or is queued any more, or after timeout_s seconds."""
        ...

    def load(self, name: str) -> None:
        """Bring it to ready, if it is not; joins a running attempt."""
        ...

    def unload(self, name: str) -> None:
        """Serve it no more, until load or reload."""
        ...

    def reload(self, name: str, force: bool = False) -> None:
        """Ask the source again; unchanged makes no new version unless `force`."""
        ...

    def source_changed(self, name: str) -> None:
        """Ask the source again, as its watch would: what serves, failed, or is on its way; nothing that nobody wants loaded."""
        ...

    async def rollback(self, name: str, to: str | None = None, *, by: str = "") -> None:
        """Serve the version `to`, else the one before what is current, and pin it: training goes on, but switches to nothing.

        by: who says so, in words. Raises UnknownVersion, NoEarlierVersion (also where no training stands behind the model),
        ArchiveUnavailable; then nothing has changed.
        """
        ...

    async def activate(self, name: str, version: str, *, by: str = "") -> None:
        """Serve this version, and pin none. Raises as `rollback`."""
        ...

    async def unpin(self, name: str, *, by: str = "") -> None:
        """Pin no version; what serves goes on. Raises NoEarlierVersion where no training stands behind the model, ArchiveUnavailable."""
        ...

    def reload_all(self, force: bool = True) -> None:
        """Reload every model, but those that were never begun or that an operator unloaded."""
        ...

    async def clear(self, name: str | None = None) -> int:
        """Delete what was fetched and nothing live needs, of one model or of all. Bytes freed. Raises loaders.errors.LoadError."""
        ...

    def subscribe(self) -> Subscription:
        """The views of models as they change."""
        ...


class LocalRegistry:
    """The registry of the process that supervises. Only the supervisor calls `commit`."""

    def __init__(
        self,
        models: Mapping[str, ModelSettings],
        *,
        dispatch: Callable[[str, Event], None],
        clear: Callable[[str | None], Awaitable[int]],
        archive: Archive | None = None,
    ) -> None:
        self._models = models
        self._dispatch = dispatch
        self._clear = clear
        self._switching = Switching(models, archive, look=self.current, dispatch=dispatch)
        self._current = {name: Current(Entry(name, on_demand=settings.load == "on_demand"), None) for name, settings in models.items()}
        self._bells = {name: Bell() for name in models}
        self._subscriptions: set[Subscription] = set()

    def __repr__(self) -> str:
        words = " ".join(f"{name}={status_of(self._effective(name))}" for name in self._current)
        return f"<LocalRegistry {words or 'empty'}>"

    def current(self, name: str) -> Current:
        """State and version. Raises UnknownModel."""
        current = self._current.get(name)
        if current is None:
            raise UnknownModel(name)
        return current

    def commit(self, name: str, entry: Entry, held: Held | None) -> None:
        """Publish. One assignment, no await: a request gets the old version or the new one, never a mixture, never none."""
        before = self._current[name]
        self._current[name] = Current(entry, held)
        changed = (name, *self._made_of(name))
        if entry.transitions != before.entry.transitions or entry.attempt is None:
            for each in changed:
                self._bells[each].ring()  # not for progress: thousands may be waiting
        for subscription in self._subscriptions:
            for each in changed:
                subscription.put(each)
        if held is not None and held is not before.held:
            self._demand(held.loaded.parts.values())  # else it would wait for them until somebody asks it something

    def acquire(self, name: str, *, demand: bool = True) -> Lease:
        held = self.current(name).held
        if held is not None and self._effective(name).live is not None:
            parts = {role: self._current[part].held for role, part in held.loaded.parts.items()}
            return held.lease({role: part.lease() for role, part in parts.items() if part is not None})
        if demand:
            self._demand((name,))
        raise NotReady(self.view(name))

    def view(self, name: str) -> ModelView:
        held = self.current(name).held
        return ModelView(self._models[name], self._effective(name), held.facts if held is not None else None)

    def _demand(self, names: Iterable[str]) -> None:
        """Start the load of those that load on demand and were not asked for so far."""
        for name in names:
            current = self._current.get(name)
            if current is not None and current.entry.on_demand and status_of(current.entry) is Status.NOT_STARTED:
                self._dispatch(name, Requested())

    def _effective(self, name: str) -> Entry:
        """The entry as clients see it. Raises UnknownModel."""
        current = self.current(name)
        if current.held is None or not current.held.loaded.parts:
            return current.entry
        return effective_entry(current.entry, [self._part(role, part) for role, part in current.held.loaded.parts.items()])

    def _part(self, role: str, name: str) -> Part:
        current = self._current.get(name)
        if current is None:
            return Part(role, name, None)
        return Part(role, name, current.entry, _unfit(current.held) if current.held is not None else None)

    def _made_of(self, part: str) -> list[str]:
        """The models that have it as a part."""
        return [name for name, current in self._current.items() if current.held is not None and part in current.held.loaded.parts.values()]

    def snapshot(self) -> tuple[ModelView, ...]:
        return tuple(self.view(name) for name in self._models)

    async def versions(self, name: str) -> KeptVersions:
        self.current(name)
        return await self._switching.versions(name)

    async def wait_ready(self, name: str, timeout_s: float) -> bool:
        await self._wait(name, timeout_s, lambda: self._effective(name).live is not None or is_hopeless(self._effective(name)))
        return self._effective(name).live is not None

    async def wait_settled(self, name: str, timeout_s: float) -> ModelView:
        await self._wait(name, timeout_s, lambda: is_settled(self.current(name).entry) and is_settled(self._effective(name)))
        return self.view(name)

    async def _wait(self, name: str, timeout_s: float, is_over: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not is_over():
                    await self._bells[name].wait()
        except TimeoutError:
            return  # the caller looks at the model as it is now

    def load(self, name: str) -> None:
        self.current(name)
        self._dispatch(name, LoadCommanded())

    def unload(self, name: str) -> None:
        self.current(name)
        self._dispatch(name, UnloadCommanded())

    def reload(self, name: str, force: bool = False) -> None:
        self.current(name)
        self._dispatch(name, ReloadCommanded(force))

    def source_changed(self, name: str) -> None:
        self.current(name)
        self._dispatch(name, SourceTouched())

    async def rollback(self, name: str, to: str | None = None, *, by: str = "") -> None:
        self.current(name)
        await self._switching.rollback(name, to, by)

    async def activate(self, name: str, version: str, *, by: str = "") -> None:
        self.current(name)
        await self._switching.activate(name, version, by)

    async def unpin(self, name: str, *, by: str = "") -> None:
        self.current(name)
        await self._switching.unpin(name, by)

    def is_chosen(self, name: str, revision: str) -> bool:
        """Whether an operator asked for just this revision last."""
        return self._switching.is_chosen(name, revision)

    def reload_all(self, force: bool = True) -> None:
        for name, current in tuple(self._current.items()):
            if status_of(current.entry) not in (Status.UNLOADED, Status.NOT_STARTED):
                self._dispatch(name, ReloadCommanded(force))

    async def clear(self, name: str | None = None) -> int:
        if name is not None:
            self.current(name)
        return await self._clear(name)

    def subscribe(self) -> Subscription:
        subscription = Subscription(self.view, self._subscriptions.discard)
        self._subscriptions.add(subscription)
        return subscription

    async def aclose(self) -> None:
        """End all subscriptions."""
        for subscription in tuple(self._subscriptions):
            await subscription.aclose()


def _unfit(held: Held) -> str | None:
    """Why this version cannot be a part, in words."""
    if held.loaded.parts:
        return f"is a {held.loaded.family} model: a part cannot have parts itself"
    if held.loaded.scorer.kind != "recommender":
        return f"is a {held.loaded.family} model, which recommends nothing"
    return None
