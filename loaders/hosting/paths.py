"""What a hosting child may still read once its files are closed: Python's own code and libraries, and what they look at.

Covers: the folders imports come from, shared libraries, and the few files that numpy, scikit-learn and joblib ask about the
machine. Does not cover: closing everything else (`loaders.walls`). Standard library only. Child only.

A folder that is on `sys.path` but not an installation (a checkout that was installed editable) may hold configuration and
the store too: of it only packages and modules are readable, and names can be listed.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/alternatives")
_MACHINE = (
    "/dev/null", "/dev/urandom", "/etc/localtime", "/proc/cpuinfo", "/proc/meminfo", "/proc/self/cgroup", "/proc/self/maps",
    "/proc/self/status", "/proc/stat", "/sys/devices/system/cpu", "/usr/share/zoneinfo",
)  # fmt: skip
_OWN = ("config", "loaders", "models")
_CODE = (".py", ".pyc", ".so", ".pth")


def readable_paths() -> list[str]:
    """Absolute paths of files and folders; some may not exist."""
    installed = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    installed |= {Path(prefix, folder) for prefix in prefixes for folder in ("lib", "lib64")}
    paths = [*map(Path, _LIBRARIES + _MACHINE), *sorted(installed), *map(Path, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep))]
    paths += (Path(__file__).parents[2] / room for room in _OWN)
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):  # how setuptools maps packages to a checkout without a folder on sys.path
            paths += map(Path, getattr(module, "MAPPING", {}).values())
    for entry in map(Path, sys.path):
        if entry in installed or not installed.isdisjoint(entry.parents) or entry.is_file():
            paths.append(entry)
        elif entry.is_dir():
            paths += (path for path in entry.iterdir() if path.suffix in _CODE or _is_package(path))
    return list(dict.fromkeys(str(path) for path in paths if path.is_absolute()))


def _is_package(path: Path) -> bool:
    return path.suffix in (".dist-info", ".egg-info") or (path / "__init__.py").is_file()
