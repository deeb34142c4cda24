"""A process that dies before its n-th change to the file system, for every n, and what is found afterwards.

Run by `test_publish_power_cut` in a process of its own, because an audit hook stays and because it forks. Covers: every change
that CPython tells its audit hooks of (open to write, rename, link, unlink, mkdir, rmdir), and the order of fsyncs between
them. Does not cover: a disk that lies about fsync.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from loaders.bundle_file import open_published_scorer
from loaders.published import PublishedFolder
from tests.unit.training.published import TRAINING, name_of, published, staged
from training.versions.publish import activate, clean, prune, publish, roll_back, unpin, withdraw

KEEP = 3
CUT = 77
FAILURE = {"type": "corrupt_artifact", "message": "it does not answer"}
_CHANGES = ("os.rename", "os.remove", "os.symlink", "os.link", "os.mkdir", "os.rmdir")
Step = Callable[[Path], Any]


class PowerCut:
    """Counts changes to the file system and ends the process before one of them; checks their order on the way."""

    def __init__(self) -> None:
        self.left = -1
        self.done = 0
        self.is_on = False
        self._synced: set[Path] = set()
        self._unsynced_names: set[Path] = set()
        sys.addaudithook(self._hear)
        os.fsync = self._hear_fsync  # the one call that has no audit event

    def _hear(self, event: str, given: tuple[Any, ...]) -> None:
        if not self.is_on:
            return
        if event == "open":
            path, _, flags = given
            if not isinstance(path, str | os.PathLike) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
            self._count()
            self._synced.discard(Path(path))
            if not any(part.startswith(".") for part in Path(path).parts[-2:]):
                self._complain(f"{path} is written under the name that readers know")
        elif event in _CHANGES:
            self._count()
            if event == "os.rename":
                self._check_rename(*map(Path, given[:2]))

    def _hear_fsync(self, fd: Any) -> None:
        if self.is_on:  # nothing waits for a disk here: what is not interrupted has no power cut to fear
            self._count()
            path = Path(f"/proc/self/fd/{fd}").readlink()
            self._synced.add(path)
            self._unsynced_names.discard(path)

    def _check_rename(self, source: Path, target: Path) -> None:
        if target.parent in self._unsynced_names:
            self._complain(f"{target} may reach the disk before the name that changed in its folder before")
        self._unsynced_names.add(target.parent)
        if target.name.startswith(".gone-") or source.is_symlink():
            return
        for path in (source, *(source.iterdir() if source.is_dir() else ())):
            if path not in self._synced:
                self._complain(f"{target} may reach the disk before what is in {path}")

    def _count(self) -> None:
        if self.done == self.left:
            os._exit(CUT)
        self.done += 1

    def _complain(self, words: str) -> None:
        print(words, file=sys.stderr, flush=True)
        os._exit(1)

    def during(self, step: Step, store: Path, left: int) -> bool:
        """Carry out a step in a child that dies before change number `left`; whether it did."""
        pid = os.fork()
        if pid == 0:
            try:
                self.left, self.is_on = left, True
                step(store)
                self.is_on = False
                if self._unsynced_names:
                    self._complain(f"names in {self._unsynced_names} may be lost")
                os._exit(0)
            except BaseException as error:
                self._complain(f"{type(error).__name__}: {error}")
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code not in (0, CUT):
            raise AssertionError(f"cut at change {left}: the child ended with {code}")
        return code == CUT


def five(store: Path) -> None:
    for number in (1, 2, 3, 4, 5):
        published(store, number, KEEP)


def five_and_staged(store: Path) -> None:
    five(store)
    staged(store, 6)


def five_pinned(store: Path) -> None:
    five(store)
    roll_back(store, TRAINING)


def pinned_and_staged(store: Path) -> None:
    five_pinned(store)
    staged(store, 6)


def interrupted_rollback(store: Path) -> None:
    five(store)
    (store / TRAINING / "pinned").symlink_to(name_of(4))


def five_and_leftovers(store: Path) -> None:
    five_and_staged(store)
    folder = PublishedFolder(store, TRAINING)
    withdraw(store, TRAINING, name_of(3), FAILURE)
    folder.folder_of(name_of(3)).rename(folder.path / f".gone-{name_of(3)}")
    (folder.path / "pinned").symlink_to(name_of(4))


def one_staged(store: Path) -> None:
    staged(store, 6)


def publish_staged(store: Path) -> None:
    publish(store, TRAINING, store / TRAINING / f".staging-{name_of(6)}", KEEP)


COMMANDS: dict[str, tuple[Step, Step]] = {
    "stage": (five, lambda store: staged(store, 6)),
    "publish the first": (one_staged, publish_staged),
    "publish": (five_and_staged, publish_staged),
    "publish beside a pin": (pinned_and_staged, publish_staged),
    "roll back": (five, lambda store: roll_back(store, TRAINING)),
    "roll back again": (five_pinned, lambda store: roll_back(store, TRAINING)),
    "activate": (five_pinned, lambda store: activate(store, TRAINING, name_of(5))),
    "activate after half a rollback": (interrupted_rollback, lambda store: activate(store, TRAINING, name_of(3))),
    "unpin after half a rollback": (interrupted_rollback, lambda store: unpin(store, TRAINING)),
    "unpin": (five_pinned, lambda store: unpin(store, TRAINING)),
    "withdraw": (five, lambda store: withdraw(store, TRAINING, name_of(5), FAILURE)),
    "withdraw the pinned one": (five_pinned, lambda store: withdraw(store, TRAINING, name_of(4), FAILURE)),
    "prune": (five, lambda store: prune(store, TRAINING, 1)),
    "clean": (five_and_leftovers, lambda store: clean(store, TRAINING)),
}
"""What is there before, and what is interrupted."""


def check(store: Path, before: str | None, after: str | None, *, is_withdrawal: bool) -> None:
    """What whoever comes next must find, and be able to do."""
    folder, allowed = PublishedFolder(store, TRAINING), {before, after}
    if is_withdrawal and folder.current() == after:
        assert folder.withdrawn(before or "") is not None, "it was switched from, and why is not known"
    assert folder.current() in allowed, f"{folder.current()} is current, not one of {allowed}"
    assert folder.current() is not None or folder.names() in ([], [name_of(6)]), "nothing is current, though it was"
    for name in folder.names():
        folder.record(name)
        open_published_scorer(folder.model_of(name))
    clean(store, TRAINING)
    assert folder.current() == folder.current_link() or not folder.names()
    pinned = folder.pinned()
    published(store, 99, KEEP)
    assert folder.current() == (pinned or name_of(99))
    assert len(folder.names()) <= KEEP + 1, folder.names()
    left = {path.name for path in folder.path.iterdir()} - set(folder.names()) - {"current", "pinned", "withdrawn"}
    assert not left, f"{left} is left"
    assert {path.name for path in folder.path.glob("withdrawn/*")} <= set(folder.names())


def cut_everywhere(name: str) -> int:
    """Interrupt a command at each of its changes; how many there are. Raises AssertionError."""
    before, step = COMMANDS[name]
    cut = PowerCut()
    with TemporaryDirectory() as place:
        made = Path(place) / "made"
        before(made)
        whole = Path(place) / "whole"
        shutil.copytree(made, whole, symlinks=True)
        assert not cut.during(step, whole, -1)
        currents = [PublishedFolder(store, TRAINING).current() for store in (made, whole)]
        for left in range(1000):
            store = Path(place) / "store"
            shutil.copytree(made, store, symlinks=True)
            is_cut = cut.during(step, store, left)
            try:
                check(store, *currents, is_withdrawal=name.startswith("withdraw"))
            except AssertionError as error:
                raise AssertionError(f"{name}, cut before change {left}: {error}") from error
            if not is_cut:
                return left
            shutil.rmtree(store)
    raise AssertionError("it has no end")


if __name__ == "__main__":
    print(cut_everywhere(sys.argv[1]))
