"""`holdfast schedule`: one block of the crontab, everything around it byte for byte, and lines that cron and a shell read as meant."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from service.cli import build_parser, main
from service.crontab import LONGEST_LINE, Block, CrontabError, command_line, times_of

CONFIG = """
[store]
path = "my store"
[data]
url = "sqlite:///shop.db"
[training.als]
algorithm = "als"
schedule = "0 */6 * * mon-fri"
[training.bpr]
algorithm = "bpr"
schedule = "5/20 3 * * *"
[training.pop]
algorithm = "popular"
"""
FAKE = """#!/bin/sh
file="$(dirname "$0")/content"
case "$1" in
-l) if [ -e "$file" ]; then cat "$file"; else echo "no crontab for ada" >&2; exit 1; fi ;;
-) if [ -e "$file.full" ]; then echo "disk full" >&2; exit 1; fi; echo >> "$file.written"; cat > "$file" ;;
*) echo usage >&2; exit 2 ;;
esac
"""
OTHERS = [b"", b"MAILTO=ada\n\n*/5 * * * * echo 100\\% \xff\t\n# the end\n", b"@reboot true"]


class Cron:
    """A crontab program that keeps one crontab in a file, and a configuration beside it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        program = self.bin / "crontab"
        program.write_text(FAKE)
        program.chmod(0o755)
        self.config = folder / "50% of it" / "my holdfast.toml"
        self.config.parent.mkdir()
        self.config.write_text(CONFIG)
        self.store = self.config.parent / "my store"

    @property
    def content(self) -> bytes:
        path = self.bin / "content"
        return path.read_bytes() if path.exists() else b""

    @content.setter
    def content(self, content: bytes) -> None:
        (self.bin / "content").write_bytes(content)

    @property
    def writes(self) -> int:
        written = self.bin / "content.written"
        return len(written.read_bytes()) if written.exists() else 0

    def schedule(self, word: str, *arguments: str) -> int:
        return main(["schedule", word, "--config", str(self.config), *arguments])

    def commands(self) -> list[tuple[str, list[str]]]:
        """(times, words of the command as a shell reads what cron gives it) of each line of the block."""
        lines = Block(str(self.config)).lines_in(self.content)
        assert lines is not None
        found = []
        for line in lines:
            times, command = " ".join(line.split(" ")[:5]), line.split(" ", 5)[5]
            assert "%" not in command.replace(r"\%", "")  # an unescaped one ends the command
            found.append((times, shlex.split(command.replace(r"\%", "%"))))
        return found


@pytest.fixture
def cron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cron:
    cron = Cron(tmp_path)
    monkeypatch.setenv("PATH", f"{cron.bin}{os.pathsep}{os.environ['PATH']}")
    for name in ("HOLDFAST_CONFIG", "HOLDFAST_URL", "HOLDFAST_STORE_PATH"):
        monkeypatch.delenv(name, raising=False)
    return cron


@pytest.mark.parametrize("others", OTHERS, ids=["none", "others", "no-end-of-line"])
def test_what_others_have_in_the_crontab_stays_byte_for_byte(cron: Cron, others: bytes) -> None:
    if others:
        cron.content = others
    assert cron.schedule("install") == 0
    assert cron.content.startswith(others)
    installed = cron.content
    assert cron.schedule("install") == 0
    assert (cron.content, cron.writes) == (installed, 1)
    cron.content = installed + b"@daily after\n"
    cron.config.write_text(CONFIG.replace("*/6", "*/8"))
    assert cron.schedule("install") == 0
    assert cron.content == installed.replace(b"*/6", b"*/8") + b"@daily after\n"
    assert cron.schedule("remove") == 0
    assert cron.content == others + (b"\n" if others and not others.endswith(b"\n") else b"") + b"@daily after\n"
    writes = cron.writes
    assert cron.schedule("remove") == 0
    assert cron.writes == writes


def test_a_line_trains_one_training_from_the_same_file_wherever_it_lies(cron: Cron) -> None:
    assert cron.schedule("install") == 0
    lines = cron.commands()
    assert [times for times, _ in lines] == ["0 */6 * * 1-5", "5-59/20 3 * * *"]
    for (_, words), name in zip(lines, ("als", "bpr"), strict=True):
        command, redirected = words[: words.index(">>")], words[words.index(">>") :]
        assert command[:4] == [sys.executable, "-I", "-m", "service.cli"]
        parsed = build_parser().parse_args(command[4:])
        assert (parsed.name, parsed.local, parsed.config) == (name, True, str(cron.config))
        assert redirected == [">>", str(cron.store / "schedule.log"), "2>&1"]
    assert stat.S_IMODE(cron.store.stat().st_mode) == 0o700


