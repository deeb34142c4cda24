"""The crontab of the user, and the one block in it that is this program's: what stands around it is kept byte for byte.

Covers: reading and writing it by `crontab`, the block, lines that cron and the shell read as they are meant. Does not cover: which lines
there are (`service.commands.schedule`). Source: crontab(1), crontab(5) of Debian's cron: `%` ends a command, a line holds 998 characters.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Sequence

LONGEST_LINE = 998
_TIMEOUT_S = 30.0
_NAMES = {
    3: dict(zip(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], range(1, 13), strict=True)),
    4: dict(zip(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"], range(7), strict=True)),
}
_LAST = (59, 23, 31, 12, 7)
_TERM = re.compile(r"(?:\*|(?P<first>\d+)(?:-(?P<last>\d+))?)(?:/(?P<step>\d+))?")


class CrontabError(Exception):
    """The crontab cannot be read, written or understood; the message says why."""


def read() -> bytes:
    """The crontab of this user; empty where there is none. Raises CrontabError."""
    done = _run(["-l"])
    if done.returncode != 0:
        if b"no crontab for" in done.stderr.lower():
            return b""
        raise CrontabError(f"crontab -l: {_words(done)}")
    return done.stdout


def write(content: bytes) -> None:
    """Replace the crontab of this user. Raises CrontabError."""
    done = _run(["-"], content)
    if done.returncode != 0:
        raise CrontabError(f"crontab -: {_words(done)}")


def _run(arguments: Sequence[str], given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        environment = {**os.environ, "LC_ALL": "C"}
        return subprocess.run(["crontab", *arguments], input=given, capture_output=True, check=False, timeout=_TIMEOUT_S, env=environment)
    except FileNotFoundError as error:
        raise CrontabError(
            "there is no crontab program here (Debian: apt-get install cron); a server keeps the schedules itself,"
            " and deploy/systemd has a timer"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CrontabError(f"crontab: {error}") from error


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode(errors="replace").strip() or f"it ended with {done.returncode}"


def command_line(words: Iterable[str], *, log: str) -> str:
    """A command as it stands in a crontab, its output appended to a file. Raises CrontabError for what no line can hold."""
    line = f"{shlex.join(words)} >> {shlex.quote(log)} 2>&1"
    if not line.isprintable():
        raise CrontabError(f"no line of a crontab can hold {line!r}")
    return line.replace("%", r"\%")


def times_of(schedule: str) -> str | None:
    """A cron expression as every cron reads it, without names and open steps; None where no cron knows what it says (`L`, `#`)."""
    fields = [_field(at, text) for at, text in enumerate(schedule.upper().split())]
    return None if None in fields else " ".join(field for field in fields if field is not None)


def _field(at: int, text: str) -> str | None:
    plain = re.sub(r"[A-Z]{3}", lambda found: str(_NAMES.get(at, {}).get(found[0], found[0])), text)
    terms = []
    for term in plain.split(","):
        found = _TERM.fullmatch(term)
        if found is None:
            return None
        is_open = found["step"] and found["first"] and not found["last"]
        terms.append(f"{found['first']}-{_LAST[at]}/{found['step']}" if is_open else term)
    return ",".join(terms)


class Block:
    """The lines between two markers that name the configuration, so that each configuration has its own."""

    def __init__(self, owner: str) -> None:
        if not owner.isprintable():
            raise CrontabError(f"no line of a crontab can hold {owner!r}")
        self._begin = f"# BEGIN holdfast schedule {owner}"
        self._end = f"# END holdfast schedule {owner}"

    def lines_in(self, content: bytes) -> list[str] | None:
        """What stands in the block; None where there is none. Raises CrontabError for one without an end."""
        found = self._found(content)
        return None if found is None else content[found[0] : found[1]].decode(errors="replace").splitlines()[1:-1]

    def put(self, content: bytes, lines: Sequence[str]) -> bytes:
        """The crontab with these lines in the block, at its place or at the end. Raises CrontabError."""
        too_long = next((line for line in lines if len(line.encode()) > LONGEST_LINE), None)
        if too_long is not None:
            raise CrontabError(f"a line of a crontab holds {LONGEST_LINE} characters, and this is longer: {too_long}")
        block = "".join(f"{line}\n" for line in (self._begin, *lines, self._end)).encode()
        found = self._found(content)
        if found is None:
            return content + (b"" if content.endswith(b"\n") or not content else b"\n") + block
        return content[: found[0]] + block + content[found[1] :]

    def without(self, content: bytes) -> bytes:
        """The crontab without the block. Raises CrontabError."""
        found = self._found(content)
        return content if found is None else content[: found[0]] + content[found[1] :]

    def _found(self, content: bytes) -> tuple[int, int] | None:
        begin = self._line(self._begin, content, 0)
        if begin is None:
            return None
        end = self._line(self._end, content, begin[1])
        if end is None:
            raise CrontabError(f"the crontab has {self._begin!r} and no line {self._end!r} after it: mend it with crontab -e")
        return begin[0], end[1]

    def _line(self, marker: str, content: bytes, start: int) -> tuple[int, int] | None:
        found = re.compile(rb"^" + re.escape(marker.encode()) + rb"[ \t]*(?:\n|\Z)", re.MULTILINE).search(content, start)
        return None if found is None else found.span()
