"""Changes to a folder that are whole after a power cut, each in one step that everybody sees at once.

Covers: files, links and folders that appear, are replaced and go. Does not cover: what they mean (`training.versions.publish`).
Every name is fsynced after what it names, and before this returns: what is done next never reaches the disk first.
Blocking; two writers of one folder exclude each other by a lock of their own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from training.whole_files import whole_file

_NEW = ".new-"
_GONE = ".gone-"


def make_folder(path: Path) -> None:
    """An empty private folder, whose parent exists. Raises FileExistsError, OSError."""
    path.mkdir(mode=0o700)
    sync(path.parent)


def write(path: Path, content: bytes) -> None:
    """The file is `content` (0600) from now on. Raises OSError."""
    with whole_file(path) as partial:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)


def move(source: Path, target: Path) -> None:
    """A whole folder gets its name beside the old one. What is in it must be on the disk already. Raises OSError."""
    source.rename(target)
    sync(target.parent)


def point(link: Path, name: str) -> None:
    """The link leads to `name`, in its own folder, from now on: the one rename that switches. Raises OSError."""
    fresh = link.with_name(f"{_NEW}{link.name}")
    _delete(fresh)
    fresh.symlink_to(name)
    fresh.rename(link)
    sync(link.parent)


def remove(path: Path) -> None:
    """The file or link is gone; it need not be there. Raises OSError."""
    path.unlink(missing_ok=True)
    sync(path.parent)


def remove_folder(path: Path) -> None:
    """The folder is gone at once; a crash leaves only what `sweep` deletes. It need not be there, and may be a link. Raises OSError."""
    leaving = path.with_name(f"{_GONE}{path.name}")
    _delete(leaving)
    try:
        path.rename(leaving)
    except FileNotFoundError:
        return
    sync(path.parent)
    _delete(leaving)


def sweep(folder: Path) -> None:
    """Delete what functions of this module left in a folder when they were interrupted. Raises OSError."""
    for path in folder.iterdir():
        if path.name.startswith((_GONE, _NEW)) or (path.name.startswith(".") and path.name.endswith(".partial")):
            _delete(path)


def _delete(path: Path) -> None:
    """Whatever has this name is gone, a link without what it leads to: somebody else may have put it there. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """What a file holds, or which names a folder holds, is on the disk when this returns. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
