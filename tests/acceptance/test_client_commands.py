"""`holdfast predict`, `watch`, `load`, `unload`, `reload`, `rollback`, `clear`, `versions`: a running server from the command line.

Does not cover: `status` (`test_commands`), what the client does about answers (`tests/unit/service/client`).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from service.presence import Presence, announce
from tests.acceptance.running import TOKEN, Beside, Server, environment, program, run, serving
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.support import free_port, wait_until_sync

WITH_TOKEN = {"ADMIN_LOAD_TOKEN": TOKEN}
NO_SERVER = 3


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("artifacts")
    rows = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]])
    estimator = LogisticRegression().fit(rows, ["no", "no", "yes", "yes"])
    als = als_dict("int", users=4000, items=200)
    return {"als": write(als, folder / "als", "pickle4"), "churn": write(estimator, folder / "churn", "joblib_zlib")}


@pytest.fixture(scope="module")
def server(artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """als is the default; each test leaves both loaded."""
    models = {name: {"source": str(path)} for name, path in artifacts.items()}
    with serving(tmp_path_factory.mktemp("commands"), {"server": {"default_model": "als"}, "models": models}) as server:
        server.wait_ready(*models)
        yield server


def said(server: Server, *words: str, code: int = 0, environ: dict[str, str] | None = None) -> str:
    """What a command prints that ends with `code`: on stdout, or on stderr where it fails."""
    done = run(server.folder, *words, environ=environ)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


def test_predict_shows_a_table_or_json(server: Server) -> None:
    answer = server.predict("als", {"user_id": 1, "k": 3}).body
    assert json.loads(said(server, "predict", "als", "--user", "1", "-k", "3", "--json")) == answer
    title, names, *rows = said(server, "predict", "--user", "1", "-k", "3").splitlines()
    assert title == f"als {answer['version']} for user 1"
    assert names.split() == ["item_id", "score"]
    assert [row.split() for row in rows] == [[str(item["item_id"]), f"{item['score']:.6g}"] for item in answer["items"]]
    assert "because" in said(server, "predict", "--user", "1", "--explain")
    batch = said(server, "predict", "als", "--users", "1", "999999", "-k", "1").splitlines()
    assert (len(batch), batch[-1]) == (4, f"als {answer['version']} for user 999999: user 999999 is not in the model")
    seen, item = answer["items"][0]["item_id"], answer["items"][1]["item_id"]
    liked = json.loads(said(server, "predict", "als", "--liked", str(seen), "--exclude", str(item), "-k", "2", "--json"))
    assert liked == server.predict("als", {"liked": [seen], "exclude": [item], "k": 2}).body
    similar = said(server, "predict", "als", "--similar", str(seen), "-k", "2", "--json")
    assert json.loads(similar) == server.get(f"/models/als/similar/{seen}?k=2").body


def test_predict_reads_rows(server: Server, tmp_path: Path) -> None:
    rows = [[0.5, 1.0], [2.5, None]]
    expected = server.predict("churn", {"instances": rows[:1]}).body
    for text in (json.dumps(rows[:1]), json.dumps(rows[0]), json.dumps({"instances": rows[:1]})):
        (tmp_path / "rows").write_text(text)
        assert json.loads(said(server, "predict", "churn", "--instances", str(tmp_path / "rows"), "--json")) == expected
    piped = subprocess.run(
        [*program(), "predict", "churn", "--instances", "-"],
        cwd=server.folder,
        env=environment(),
        input="[0.5, 1.0]\n\n[2.5, 2.0]\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    title, names, first, second = piped.stdout.splitlines()
    assert title == f"churn {expected['version']}"
    assert names.split() == ["row", "prediction", "p(no)", "p(yes)"]
    assert (first.split()[:2], second.split()[:2]) == (["0", "no"], ["1", "yes"])
    (tmp_path / "rows").write_text(json.dumps(rows))
    assert said(server, "predict", "churn", "--instances", str(tmp_path / "rows"), code=1).startswith("holdfast: instances[1][1]: ")
    (tmp_path / "rows").write_text("[1,")
    assert "--instances" in said(server, "predict", "churn", "--instances", str(tmp_path / "rows"), code=2)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("als", "--user", "999999"), "holdfast: user_id: user 999999 is not in the model\n"),
        (("als", "--user", '"1"'), "holdfast: user_id: user '1' is not in the model, but 1 is"),
        (("nobody", "--user", "1"), "holdfast: No model is named 'nobody'.\n"),
        (("als", "--user", "1", "-k", "0"), "holdfast: k: Expected `int` >= 1\n"),
        (("als", "--user", "1", "--liked", "2"), "holdfast: liked: "),
        (("churn", "--user", "1"), "holdfast: user_id: "),
        (("als", "--similar", ".."), "holdfast: '..' cannot be part of an address\n"),
        (("als", "--user", os.fsdecode(b"\xff")), "holdfast: the question cannot be sent as JSON: "),
    ],
    ids=["unknown user", "text is no number", "unknown model", "k", "both", "of another kind", "no address", "no utf-8"],
)
def test_predict_says_what_is_wrong(server: Server, words: tuple[str, ...], told: str) -> None:
    assert said(server, "predict", *words, code=1).startswith(told)


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "als"),
        ("predict", "--similar", "1"),
        ("predict", "als", "--user", "1", "--users", "2"),
        ("reload",),
        ("reload", "als", "--all"),
        ("reload", "als", "--wait", "-1"),
        ("reload", "als", "--wait", "1", "--no-wait"),
        ("rollback", "--all"),
        ("load", "als", "--token-file", "/nowhere"),
        ("versions", "als", "--url", "ftp://h"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(server: Server, words: tuple[str, ...]) -> None:
    assert said(server, *words, code=2)


def test_commands_say_what_came_of_them(server: Server, tmp_path: Path) -> None:
    version = server.model("als")["version"]
    assert said(server, "reload", "als", environ=WITH_TOKEN).startswith(f"als: ready {version}, factors")
    forced = json.loads(said(server, "reload", "als", "--force", "--json", environ=WITH_TOKEN))
    assert forced["version"] not in (None, version)
    assert said(server, "unload", "als", environ=WITH_TOKEN).split()[0] == "als:"
    assert said(server, "predict", "als", "--user", "1", code=1) == "holdfast: als is unloaded\n"
    assert said(server, "watch", "--until-ready", code=1) == "holdfast: will not be ready: als\n"
    # Everything is reloaded but what an operator has unloaded.
    assert [line.split()[0] for line in said(server, "reload", "--all", environ=WITH_TOKEN).splitlines()] == ["churn:"]
    assert server.model("als")["status"] == "unloaded"
    (tmp_path / "token").write_text(TOKEN + "\n")
    loaded = json.loads(said(server, "load", "--all", "--json", "--token-file", str(tmp_path / "token")))
    assert [(model["name"], model["status"]) for model in loaded["models"]] == [("als", "ready"), ("churn", "ready")]
    assert "phase" in json.loads(said(server, "reload", "als", "--no-wait", "--json", environ=WITH_TOKEN))
    server.wait_model("als", lambda model: model["phase"] is None, "the reload is over")
    assert re.fullmatch(r"[\d.]+ \w+ freed\n", said(server, "clear", "--all", environ=WITH_TOKEN))
    assert "freed_bytes" in json.loads(said(server, "clear", "churn", "--json", environ=WITH_TOKEN))
    title, names, row = said(server, "versions", "als").splitlines()
    assert (title, names.split()[0], row.split()[:2]) == ("als", "version", [server.model("als")["version"], "live"])
    assert json.loads(said(server, "versions", "als", "--json")) == server.get("/models/als/versions").body


def test_commands_that_fail(server: Server) -> None:
    assert said(server, "reload", "als", code=1).startswith("holdfast: No admin token was sent")
    assert said(server, "rollback", "als", code=1, environ=WITH_TOKEN).startswith("holdfast: no version of als")
    assert "No model is named 'nobody'" in said(server, "load", "nobody", code=1, environ=WITH_TOKEN)


def test_a_failed_reload_is_1_and_the_others_are_done(artifacts: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_bytes(artifacts["als"].read_bytes())
    models = {"als": {"source": str(broken)}, "churn": {"source": str(artifacts["churn"])}}
    with serving(tmp_path / "server", {"models": models}) as server:
        server.wait_ready("als", "churn")
        broken.write_bytes(b"no model at all")
        done = run(server.folder, "reload", "--all", "--force", environ=WITH_TOKEN)
        assert done.returncode == 1
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["churn:"]
        assert "holdfast: als is ready: " in done.stderr


def test_without_a_server(artifacts: dict[str, Path], tmp_path: Path) -> None:
    config = {"models": {"als": {"source": str(artifacts["als"])}}}
    assert run(tmp_path, "clear", "--all", config=config).stdout == "0 B freed\n"
    with serving(tmp_path, config) as server:
        server.wait_ready("als")
    store = tmp_path / "var"
    for words in (("predict", "--user", "1"), ("watch",), ("load", "als"), ("rollback", "als"), ("versions", "als")):
        done = run(tmp_path, *words)
        assert (done.returncode, done.stdout) == (NO_SERVER, "")
        assert done.stderr == f"holdfast: no server runs on the store {store}: start one, or name one with --url\n"
    kept = sum(path.stat().st_size for path in (store / "segments").iterdir())
    assert kept > 0
    other = json.loads(run(tmp_path, "clear", "other", "--json").stdout)
    assert other == {"freed_bytes": 0}
    assert json.loads(run(tmp_path, "clear", "als", "--json").stdout)["freed_bytes"] >= kept
    assert not list((store / "segments").iterdir())
    done = run(tmp_path, "predict", "--user", "1", "--no-wait", "--url", f"http://127.0.0.1:{free_port()}")
    assert (done.returncode, "does not answer" in done.stderr) == (1, True)
    # A server that has a process and does not answer is not a store without one.
    announce(store, Presence(os.getpid(), f"http://127.0.0.1:{free_port()}", 0.0))
    done = run(tmp_path, "status")
    assert (done.returncode, done.stdout, "does not answer" in done.stderr) == (1, "", True)


class SlowModel:
    """A server whose only model downloads for as long as a test wants, then fast."""

    def __init__(self, beside: Beside, content: bytes, folder: Path) -> None:
        files = beside.enter(FileServer({"/als": Served(content)}))
        self.proxy = beside.enter(FaultProxy(files.address, Plan(bytes_per_s=300_000)))
        self.folder = folder
        self.config: dict[str, Any] = {"models": {"als": {"source": f"{self.proxy.url}/als"}}}


@pytest.fixture
def slow(beside: Beside, artifacts: dict[str, Path], tmp_path: Path) -> SlowModel:
    return SlowModel(beside, artifacts["als"].read_bytes(), tmp_path)


def test_predict_waits_with_a_line_of_progress(slow: SlowModel) -> None:
    with serving(slow.folder, slow.config) as server:
        assert server.url
        early = run(slow.folder, "predict", "--user", "1", "--no-wait")
        assert (early.returncode, early.stdout) == (1, "")
        assert early.stderr.splitlines()[-1].startswith("holdfast: als is not ready yet: ")
        done = run(slow.folder, "predict", "--user", "1", "-k", "2")
        assert (done.returncode, len(done.stdout.splitlines())) == (0, 4)
        assert any(line.startswith("als: downloading [") for line in done.stderr.splitlines()), done.stderr


def test_watch_tells_a_pipe_a_line_a_change(slow: SlowModel) -> None:
    with serving(slow.folder, slow.config) as server:
        assert server.url
        with watching(slow.folder, "watch", "--until-ready", "--json") as told:
            done = run(slow.folder, "watch", "--until-ready")
            assert told.wait(60) == 0
            assert told.stdout is not None
            events = [json.loads(line) for line in told.stdout]
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert re.fullmatch(r"als: downloading \[[#.]{24}\] +\d+% [\d.]+ [kM]B of 1\.\d MB( \d+ s left)?", lines[1]), lines
        assert lines[-1].startswith("als: ready ")
        assert "\x1b" not in done.stdout
    assert events[0]["event_type"] == "snapshot"
    assert [event["to"] for event in events if event["event_type"] == "transition"][-1] == "live"
    assert any(event["event_type"] == "progress" and event["bytes_total"] for event in events)


def test_watch_draws_bars_on_a_terminal(slow: SlowModel) -> None:
    with serving(slow.folder, slow.config) as server:
        assert server.url
        shown, code = on_a_terminal(slow.folder, "watch", "--until-ready")
    assert code == 0
    assert "\x1b[?25l" in shown and shown.rstrip().endswith("\x1b[?25h")  # the cursor is hidden meanwhile, and comes back
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    bars = re.findall(r"als downloading ([━╸╺ ]+) [\d.]+ [kM]B of 1\.\d MB", text)
    assert len(set(bars)) > 1, text
    assert re.search(r"als ready +━{24} \d{8}T\d{6}-\w+, factors, 1\.\d MB", text), text


@contextmanager
def watching(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*program(), *words], cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def on_a_terminal(folder: Path, *words: str) -> tuple[str, int]:
    """Everything that a command writes to a terminal of 120 columns, and its exit code."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    variables = environment({"TERM": "xterm-256color"})
    process = subprocess.Popen([*program(), *words], cwd=folder, env=variables, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = bytearray()
    try:
        while chunk := _read(ours):
            shown += chunk
        return shown.decode(), process.wait(60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody has the other end any more
        return b""


def test_watch_goes_on_until_it_is_interrupted(server: Server) -> None:
    with watching(server.folder, "watch") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("als: ready ")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130


def test_watch_ends_at_its_deadline_and_with_its_server(slow: SlowModel) -> None:
    with serving(slow.folder, slow.config, expects_clean_end=False) as server:
        assert server.url
        done = run(slow.folder, "watch", "--until-ready", "--deadline", "0.3")
        assert (done.returncode, done.stderr) == (1, "holdfast: --deadline passed; not ready: als\n")
        with watching(slow.folder, "watch") as process:
            assert process.stdout is not None and process.stdout.readline()
            server.process.kill()
            wait_until_sync(lambda: process.poll() is not None, 60, what="watch gives up")
            assert process.returncode == 1
