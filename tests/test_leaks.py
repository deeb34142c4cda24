"""The leak check itself: each kind of leak is found, and what is only slow to go is not one."""

from __future__ import annotations

import asyncio
import dataclasses
import mmap
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web

from tests.leaks import LASTING_PROCESSES, Census, _compare, leaks_since
from tests.support import run_python, wait_until_sync

SLEEP = "import time; time.sleep(60)"  # a child that is there until it is killed


def leaks(before: Census, scratch: Path, grace_s: float = 0.1) -> str:
    return "\n".join(leaks_since(before, scratch, grace_s=grace_s))


def test_child_is_found(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as child:
        assert f"process: {child.pid} " in leaks(before, tmp_path)
        child.kill()
    assert not leaks(before, tmp_path)


def test_unreaped_child_is_found(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    child = subprocess.Popen(["true"])
    try:
        assert f"process: {child.pid} ended" in leaks(before, tmp_path, grace_s=1.0)
    finally:
        child.wait()


def test_what_belongs_to_a_server_of_the_session_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"
    before = Census.take(tmp_path)
    with subprocess.Popen([sys.executable, "-c", code]) as server:
        wait_until_sync(lambda: leaks(before, tmp_path).count("process: ") == 2)
        monkeypatch.setattr("tests.leaks.LASTING_PROCESSES", {*LASTING_PROCESSES, server.pid})
        assert not leaks(before, tmp_path)
        monkeypatch.undo()
        for child in psutil.Process(server.pid).children():
            child.kill()
    assert not leaks(before, tmp_path)


def test_grandchild_in_its_own_session_is_found_and_reaped_when_it_ends(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    code = f"""import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(child.pid)"""
    orphan = int(run_python(code, flags=("-W", "ignore")).stdout)
    assert f"process: {orphan} " in leaks(before, tmp_path)
    os.kill(orphan, 9)
    wait_until_sync(lambda: not Path(f"/proc/{orphan}").exists())
    assert not leaks(before, tmp_path)


def test_child_of_a_child_that_was_there_before_is_found(tmp_path: Path) -> None:
    code = "import subprocess; input(); child = subprocess.Popen(['sleep', '60']); input(); child.kill(); child.wait()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        before = Census.take(tmp_path)
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        wait_until_sync(lambda: "sleep 60" in leaks(before, tmp_path))
        parent.stdin.write(b"\n")


def test_thread_is_found(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="forgotten")
    thread.start()
    assert "thread: forgotten" in leaks(before, tmp_path)
    go.set()
    thread.join()
    assert not leaks(before, tmp_path)


def test_thread_that_ends_soon_is_no_leak(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    thread = threading.Thread(target=threading.Event().wait, args=(0.2,))
    thread.start()
    assert not leaks(before, tmp_path, grace_s=5)
    thread.join()


def test_descriptor_is_found(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    fd = os.open(tmp_path, os.O_RDONLY)
    assert f"fd: {fd} {tmp_path}" in leaks(before, tmp_path)
    os.close(fd)
    assert not leaks(before, tmp_path)


def test_a_connection_is_found_with_its_ends_also_where_a_runtime_started(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    one, other = socket.socketpair()
    with one, other, socket.create_server(("127.0.0.1", 0)) as server:
        assert leaks(before, tmp_path).count("fd: ") == 3
        after = Census.take(tmp_path)
        started = dataclasses.replace(after, native_threads=after.native_threads | {-1})
        (found,) = _compare(before, started, ())  # those without an address are the runtime's then
        assert found.startswith(f"fd: {server.fileno()} socket:")
        assert f"port={server.getsockname()[1]}" in found


@pytest.mark.parametrize("where", ["memfd", "unlinked file"])
def test_mapping_is_found_after_its_descriptor_is_closed(tmp_path: Path, where: str) -> None:
    before = Census.take(tmp_path)
    fd = os.memfd_create("segment") if where == "memfd" else os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    os.ftruncate(fd, mmap.PAGESIZE)
    mapping = mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ)
    os.close(fd)
    found = leaks(before, tmp_path)
    assert "segment: mapping" in found
    mapping.close()
    assert not leaks(before, tmp_path)


def test_linked_shared_memory_is_found(tmp_path: Path) -> None:
    before = Census.take(tmp_path)
    entry = Path("/dev/shm") / f"leak-test-{os.getpid()}"
    entry.write_bytes(b"x")
    assert f"segment: {entry}" in leaks(before, tmp_path)
    entry.unlink()
    assert not leaks(before, tmp_path)


async def test_an_http_exchange_on_the_loop_leaves_nothing() -> None:
    app = web.Application()

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=await asyncio.to_thread(lambda: "hello"))

    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{runner.addresses[0][1]}/") as answer:
        assert await answer.text() == "hello"
    await runner.cleanup()


async def test_a_reaped_subprocess_leaves_nothing() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", "print(1)", stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    assert out == b"1\n"
    assert child.returncode == 0


async def test_the_runtime_of_obstore_is_not_the_tests(tmp_path: Path) -> None:
    import obstore

    store = obstore.store.LocalStore(tmp_path)
    await obstore.put_async(store, "a", b"1")
    assert (await obstore.head_async(store, "a"))["size"] == 1


async def test_only_loopback_is_reachable() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://192.0.2.1/")
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get("http://example.org/")
