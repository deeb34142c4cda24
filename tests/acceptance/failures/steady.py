"""A healthy model in the same server, asked again and again while others fail.

Does not cover: speed. One answer that is not 200, or not the right one, is enough to fail.
"""

from __future__ import annotations

import pickle
import threading
from pathlib import Path
from typing import Any

from tests.acceptance.running import Server
from tests.artifacts.hostile.entry import honest, matrix

HEALTHY = "healthy"
QUESTION = {"user_id": 1, "k": 5}
_PAUSE_S = 0.02


def honest_bytes(scale: float = 1.0) -> bytes:
    """A whole model; another `scale` is another revision, whose scores are `scale` times as large."""
    return pickle.dumps(honest(user_factors=matrix(80) * matrix(80).dtype.type(scale)), 4)


def healthy_model(folder: Path) -> dict[str, Any]:
    """The keys of the healthy model's section; writes its file."""
    path = folder / "healthy.pkl"
    path.write_bytes(honest_bytes())
    return {"source": str(path)}


class Steady:
    """Asks the healthy model from a thread of its own between `with` and its end, which raises AssertionError for any bad answer."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steady", daemon=True)
        self.answers = 0
        self.wrong: list[str] = []

    def __enter__(self) -> Steady:
        self._server.wait_ready(HEALTHY)
        self._first = self._server.predict(HEALTHY, QUESTION)
        assert self._first.status == 200, self._first
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            self.check()

    def check(self) -> None:
        """Raises AssertionError for any bad answer so far, or if nothing was asked."""
        assert not self.wrong, f"{len(self.wrong)} of {self.answers} answers: {self.wrong[:3]}"
        assert self.answers > 0

    def _run(self) -> None:
        while not self._stop.wait(_PAUSE_S):
            try:
                reply = self._server.predict(HEALTHY, QUESTION)
            except OSError as error:
                self.wrong.append(repr(error))
            else:
                if (reply.status, reply.body) != (200, self._first.body):
                    self.wrong.append(repr(reply))
            self.answers += 1
