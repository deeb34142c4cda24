"""How much memory loads may take: of the host, and of the container this process is in.

Covers: /proc/meminfo, memory cgroups v2 and v1 (every one from this process's own up to the root of what is mounted), and
the admission of loads by them. Does not cover: enforcing anything (`loaders.process`, `loaders.cgroup`), swap, v2's
`memory.high` (it slows down, it does not refuse). What a file system caches is free memory here, as far as the kernel
says so: MemAvailable for the host, usage less `inactive_file` for a cgroup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loaders.errors import NeverFits

_UNLIMITED_BYTES = 1 << 60  # v1 writes "no limit" as the largest multiple of the page size


@dataclass(frozen=True, slots=True)
class CgroupFiles:
    """Where one memory cgroup's numbers are."""

    folder: Path
    limit: str
    usage: str
    inactive: str
    """Its line in memory.stat; v1 counts children only in the total_ lines."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One memory cgroup with a limit. Bytes; `used_bytes` is without what can be dropped at once."""

    folder: str
    limit_bytes: int
    used_bytes: int


@dataclass(frozen=True, slots=True)
class Memory:
    """The host's memory and the limits around this process, in bytes."""

    total_bytes: int
    available_bytes: int
    limits: tuple[Limit, ...] = ()

    @property
    def ceiling_bytes(self) -> int:
        """What could be used at most, if nothing else used any."""
        return min((self.total_bytes, *(limit.limit_bytes for limit in self.limits)))

    @property
    def free_bytes(self) -> int:
        """What can be used now; not below 0."""
        return max(0, min((self.available_bytes, *(limit.limit_bytes - limit.used_bytes for limit in self.limits))))

    @property
    def container_limit_bytes(self) -> int | None:
        """The tightest cgroup limit, None without one."""
        return min((limit.limit_bytes for limit in self.limits), default=None)


@dataclass(frozen=True, slots=True)
class Headroom:
    """What admission sees, in bytes."""

    memory: Memory
    reserve_bytes: int
    """Kept free always."""
    reserved_bytes: int
    """Promised to loads that run."""

    @property
    def headroom_bytes(self) -> int:
        """What one more load may take; not below 0."""
        return max(0, self.memory.free_bytes - self.reserve_bytes - self.reserved_bytes)


class MemoryAdmission:
    """Lets a load start when its need fits into what is free now, less a reserve and less what running loads were promised.

    Careful on purpose: what a running load has already taken counts twice, so two loads never meet at the limit.
    """

    def __init__(self, reserve_bytes: int, probe: Callable[[], Memory] | None = None) -> None:
        self._reserve_bytes = reserve_bytes
        self._probe = probe if probe is not None else read_memory
        self._reserved_bytes = 0

    def __repr__(self) -> str:
        return f"<MemoryAdmission reserve={self._reserve_bytes} reserved={self._reserved_bytes}>"

    def reserve(self, need_bytes: int) -> str | None:
        """None: reserved, until `release`. Else why it must wait.

        Raises NeverFits when it would not fit even if nothing else used memory.
        """
        seen = self.headroom()
        most_bytes = seen.memory.ceiling_bytes - self._reserve_bytes
        if need_bytes > most_bytes:
            container = seen.memory.container_limit_bytes
            whole = "the host" if container is None or container > seen.memory.total_bytes else "the container"
            raise NeverFits(
                f"needs {in_words(need_bytes)} of memory, but {whole} has {in_words(seen.memory.ceiling_bytes)}"
                f" with {in_words(self._reserve_bytes)} of it kept free",
                need_bytes=need_bytes,
                ceiling_bytes=seen.memory.ceiling_bytes,
                reserve_bytes=self._reserve_bytes,
                container_limit_bytes=container,
            )
        if need_bytes > seen.headroom_bytes:
            return f"waiting for memory: needs {in_words(need_bytes)}, {in_words(seen.headroom_bytes)} may be taken now"
        self._reserved_bytes += need_bytes
        return None

    def release(self, need_bytes: int) -> None:
        """Give a reservation back."""
        self._reserved_bytes -= need_bytes

    def headroom(self) -> Headroom:
        """What the next load will be judged by."""
        return Headroom(self._probe(), self._reserve_bytes, self._reserved_bytes)


