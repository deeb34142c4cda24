"""What request handlers read: which version serves, or why none does. And the commands of operators.

Covers: the interface (`Registry`), so that another process can put a mirror behind it, and its in-process form. Event
loop only. Does not cover: performing anything (`supervisor`), HTTP numbers (`service.status`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from config.schema import ModelSettings

from .changes import Bell, Subscription
from .errors import UnknownModel
from .events import Event, LoadCommanded, ReloadCommanded, Requested, UnloadCommanded
from .lease import Held, Lease
from .policy import is_hopeless, is_settled, status_of
from .state import Entry, Status
from .view import ModelView, NotReady

__all__ = ["Lease", "LocalRegistry", "ModelView", "NotReady", "Registry", "Subscription", "UnknownModel"]


class Registry(Protocol):
    """The models of the server. Every method that takes a name raises UnknownModel for one that is not configured."""

    def acquire(self, name: str, *, demand: bool = True) -> Lease:
        """A lease on the live version. Raises NotReady(view); `demand` then starts the load of a model that loads on demand."""
        ...

    def view(self, name: str) -> ModelView: ...

    def snapshot(self) -> tuple[ModelView, ...]:
        """All models, in the order of the configuration."""
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

    def reload_all(self, force: bool = True) -> None:
        """Reload every model, but those that were never begun or that an operator unloaded."""
        ...

    async def clear(self, name: str | None = None) -> int:
        """Delete what was fetched and nothing live needs, of one model or of all. Bytes freed. Raises loaders.errors.LoadError."""
        ...

    def subscribe(self) -> Subscription:
        """The views of models as they change."""
        ...


@dataclass(frozen=True, slots=True)
class Current:
    """State and version of one model; replaced as one, so that no reader sees a new state with an old version."""

    entry: Entry
    held: Held | None


class LocalRegistry:
    """The registry of the process that supervises. Only the supervisor calls `commit`."""

    def __init__(
        self,
        models: Mapping[str, ModelSettings],
        *,
        dispatch: Callable[[str, Event], None],
        clear: Callable[[str | None], Awaitable[int]],
    ) -> None:
        self._models = models
        self._dispatch = dispatch
        self._clear = clear
        self._current = {name: Current(Entry(name, on_demand=settings.load == "on_demand"), None) for name, settings in models.items()}
        self._bells = {name: Bell() for name in models}
        self._subscriptions: set[Subscription] = set()

    def __repr__(self) -> str:
        words = " ".join(f"{name}={status_of(current.entry)}" for name, current in self._current.items())
        return f"<LocalRegistry {words or 'empty'}>"

    def current(self, name: str) -> Current:
        """State and version. Raises UnknownModel."""
        current = self._current.get(name)
        if current is None:
            raise UnknownModel(name)
        return current

    def commit(self, name: str, entry: Entry, held: Held | None) -> None:
        """Publish. One assignment, no await: a request gets the old version or the new one, never a mixture, never none."""
        before = self._current[name].entry
        self._current[name] = Current(entry, held)
        if entry.transitions != before.transitions or entry.attempt is None:
            self._bells[name].ring()  # not for progress: thousands may be waiting
        for subscription in self._subscriptions:
            subscription.put(name)

    def acquire(self, name: str, *, demand: bool = True) -> Lease:
        current = self.current(name)
        if current.held is not None:
            return current.held.lease()
        if demand and current.entry.on_demand and status_of(current.entry) is Status.NOT_STARTED:
            self._dispatch(name, Requested())
        raise NotReady(self.view(name))

    def view(self, name: str) -> ModelView:
        current = self.current(name)
        return ModelView(self._models[name], current.entry, current.held.facts if current.held is not None else None)

    def snapshot(self) -> tuple[ModelView, ...]:
        return tuple(self.view(name) for name in self._models)

    async def wait_ready(self, name: str, timeout_s: float) -> bool:
        await self._wait(name, timeout_s, lambda entry: entry.live is not None or is_hopeless(entry))
        return self.current(name).held is not None

    async def wait_settled(self, name: str, timeout_s: float) -> ModelView:
        await self._wait(name, timeout_s, is_settled)
        return self.view(name)

    async def _wait(self, name: str, timeout_s: float, is_over: Callable[[Entry], bool]) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                while not is_over(self.current(name).entry):
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
