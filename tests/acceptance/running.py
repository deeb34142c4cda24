"""The installed program, run the way an operator runs it: `holdfast WORD` as a process, a TOML file, plain HTTP.

Covers: starting and stopping it, asking it, waiting for what it says, its log. Does not cover: the world it fetches from
(`tests.doubles`, which `Beside` runs next to synchronous tests), model files (`tests.artifacts`).

    with serving(tmp_path, {"models": {"als": {"source": str(path)}}}) as server:
        server.wait_ready("als")
        assert server.predict("als", {"user_id": 1}).status == 200
"""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import psutil

from tests.support import python_environment, wait_until_sync

STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 60.0
LOADS_WITHIN_S = 60.0
ANSWERS_WITHIN_S = 90.0
TOKEN = "acceptance-token"
ADMIN = {"X-ADMIN-TOKEN": TOKEN}
"""Headers of an admin call to a server that was started with this token, as `serving` does unless told otherwise."""

Config = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """One HTTP answer; `body` is the parsed JSON."""

    status: int
    body: Any
    headers: Message

    @property
    def retry_after_s(self) -> int | None:
        """The Retry-After header, or None."""
        found = self.headers["Retry-After"]
        return None if found is None else int(found)


class Server:
    """A running `holdfast serve`. Safe to ask from several threads."""

    running: ClassVar[list[Server]] = []
    """Those of this moment: a failing test shows their logs (`tests.acceptance.conftest`)."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, store: Path, log: Path) -> None:
        self.process, self.folder, self.store, self._log = process, folder, store, log
        self._url = ""

    def __repr__(self) -> str:
        return f"<Server pid={self.process.pid} {self._url or 'not listening yet'} exit={self.process.poll()}>"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def url(self) -> str:
        """As server.json says, once it is there. Raises AssertionError if the program ended before."""
        if not self._url:
            self._url = str(wait_until_sync(self._announced, STARTS_WITHIN_S, what="server.json")["url"])
        return self._url

    @property
    def log(self) -> str:
        """Everything that it has logged so far."""
        return self._log.read_text(errors="replace")

    def _announced(self) -> dict[str, Any] | None:
        assert self.process.poll() is None, f"ended with {self.process.returncode}: {self.log}"
        try:
            announced: dict[str, Any] = json.loads((self.store / "server.json").read_text())
        except FileNotFoundError:
            return None
        # One that a killed server left behind is not ours.
        return announced if announced["pid"] == self.pid else None

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Reply:
        """One request on a connection of its own. Raises OSError, http.client.HTTPException."""
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=ANSWERS_WITHIN_S)
        try:
            sent = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), {**sent, **(headers or {})})
            response = connection.getresponse()
            content = response.read()
            return Reply(response.status, json.loads(content) if content else None, response.headers)
        finally:
            connection.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask("GET", path, headers=headers)

    def predict(self, model: str, body: object, headers: Mapping[str, str] | None = None) -> Reply:
        return self.ask("POST", f"/models/{model}/predict", body, headers)

    def command(self, method: str, path: str) -> Reply:
        """One admin call."""
        return self.ask(method, path, headers=ADMIN)

    def model(self, name: str) -> dict[str, Any]:
        """The status object of one model."""
        reply = self.get(f"/models/{name}")
        assert reply.status == 200, reply
        status: dict[str, Any] = reply.body
        return status

    def wait_model(
        self, name: str, condition: Callable[[dict[str, Any]], Any], what: str, deadline_s: float = LOADS_WITHIN_S
    ) -> dict[str, Any]:
        """The status object of a model, once `condition` holds for it. Raises ConditionNotMet, which shows the last one."""
        last: dict[str, Any] = {}

        def holds() -> bool:
            last.update(self.model(name))
            return bool(condition(last))

        try:
            wait_until_sync(holds, deadline_s, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}; {name} is {json.dumps(last, indent=1)}") from error
        return last

    def wait_ready(self, *names: str, deadline_s: float = LOADS_WITHIN_S) -> None:
        """Until every one of these models is ready; fails at once when one cannot become it."""
        for name in names:
            found = self.wait_model(name, lambda model: model["status"] in ("ready", "error"), f"{name} is settled", deadline_s)
            assert found["status"] == "ready", found["failure"]

    def children(self) -> list[psutil.Process]:
        """Processes that it has started and that still run."""
        found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; the exit code. Raises subprocess.TimeoutExpired when it does not end."""
        self.process.send_signal(number)
        return self.process.wait(ENDS_WITHIN_S)