def read_memory(root: Path = Path("/")) -> Memory:
    """The numbers as they are now. `root` is where proc and sys are mounted. Raises OSError or ValueError without /proc/meminfo."""
    total_bytes, available_bytes = parse_meminfo((root / "proc/meminfo").read_text(encoding="ascii", errors="replace"))
    membership, mounts = _text(root / "proc/self/cgroup"), _text(root / "proc/self/mountinfo")
    limits = tuple(limit for files in find_cgroups(membership or "", mounts or "") if (limit := _read_limit(root, files)) is not None)
    return Memory(total_bytes, available_bytes, limits)


def parse_meminfo(text: str) -> tuple[int, int]:
    """(MemTotal, MemAvailable) in bytes. Raises ValueError where either is missing."""
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in text.splitlines())}
    try:
        return int(fields["MemTotal"][0]) * 1024, int(fields["MemAvailable"][0]) * 1024
    except (KeyError, IndexError) as error:
        raise ValueError(f"/proc/meminfo lacks {error}") from error


def find_cgroups(membership: str, mountinfo: str) -> Iterator[CgroupFiles]:
    """The memory cgroups around a process, innermost first, from its /proc/self/cgroup and /proc/self/mountinfo."""
    mounts = tuple(_cgroup_mounts(mountinfo))
    for line in membership.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_v2 = hierarchy == "0" and not controllers
        if not is_v2 and "memory" not in controllers.split(","):
            continue
        for mount_is_v2, mount_root, mount_point in mounts:
            if mount_is_v2 is is_v2:
                for folder in _ancestry(path, mount_root, Path(mount_point)):
                    yield _files(folder, is_v2)


def _files(folder: Path, is_v2: bool) -> CgroupFiles:
    if is_v2:
        return CgroupFiles(folder, "memory.max", "memory.current", "inactive_file")
    return CgroupFiles(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _cgroup_mounts(mountinfo: str) -> Iterator[tuple[bool, str, str]]:
    """(is v2, root of the mount within the hierarchy, mount point) of each memory hierarchy that is mounted."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        place, kind = left.split(), right.split()
        if len(place) < 5 or len(kind) < 3:
            continue
        if kind[0] == "cgroup2" or (kind[0] == "cgroup" and "memory" in kind[2].split(",")):
            yield kind[0] == "cgroup2", _unescape(place[3]), _unescape(place[4])


def _ancestry(path: str, mount_root: str, mount_point: Path) -> Iterator[Path]:
    """Folders from the process's own cgroup up to the mount point.

    In a container the mount shows only a part of the hierarchy: then the path is taken from there, and a path that is
    not under it (another cgroup namespace) leaves the mount point alone.
    """
    inside = path if mount_root == "/" else path.removeprefix(mount_root) if (path + "/").startswith(mount_root + "/") else "/"
    parts = [part for part in inside.split("/") if part]
    if ".." in parts:
        parts = []
    for depth in range(len(parts), -1, -1):
        yield mount_point.joinpath(*parts[:depth])


def _unescape(field: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, char)
    return field


def _read_limit(root: Path, files: CgroupFiles) -> Limit | None:
    """The cgroup's limit and usage; None where it has no limit (or, as the root has, no such files)."""
    folder = root / files.folder.relative_to("/")
    limit, usage = _number(_text(folder / files.limit)), _number(_text(folder / files.usage))
    if limit is None or usage is None or limit >= _UNLIMITED_BYTES:
        return None
    return Limit(str(files.folder), limit, max(0, usage - _stat(_text(folder / "memory.stat") or "", files.inactive)))


def _number(text: str | None) -> int | None:
    """An integer; None for "max" and for what is not there."""
    word = (text or "").strip()
    return int(word) if word.isdecimal() else None


def _stat(text: str, name: str) -> int:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return 0


def _text(path: Path) -> str | None:
    """The file, None where it is missing or may not be read: no such cgroup file means no such limit."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def in_words(size_bytes: int) -> str:
    """For a person: 1.5 GiB, 300 MiB, 12 KiB."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.4g} {name}"
    return f"{size_bytes} B"
