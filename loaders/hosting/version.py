"""A version that lives in a process: it may die, and closing it ends the process. See service.lifecycle.ports.Loaded."""

from __future__ import annotations

from collections.abc import Callable

from loaders.version import Version


class HostedVersion(Version):
    """A hosted model in its child. `scorer` is a `loaders.hosting.scorer.HostedModel`."""

    def on_death(self, tell: Callable[[str, str], None]) -> None:
        self.scorer.on_death(tell)

    async def close(self) -> None:
        """End the child and reap it."""
        await self.scorer.aclose()
        await super().close()
