"""What an install holds: every file of the packages that is not Python is declared as data, or an installed server lacks it.

Does not cover: building a wheel, which needs a package index.
"""

from __future__ import annotations

import configparser
from fnmatch import fnmatch
from pathlib import Path

from tests.architecture import ROOMS
from tests.support import ROOT


def declared() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def files_of_rooms() -> list[Path]:
    every = (path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file())
    return [path for path in every if "__pycache__" not in path.parts and path.suffix != ".py"]


def test_every_file_beside_the_code_is_installed_with_it() -> None:
    patterns = declared()["options.package_data"]["*"].split()
    files = files_of_rooms()
    assert {path.suffix for path in files} >= {".css", ".html", ".js", ".svg"}
    assert [path for path in files if not any(fnmatch(path.name, pattern) for pattern in patterns)] == []


def test_the_client_shows_its_types_to_who_installs_it() -> None:
    assert (ROOT / "service" / "py.typed").exists()


def test_every_folder_is_in_a_package_that_is_found() -> None:
    included = declared()["options.packages.find"]["include"].split()
    assert included == [name for room in sorted(ROOMS) for name in (room, f"{room}.*")]
    folders = {path.parent for path in files_of_rooms()} | {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
