"""What holds for every test: a clean environment, no network but loopback, nothing left behind.

Does not cover: what a test needs (`tests.support`, and the conftest of its own folder).
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import chromium
from tests.doubles.postgres import postgres, postgres_server
from tests.leaks import KINDS, Census, Reaper, leaks_since
from tests.support import ROOT

__all__ = ["postgres", "postgres_server"]  # fixtures, for every test

PROJECT_NAMES = re.compile(
    r"HOLDFAST_.*|MODEL_.*_URL|ALS_MODEL_PATH|ADMIN_LOAD_TOKEN(_FILE)?|CREDENTIALS_DIRECTORY|NOTIFY_SOCKET|WATCHDOG_(USEC|PID)"
    r"|AWS_.*|(HTTP|HTTPS|ALL|NO)_PROXY|(REQUESTS|CURL)_CA_BUNDLE|SSL_CERT_(FILE|DIR)",
    re.IGNORECASE,
)
BASE_PYTHON = Path(os.environ.get("HOLDFAST_BASE_PYTHON") or ROOT / ".venv-base" / "bin" / "python")

# Before numpy is imported anywhere: implicit warns of a BLAS with threads of its own, and warnings are errors.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before scikit-learn is: its threads otherwise spin while they wait for each other, which takes longer than what they compute.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_reaper = Reaper()


def pytest_configure(config: pytest.Config) -> None:
    chromium.keep_settings()
    # Here, not in a fixture: fixtures of wider scope than a test start before any of a test's own.
    for name in project_names():
        del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background: what is started here would ignore it too
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.addaudithook(_only_loopback)
    _reaper.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    _reaper.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [report for report in terminalreporter.getreports("skipped") if report.nodeid.startswith(chromium.TESTS)]
    if skipped and chromium.found() is None:
        terminalreporter.section("THE DASHBOARD WAS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} tests left out: {chromium.missing()}")


def project_names() -> list[str]:
    """Environment variables that would change what the program does."""
    return [name for name in os.environ if PROJECT_NAMES.fullmatch(name)]


def _only_loopback(event: str, args: tuple[object, ...]) -> None:
    """The network ends at loopback: elsewhere is unreachable, other names do not resolve."""
    if event == "socket.connect":
        address = args[1]
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise OSError(101, f"tests reach only loopback, not {address}")
    elif event == "socket.getaddrinfo" and args[0] is not None:
        host = args[0].decode() if isinstance(args[0], bytes) else str(args[0])
        if host and not _is_loopback(host):
            raise socket.gaierror(socket.EAI_NONAME, f"tests resolve only loopback, not {host}")


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1", "::", "0.0.0.0") or host.startswith("127.")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test put into os.environ is gone."""
    for name in project_names():
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fails a test that leaves a process, thread, descriptor or segment behind; `@pytest.mark.leaves(kind)` allows a kind.

    What fixtures of a wider scope hold is there before the census, so it does not count.
    """
    allowed = {str(kind) for mark in request.node.iter_markers("leaves") for kind in mark.args}
    if unknown := allowed - set(KINDS):
        raise pytest.UsageError(f"leaves() knows {KINDS}, not {unknown}")
    scratch = tmp_path_factory.getbasetemp()
    before = Census.take(scratch)
    yield
    if leaked := leaks_since(before, scratch, allowed=allowed):
        pytest.fail("left behind:\n  " + "\n  ".join(leaked), pytrace=False)


@pytest.fixture(scope="session")
def base_python() -> Path:
    """A Python with the base install only: no scikit-learn, implicit, scipy, pandas, joblib (`make test` prepares it)."""
    if not BASE_PYTHON.exists():
        pytest.fail(f"{BASE_PYTHON} does not exist: `make test` prepares it, or name another by HOLDFAST_BASE_PYTHON", pytrace=False)
    return BASE_PYTHON
