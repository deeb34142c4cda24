"""Memory as the kernel tells it, and admission by it. The texts are those of real machines, shortened."""

from __future__ import annotations

from pathlib import Path

import pytest

from loaders.errors import NeverFits
from loaders.memory import Limit, Memory, MemoryAdmission, find_cgroups, in_words, parse_meminfo, read_memory

GIB, MIB = 1 << 30, 1 << 20
MEMINFO = "MemTotal:       16384000 kB\nMemFree:          512000 kB\nMemAvailable:    8192000 kB\nBuffers: 1 kB\n"

V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:12 master:3 - cgroup cgroup rw,memory\n"
)
HYBRID_MOUNTS = V1_MOUNTS + "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
DOCKER_V1_MOUNT = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,nosuid - cgroup cgroup rw,memory\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def folders(membership: str, mountinfo: str) -> list[str]:
    return [str(files.folder) for files in find_cgroups(membership, mountinfo)]


def test_meminfo_is_in_bytes() -> None:
    assert parse_meminfo(MEMINFO) == (16384000 * 1024, 8192000 * 1024)


def test_meminfo_without_memavailable_is_refused() -> None:
    with pytest.raises(ValueError, match="MemAvailable"):
        parse_meminfo("MemTotal: 1 kB\n")


def test_v2_is_walked_from_the_own_cgroup_to_the_root() -> None:
    assert folders("0::/system.slice/holdfast.service\n", V2_MOUNT) == [
        "/sys/fs/cgroup/system.slice/holdfast.service",
        "/sys/fs/cgroup/system.slice",
        "/sys/fs/cgroup",
    ]


def test_v1_takes_the_memory_hierarchy_only() -> None:
    assert folders("5:cpu:/other\n4:memory:/a/b\n1:name=systemd:/x\n", V1_MOUNTS) == [
        "/sys/fs/cgroup/memory/a/b",
        "/sys/fs/cgroup/memory/a",
        "/sys/fs/cgroup/memory",
    ]


def test_hybrid_walks_both() -> None:
    assert folders("4:memory:/a\n0::/b\n", HYBRID_MOUNTS) == [
        "/sys/fs/cgroup/memory/a",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/unified/b",
        "/sys/fs/cgroup/unified",
    ]


def test_comounted_controllers_are_found() -> None:
    mount = "35 31 0:32 / /cg rw - cgroup cgroup rw,cpu,memory\n"
    assert folders("4:cpu,memory:/a\n", mount) == ["/cg/a", "/cg"]


def test_a_container_sees_its_part_of_the_hierarchy() -> None:
    assert folders("4:memory:/docker/abc/inner\n", DOCKER_V1_MOUNT) == ["/sys/fs/cgroup/memory/inner", "/sys/fs/cgroup/memory"]
    assert folders("4:memory:/docker/abcdef\n", DOCKER_V1_MOUNT) == ["/sys/fs/cgroup/memory"]
    assert folders("0::/../../other\n", V2_MOUNT) == ["/sys/fs/cgroup"]


def test_none_at_all() -> None:
    assert folders("", "") == []
    assert folders("4:memory:/a\n0::/b\n", "1 2 0:1 / / rw - ext4 /dev/sda rw\nbroken line\n") == []


def test_mount_points_with_spaces() -> None:
    assert folders("0::/\n", r"31 23 0:28 / /my\040cgroup rw - cgroup2 cgroup2 rw" + "\n") == ["/my cgroup"]


def test_v2_numbers(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "0::/pod/app\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/pod/app/memory.max": "max\n",
            "sys/fs/cgroup/pod/app/memory.current": "1000\n",
            "sys/fs/cgroup/pod/memory.max": f"{2 * GIB}\n",
            "sys/fs/cgroup/pod/memory.current": f"{GIB}\n",
            "sys/fs/cgroup/pod/memory.stat": f"anon 5\ninactive_file {256 * MIB}\nactive_file 7\n",
        },
    )
    memory = read_memory(root)
    assert memory.limits == (Limit("/sys/fs/cgroup/pod", 2 * GIB, GIB - 256 * MIB),)
    assert memory.ceiling_bytes == memory.container_limit_bytes == 2 * GIB
    assert memory.free_bytes == GIB + 256 * MIB


def test_v1_numbers_count_children_and_know_the_word_for_unlimited(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/meminfo": MEMINFO,
            "proc/self/cgroup": "4:memory:/a\n",
            "proc/self/mountinfo": V1_MOUNTS,
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{GIB}\n",
            "sys/fs/cgroup/memory/a/memory.usage_in_bytes": f"{600 * MIB}\n",
            "sys/fs/cgroup/memory/a/memory.stat": f"inactive_file 1\ntotal_inactive_file {100 * MIB}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
        },
    )
    assert read_memory(root).limits == (Limit("/sys/fs/cgroup/memory/a", GIB, 500 * MIB),)


def test_no_cgroup_leaves_the_host(tmp_path: Path) -> None:
    memory = read_memory(write(tmp_path, {"proc/meminfo": MEMINFO}))
    assert (memory.ceiling_bytes, memory.free_bytes, memory.container_limit_bytes) == (16384000 * 1024, 8192000 * 1024, None)


def test_this_machine_can_be_read() -> None:
    memory = read_memory()
    assert 0 <= memory.free_bytes <= memory.ceiling_bytes <= memory.total_bytes


def test_free_is_never_negative() -> None:
    assert Memory(GIB, GIB, (Limit("/x", 10, 20),)).free_bytes == 0


def test_admission_reserves_waits_and_releases() -> None:
    admission = MemoryAdmission(256 * MIB, probe=lambda: Memory(4 * GIB, 2 * GIB))
    assert admission.reserve(GIB) is None
    assert admission.headroom().headroom_bytes == 768 * MIB
    assert admission.reserve(GIB) == "waiting for memory: needs 1 GiB, 768 MiB may be taken now"
    admission.release(GIB)
    assert admission.reserve(GIB) is None


def test_admission_goes_by_the_tightest_limit() -> None:
    limits = (Limit("/a", 8 * GIB, GIB), Limit("/", GIB, 900 * MIB))
    admission = MemoryAdmission(0, probe=lambda: Memory(16 * GIB, 8 * GIB, limits))
    assert admission.reserve(125 * MIB) is not None
    assert admission.reserve(124 * MIB) is None


def test_what_can_never_fit_is_said_with_the_numbers() -> None:
    admission = MemoryAdmission(256 * MIB, probe=lambda: Memory(16 * GIB, 0, (Limit("/", GIB, GIB),)))
    assert admission.reserve(768 * MIB) is not None
    with pytest.raises(NeverFits, match="needs 769 MiB of memory, but the container has 1 GiB with 256 MiB of it kept free") as caught:
        admission.reserve(769 * MIB)
    assert caught.value.detail == {
        "need_bytes": 769 * MIB,
        "ceiling_bytes": GIB,
        "reserve_bytes": 256 * MIB,
        "container_limit_bytes": GIB,
    }


def test_the_host_is_named_where_it_is_the_limit() -> None:
    admission = MemoryAdmission(0, probe=lambda: Memory(GIB, GIB))
    with pytest.raises(NeverFits, match="the host has 1 GiB"):
        admission.reserve(2 * GIB)


def test_repr_tells_the_state() -> None:
    assert repr(MemoryAdmission(5)) == "<MemoryAdmission reserve=5 reserved=0>"


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (300 * MIB, "300 MiB"), (1023 * MIB, "1023 MiB"), (3 * GIB // 2, "1.5 GiB")],
)
def test_sizes_in_words(size: int, words: str) -> None:
    assert in_words(size) == words
