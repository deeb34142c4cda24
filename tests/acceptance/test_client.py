"""The Python client in front of the installed program: a model that takes its time, a server that restarts, a crowd.

Does not cover: what each answer leads to (`tests/unit/service/client`), the command line (`test_client_commands`).
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import Counter
from contextlib import aclosing, closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from service.client import AsyncHoldfast, Event, Holdfast, HoldfastError, ModelFailed, Progress, Snapshot, Transition
from tests.acceptance.running import TOKEN, Beside, environment, serving
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.support import ROOT, free_port, wait_until

BYTES_PER_S = 250_000
DOWNLOAD_S = 2.0


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Some 700 KB."""
    folder = tmp_path_factory.mktemp("artifact")
    return write(als_dict("int", users=4000, items=200), folder / "als", "pickle4").read_bytes()


@pytest.fixture
def slow(beside: Beside, artifact: bytes) -> FaultProxy:
    """A source that takes seconds to give the artifact out."""
    files = beside.enter(FileServer({"/als.pkl": Served(artifact)}))
    proxy: FaultProxy = beside.enter(FaultProxy(files.address, Plan(bytes_per_s=BYTES_PER_S)))
    return proxy


def models(source: str, **settings: Any) -> dict[str, Any]:
    return {"models": {"als": {"source": source, **settings}}}


