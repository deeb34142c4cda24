"""The mechanics of one capped child: spawn, wire, deadline, kill, reap, verdict. No policy.

Covers: everything between a plan and its outcome, and the questions to a child that stays after it (a hosted model's). Does
not cover: what the plan says (`loaders.plan`), whether to try again (the lifecycle). Rules kept here: spawned, never forked,
from the loop's own thread (the death signal is bound to the spawning thread); reaped by identity through a pidfd, no
SIGCHLD handler; the last frame is read before the exit is judged; only an explicit "ok" frame is believed; the whole process
group is killed whatever happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from loaders.cgroup import CgroupWall
from loaders.errors import FAILURES, ChildCrashed, LoadError, LoadTimeout, MemoryCapExceeded, failure
from loaders.spawning import SPAWNING
from loaders.wire import MAX_FRAME, ParentEnd, WireError, decode

T = TypeVar("T")
CHILD: tuple[str, ...] = ("-I", "-m", "loaders.child")
_KEPT_OUTPUT = 16 << 10
_TOLD_CHARACTERS = 2000
_CGROUP_TRIES = 500
log = logging.getLogger("holdfast.loading")
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")


class CappedChild:
    """One child process. Event loop only; use as `async with`: leaving kills the group, reaps, and closes everything."""

    capped_by = "`memory` of this model"
    """The setting that is its memory cap, in messages."""

    def __init__(
        self,
        fds: Sequence[int],
        cgroup_limit_bytes: int = 0,
        command: Sequence[str] | None = None,
        *,
        role: str = "loading",
        frame_limit: int = MAX_FRAME,
    ) -> None:
        """`role` is what the process does, in messages. `frame_limit`: the longest frame of either direction, bytes."""
        self._role = role
        self._frame_limit = frame_limit
        self._plan: dict[str, Any] = {}
        self._fds = tuple(fds)
        self._cgroup_limit = cgroup_limit_bytes
        self._command = CHILD if command is None else command
        self.output = b""
        self.has_survivors = False
        """Whether a process of the cgroup outlived the whole process group: it left the group on purpose."""
        self.walls: list[str] = []
        self._cgroup: CgroupWall | None = None

    def __repr__(self) -> str:
        return f"<CappedChild pid={self._process.pid} exited={self._exited.done()} walls={self.walls}>"

    async def __aenter__(self) -> CappedChild:
        """Raises ChildCrashed where no process can be started."""
        loop = asyncio.get_running_loop()
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        with contextlib.ExitStack() as undo:
            try:
                ours, theirs = socket.socketpair()
                undo.callback(ours.close)
                with theirs:
                    self._out, out_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
                    undo.callback(os.close, self._out)
                    with os.fdopen(out_w, "wb", buffering=0) as output:
                        os.set_blocking(out_w, True)
                        # Not asyncio's own: its watcher reaps in a thread, and the death signal is bound to the thread that spawns.
                        with SPAWNING:
                            self._process = subprocess.Popen(  # noqa: ASYNC220  vfork: a millisecond, whatever the size of this process
                                [sys.executable, *self._command, str(theirs.fileno())],
                                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment,
                                pass_fds=(theirs.fileno(), *self._fds), start_new_session=True, cwd="/",
                            )  # fmt: skip
                undo.callback(self._process.wait)
                undo.callback(self._kill_group)
                self._pidfd = os.pidfd_open(self._process.pid)
            except OSError as error:
                raise ChildCrashed(f"the {self._role} process could not be started: {error.strerror or error}") from error
            undo.pop_all()
        self._wire = ParentEnd(ours, self._frame_limit)
        self._socket = ours
        self._exited: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._pidfd, self._on_exit)
        loop.add_reader(self._out, self._on_output)
        if self._cgroup_limit:
            self._cgroup = CgroupWall.make(self._cgroup_limit)
            if self._cgroup is not None and self._cgroup.add(self._process.pid):
                self.walls.append("cgroup")
            elif self._cgroup is not None:
                self._cgroup.remove()
                self._cgroup = None
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exited(self) -> asyncio.Future[None]:
        """Done when the process is over and reaped. Not to be cancelled or awaited unshielded."""
        return self._exited

    async def run(self, plan: dict[str, Any], deadline_s: float, on_frame: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Send the plan, give every frame to `on_frame`; the "ok" frame. Raises what `failure_of` gives, LoadTimeout, ChildCrashed."""
        last: dict[str, Any] = {}
        self._plan = plan
        try:
            async with asyncio.timeout(deadline_s):
                # A child that is dead already is heard of below.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    await self._wire.send({"kind": "plan", "parent_pid": os.getpid(), **plan})
                while (text := await self._next_frame()) is not None:
                    last = frame = decode(text)
                    if frame["kind"] in ("ok", "error"):
                        break
                    on_frame(frame)
                else:
                    await asyncio.shield(self._exited)
        except TimeoutError as error:
            raise LoadTimeout(f"the load took longer than {deadline_s:g} s") from error
        except WireError as error:
            raise ChildCrashed(f"the {self._role} process broke its wire: {error}") from error
        if last.get("kind") == "ok":
            return last
        if last.get("kind") == "error":
            raise self.failure_of(last)
        raise self.death()

    async def ask(self, question: bytes) -> bytes | None:
        """The frame that answers a question; None where the child is dead (`death` says of what). One at a time.

        Cancelling leaves the wire in the middle of a frame: the child must be killed then. Raises loaders.wire.WireError.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # heard of below
            await self._wire.send_text(question)
        answer = await self._next_frame()
        if answer is None:
            self.kill()  # what closed its wire and goes on is as good as dead
            await asyncio.shield(self._exited)
        return answer

    def kill(self) -> None:
        """End it now, with all its group."""
        if not self._exited.done():
            self._kill_group()

    async def _next_frame(self) -> bytes | None:
        """The next frame; what a dead child had sent is still read, what others keep open is not waited for."""
        receiving = asyncio.ensure_future(self._wire.receive_text())
        try:
            await asyncio.wait((receiving, self._exited), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                self._socket.shutdown(socket.SHUT_RD)
            return await receiving
        finally:
            if not receiving.done():
                receiving.cancel()
                await asyncio.gather(receiving, return_exceptions=True)

    def failure_of(self, frame: dict[str, Any]) -> Exception:
        """The failure that ends `run` where the child sent an "error" frame: of a role that has more kinds of them, to be overridden."""
        return self.told(frame)

    def told(self, frame: dict[str, Any]) -> LoadError:
        """The failure that an "error" frame tells of."""
        type, message, detail = frame.get("type"), frame.get("message"), frame.get("detail")
        if not (isinstance(type, str) and type in FAILURES and isinstance(message, str) and isinstance(detail, dict)):
            return ChildCrashed(f"the {self._role} process sent an error that is none")
        if type == "memory_cap_exceeded":
            return self._cap_hit(frame.get("peak_bytes"))
        error = failure(type, message[:_TOLD_CHARACTERS])
        error.detail.update(detail)  # not as arguments: a hostile child chooses the names
        return error

    def _cap_hit(self, peak_bytes: Any = None) -> LoadError:
        cap = self._plan["data_hard_bytes"]
        peak = peak_bytes if isinstance(peak_bytes, int) else None
        reached = f", {peak} were in use" if peak else ""
        return MemoryCapExceeded(
            f"{self._role} needs more than the memory cap of {cap} bytes{reached}; raise {self.capped_by}",
            cap_bytes=cap,
            peak_bytes=peak,
        )

    def death(self) -> LoadError:
        """Of what a child died that had no verdict to send."""
        code = self._process.poll()
        said = self.output.decode("utf-8", "replace").strip()
        last_line = said.rpartition("\n")[2][:300]
        if code == -signal.SIGKILL and self._cgroup is not None and self._cgroup.oom_kills():
            return self._cap_hit()
        if code == -signal.SIGXCPU:
            return LoadTimeout("the load used more processor time than its limit")
        if any(words in said for words in ("OpenBLAS error: Memory allocation", "MemoryError", "std::bad_alloc")):
            return self._cap_hit()
        return ChildCrashed(f"{death_message(code, self._role)}{': ' + last_line if last_line else ''}", output=said[-2000:])

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        # Before the leader is reaped: until then no other process can have its group's number.
        self._kill_group()
        self._process.wait()
        if not self._exited.done():
            self._exited.set_result(None)

    def _on_output(self) -> None:
        try:
            data = os.read(self._out, 64 << 10)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._out)
        self.output = (self.output + data)[-_KEPT_OUTPUT:]

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # everybody in it is gone
            os.killpg(self._process.pid, signal.SIGKILL)

    async def __aexit__(self, *exc_info: object) -> None:
        if not self._exited.done():
            self._kill_group()
        await to_the_end(self._close())

    async def _close(self) -> None:
        await self._exited
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._out)
        self._wire.close()
        os.close(self._out)
        os.close(self._pidfd)
        if self._cgroup is not None:
            for _ in range(_CGROUP_TRIES):
                for pid in self._cgroup.members():
                    self.has_survivors |= _session_of(pid) not in (None, self._process.pid)
                    _kill(pid)
                if self._cgroup.remove():
                    return
                await asyncio.sleep(0.01)
            log.warning("a cgroup stays behind: a process in it does not die", extra={"action": "cgroup_left"})


async def to_the_end(step: Awaitable[T]) -> T:
    """Await `step` even while this task is cancelled, however often: what it uses must not be closed under it."""
    running = asyncio.ensure_future(step)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait((running,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        running.exception()  # heard of: the cancellation says more
        raise cancelled
    return running.result()


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it died by itself
        os.kill(pid, signal.SIGKILL)


def death_message(code: int | None, role: str = "loading") -> str:
    """An exit code in words."""
    if code is None:
        return f"the {role} process has not exited"
    if code >= 0:
        return f"the {role} process exited with code {code} and no verdict"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the {role} process was killed by {name}"