def test_the_command_is_found_from_anywhere_without_an_environment(cron: Cron) -> None:
    assert cron.schedule("install") == 0
    words = cron.commands()[0][1]
    done = subprocess.run([*words[:5], "--help"], cwd="/", env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "usage: holdfast train" in done.stdout


def test_show_tells_what_is_there_and_what_would_be(cron: Cron, capsys: pytest.CaptureFixture[str]) -> None:
    assert cron.schedule("show") == 0
    told = capsys.readouterr().out
    assert told.startswith("nothing is installed\nwould be installed:\n  0 */6 * * 1-5 ")
    assert cron.schedule("install") == 0
    assert capsys.readouterr().out.startswith("installed:\n  0 */6")
    assert cron.schedule("show") == 0
    assert "would be" not in capsys.readouterr().out
    cron.config.write_text(CONFIG.replace("*/6", "*/8"))
    assert cron.schedule("show") == 0
    told = capsys.readouterr().out
    assert told.index("*/6") < told.index("would be installed:") < told.index("*/8")
    assert cron.writes == 1


def test_each_configuration_has_its_own_block(cron: Cron) -> None:
    other = cron.config.with_name("other.toml")
    other.write_text(CONFIG)
    assert cron.schedule("install") == 0
    first = cron.content
    assert main(["schedule", "install", "--config", str(other)]) == 0
    assert cron.content.startswith(first)
    assert cron.schedule("remove") == 0
    assert cron.content.count(b"# BEGIN holdfast") == 1
    assert str(other).encode() in cron.content


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("schedule =", "# "), "no [training.NAME] has a schedule"),
        (('"0 */6 * * mon-fri"', '"0 3 L * *"'), "cron does not know what training.als.schedule says, '0 3 L * *'"),
    ],
    ids=["none", "more-than-cron-knows"],
)
def test_what_cannot_be_installed_is_said(cron: Cron, capsys: pytest.CaptureFixture[str], change: tuple[str, str], problem: str) -> None:
    cron.config.write_text(CONFIG.replace(*change))
    assert cron.schedule("install") == 1
    assert problem in capsys.readouterr().err
    assert cron.writes == 0


def test_without_a_crontab_program_it_says_what_there_is_instead(
    cron: Cron, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(cron.store))
    for word in ("install", "show", "remove"):
        assert cron.schedule(word) == 1
        told = capsys.readouterr().err
        assert "there is no crontab program here" in told
        assert "deploy/systemd has a timer" in told


def test_a_crontab_that_cannot_be_written_is_said(cron: Cron, capsys: pytest.CaptureFixture[str]) -> None:
    (cron.bin / "content.full").touch()
    assert cron.schedule("install") == 1
    assert "crontab -: disk full" in capsys.readouterr().err


def test_a_block_without_an_end_is_left_alone(cron: Cron, capsys: pytest.CaptureFixture[str]) -> None:
    assert cron.schedule("install") == 0
    cron.content = broken = cron.content.replace(b"# END", b"# ")
    for word in ("install", "show", "remove"):
        assert cron.schedule(word) == 1
        assert "mend it with crontab -e" in capsys.readouterr().err
    assert cron.content == broken


def test_without_a_file_there_is_nothing_that_cron_could_know(
    cron: Cron, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cron.bin)
    with pytest.raises(SystemExit) as left:
        main(["schedule", "install"])
    assert left.value.code == 2
    assert "no configuration file" in capsys.readouterr().err
    monkeypatch.setenv("HOLDFAST_STORE_PATH", str(cron.store))
    assert cron.schedule("install", "--set", "training.als.seed=7") == 0
    told = capsys.readouterr().err
    assert "cron does not know what stands in no file: put store.path, training.als.seed into" in told
    assert "HOLDFAST_ADMIN" not in told


@pytest.mark.parametrize(
    ("schedule", "times"),
    [
        ("0 3 * * *", "0 3 * * *"),
        ("*/5 1,2-4 * jan,Jul sun", "*/5 1,2-4 * 1,7 0"),
        ("1/2 2/3 4/5 6/7 1/2", "1-59/2 2-23/3 4-31/5 6-12/7 1-7/2"),
        ("1-30/2 * * * 7", "1-30/2 * * * 7"),
        ("0 3 L * *", None),
        ("0 3 LW * *", None),
        ("0 3 * * mon#2", None),
        ("0 3 * * 5L", None),
    ],
)
def test_times_are_written_as_every_cron_reads_them(schedule: str, times: str | None) -> None:
    assert times_of(schedule) == times


def test_what_no_line_can_hold() -> None:
    with pytest.raises(CrontabError, match="no line"):
        command_line(["two\nlines"], log="log")
    with pytest.raises(CrontabError, match="no line"):
        Block("two\nlines")
    with pytest.raises(CrontabError, match=f"holds {LONGEST_LINE} characters"):
        Block("a").put(b"", ["x" * (LONGEST_LINE + 1)])