@contextmanager
def serving(
    folder: Path,
    config: Config,
    *words: str,
    environ: Mapping[str, str] | None = None,
    python: Path | str = sys.executable,
    token: str | None = TOKEN,
    expects_clean_end: bool = True,
    word: str = "serve",
) -> Iterator[Server]:
    """`holdfast serve` in `folder` with `config` as its holdfast.toml (none if empty), on a free port, its store in `folder`/var.

    `python` is the interpreter of the environment that the program is installed in; `words` go to the command line, after `word`.
    Does not wait for models. At the end it is stopped by SIGTERM, unless it has ended already; then it must have exited
    with 0 and logged no traceback (`expects_clean_end=False` for tests that kill it).
    """
    folder.mkdir(parents=True, exist_ok=True)
    if config:
        (folder / "holdfast.toml").write_text(toml(config))
    store = folder / str(config.get("store", {}).get("path", "var"))
    token_variables = {} if token is None else {"ADMIN_LOAD_TOKEN": token}
    log = folder / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*program(python), word, "--port", "0", *words],
            cwd=folder,
            env=environment({**token_variables, **(environ or {})}),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, folder, store, log)
    Server.running.append(server)
    try:
        yield server
        if process.poll() is None:
            server.stop()
        if expects_clean_end:
            assert process.returncode == 0, f"exit code {process.returncode}: {server.log}"
            assert "Traceback" not in server.log, server.log
    except BaseException:
        print(f"----- log of {server!r}\n{server.log}", file=sys.stderr)
        raise
    finally:
        Server.running.remove(server)
        if process.poll() is None:
            process.kill()
        process.wait()


def run(
    folder: Path,
    *words: str,
    config: Config | None = None,
    environ: Mapping[str, str] | None = None,
    python: Path | str = sys.executable,
    deadline_s: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """`holdfast WORDS` in `folder` to its end; the caller judges `returncode`. Raises subprocess.TimeoutExpired."""
    if config is not None:
        (folder / "holdfast.toml").write_text(toml(config))
    return subprocess.run(
        [*program(python), *words],
        cwd=folder,
        env=environment(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )


def program(python: Path | str = sys.executable) -> list[str]:
    """The console script beside this interpreter. Raises AssertionError where the project is not installed."""
    script = Path(python).parent / "holdfast"
    assert script.exists(), f"{script} does not exist: the project is not installed there"
    return [str(script)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of the program: warnings are errors there too, and it finds no package but its installation's own."""
    kept = {name: value for name, value in python_environment().items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONWARNINGS": "error", **(extra or {})}


def toml(config: Config) -> str:
    """A mapping of sections as TOML, which may have sections themselves, as `models` and `training` do. Values: str, bool, numbers."""
    return "\n".join(line for name, keys in config.items() for line in _section(name, keys)) + "\n"


def _section(name: str, keys: Config) -> Iterator[str]:
    values = {key: value for key, value in keys.items() if not isinstance(value, Mapping)}
    if values or not keys:
        yield f"[{name}]"
        yield from (f"{key} = {json.dumps(value)}" for key, value in values.items())
    for key, inner in keys.items():
        if isinstance(inner, Mapping):
            yield from _section(f"{name}.{key}", inner)


def rss_anon_bytes(pid: int) -> int:
    """Private memory of a process that is no file's: RssAnon."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) * 1024


class Beside:
    """An event loop in a thread of its own, for what synchronous tests and module-wide fixtures need running next to them.

    Attributes of a double may be read, and its entries replaced (`double.change`), from any thread; coroutines go through `run`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="beside", daemon=True)
        self._stack = AsyncExitStack()

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.run(self._stack.aclose())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(ENDS_WITHIN_S)
            self._loop.close()

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context; it is left when this one is."""
        return self.run(self._stack.enter_async_context(context))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns, or raises. Raises TimeoutError after 60 s."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(STARTS_WITHIN_S)


def reaped_children(pid: int) -> bool:
    """Whether a process has ever waited for the end of a child: the page faults of those are counted with it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[8]) > 0