def run_client(program: Path | str, *words: str, url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A Python program to its end, as a user of the installed package runs it."""
    return subprocess.run(
        [sys.executable, *(["-c", program] if isinstance(program, str) else [str(program)]), *words],
        env=environment({"HOLDFAST_URL": url, **environ}),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def fences() -> list[str]:
    page = (ROOT / "docs/howto/use-the-client.md").read_text()
    return re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def test_the_program_of_the_page_waits_for_a_slow_model_without_a_failed_call(slow: FaultProxy, artifact: bytes, tmp_path: Path) -> None:
    program, at_once = fences()
    assert len([line for line in program.splitlines() if line.strip()]) <= 15
    with serving(tmp_path, models(f"{slow.url}/als.pkl")) as server:
        done = run_client(program, url=server.url)
        assert (done.returncode, done.stderr) == (0, "")
        waiting = [line for line in done.stdout.splitlines() if line.startswith("als: ")]
        ranking = [line for line in done.stdout.splitlines() if not line.startswith("als: ")]
        assert len(waiting) >= DOWNLOAD_S
        assert any("downloading" in line for line in waiting)
        expected = server.predict("als", {"user_id": 1, "k": 5}).body["items"]
        assert ranking == [f"{item['item_id']} {item['score']}" for item in expected]
        totals = server.get("/models/als/calls").body["totals"]
        assert {outcome for outcome, count in totals.items() if count} == {"ok", "loading"}
        # The second program of the page, now that the model is there.
        done = run_client(at_once, url=server.url)
        assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 3)


def test_the_example_against_a_real_server(slow: FaultProxy, tmp_path: Path) -> None:
    example = ROOT / "docs/examples/client_example.py"
    with serving(tmp_path, models(f"{slow.url}/als.pkl")) as server:
        done = run_client(example, "als", "1", "2", "999999", url=server.url, ADMIN_LOAD_TOKEN=TOKEN)
        assert done.returncode == 0, done.stderr
        assert "waiting for als: downloading" in done.stderr
        version = server.model("als")["version"]
        first, second, *rest = done.stdout.splitlines()
        assert (first, second) == (f"als serves version {version} (factors)", f"asked the source: als serves version {version}")
        assert len([line for line in rest if re.fullmatch(r"user 1: \d+ -?\d\.\d{3} because of [\d, ]+", line)]) == 3
        assert "best for user 999999: nothing (user 999999 is not in the model)" in rest
        assert rest[-1] == "2 of 3 users answered at once"
        server.command("POST", "/models/als/unload?wait=30")
        done = run_client(example, "als", "1", url=server.url)
        assert (done.returncode, done.stderr) == (1, "als cannot serve: als is unloaded: an operator must load it again\n")
        done = run_client(example, "nobody", "1", url=server.url)
        assert (done.returncode, done.stderr) == (1, "no answer: No model is named 'nobody'.\n")


async def test_a_restart_in_the_middle_of_a_wait_is_sat_out(beside: Beside, slow: FaultProxy, tmp_path: Path) -> None:
    port = free_port()
    config = {"server": {"drain": "1s"}, **models(f"{slow.url}/als.pkl")}
    seen: list[Progress] = []
    transitions: list[Event] = []

    async def listen(client: AsyncHoldfast) -> None:
        async with aclosing(client.events()) as events:
            async for event in events:
                transitions.append(event)
                if isinstance(event, Transition) and event.to == "live":
                    return

    async with AsyncHoldfast(f"http://127.0.0.1:{port}", TOKEN) as client:
        with Holdfast(client.url) as blocking:
            # Nobody is there yet.
            asking = asyncio.create_task(client.predict("als", user_id=1, k=3, on_progress=seen.append))
            asking_too = asyncio.create_task(asyncio.to_thread(lambda: blocking.predict("als", user_id=1, k=3)))
            listening = asyncio.create_task(listen(client))
            with serving(tmp_path, config, "--port", str(port), expects_clean_end=False) as server:
                await wait_until(lambda: transitions and any(each.progress for each in seen), 60, what="the download has begun")
                await asyncio.to_thread(server.process.kill)
                await asyncio.to_thread(server.process.wait)
            assert not asking.done() and not asking_too.done()
            with serving(tmp_path, config, "--port", str(port)) as server:
                answers = [await asking, await asking_too]
                await listening
                expected = await asyncio.to_thread(server.predict, "als", {"user_id": 1, "k": 3})
            assert [[item.item_id for item in answer.items] for answer in answers] == [
                [item["item_id"] for item in expected.body["items"]]
            ] * 2
    assert len([event for event in transitions if isinstance(event, Snapshot)]) == 2  # one a server


async def test_a_crowd_beyond_the_limit_is_answered_in_the_end(artifact: bytes, tmp_path: Path) -> None:
    (tmp_path / "als.pkl").write_bytes(artifact)
    config = models(str(tmp_path / "als.pkl"), max_in_flight=1)
    question = {"users": list(range(1, 301)), "k": 200}
    with serving(tmp_path, config) as server:
        await asyncio.to_thread(server.wait_ready, "als")
        async with AsyncHoldfast(server.url, deadline_s=60) as client:
            answers = await asyncio.gather(*(client.predict("als", **question) for _ in range(16)))  # type: ignore[call-overload]
        assert Counter(len(answer.results) for answer in answers) == {300: 16}
        totals = (await asyncio.to_thread(server.get, "/models/als/calls")).body["totals"]
        assert totals["ok"] == 16
        assert totals["overloaded"] > 0
        assert server.process.poll() is None


def test_commands_wait_for_what_comes_of_them(artifact: bytes, tmp_path: Path) -> None:
    source = tmp_path / "als.pkl"
    source.write_bytes(artifact)
    with serving(tmp_path / "server", models(str(source))) as server, Holdfast(server.url, TOKEN) as client:
        version = client.wait_ready("als").version
        assert client.reload("als", wait=True).version == version
        again = client.reload("als", force=True, wait=30)
        assert again.version != version
        assert client.unload("als", wait=True).status == "unloaded"
        with pytest.raises(ModelFailed):
            client.predict("als", user_id=1)
        assert client.load("als", wait=True).is_ready
        assert [each.version for each in client.reload_all(wait=True)] != [again.version]
        assert client.versions("als").live == client.model("als").version
        source.write_bytes(b"no model at all")
        with pytest.raises(ModelFailed, match="als is ready") as failed:
            client.reload("als", wait=True)
        assert failed.value.failure is not None and not failed.value.failure.retryable
        assert client.predict("als", user_id=1, k=1).items  # what served goes on
        assert client.clear().freed_bytes >= 0


def test_events_of_a_load(slow: FaultProxy, tmp_path: Path) -> None:
    with (
        serving(tmp_path, models(f"{slow.url}/als.pkl")) as server,
        Holdfast(server.url, TOKEN) as client,
        closing(client.events()) as events,
    ):
        first, *others = list(_until_live(events))
        assert isinstance(first, Snapshot) and [each.name for each in first.models] == ["als"]
        phases = [event.to for event in others if isinstance(event, Transition)]
        assert phases[-4:] == ["verifying", "loading", "warming", "live"]
        shares = [event.progress for event in others if isinstance(event, Progress) and event.progress is not None]
        assert shares == sorted(shares) and len(set(shares)) > 3
        client.unload("als", wait=True)
        unloaded = next(event for event in events if isinstance(event, Transition))
        assert (unloaded.to, unloaded.status.status) == ("released", "unloaded")
    with pytest.raises(HoldfastError):
        list(islice(Holdfast(server.url, unreachable_s=0.2).events(), 1))


def _until_live(events: Any) -> Any:
    for event in events:
        yield event
        if isinstance(event, Transition) and event.to == "live":
            return
