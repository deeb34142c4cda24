"""The half of a Google Drive download that blocks: gdown on a thread, watched over.

Covers: where gdown may write, resuming only the revision that was begun, limits, what its errors mean. Does not cover:
the clocks, and what Drive would send (`loaders.sources.gdrive`).
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loaders.errors import FetchStalled, LoadError, SourceUnavailable

from .base import Limits
from .checks import SNIFFED_BYTES, check_room, check_size, check_start, check_whole, store_errors
from .client import CONNECT_TIMEOUT_S, ca_bundle, status_failure
from .drive_pages import refusal_of_text
from .partial import discard, forget_validator, read_partial, validator_path, write_validator

_OUTPUT = "artifact"
# gdown finds the one file named like its output, 8 characters more, and .part.
_RESUMED = f"{_OUTPUT}00000000.part"


class _Ended(Exception):
    """Nobody waits for the download any more."""


@dataclass(frozen=True, slots=True)
class DriveDownload:
    """One download. `token` is the validator of what Drive sends now, or "" if nothing may be resumed by it."""

    id: str
    shown: str
    into: Path
    token: str
    total: int | None
    limits: Limits
    on_bytes: Callable[[int, int | None], None]
    """Called on the download's thread."""

    def run(self, cancelled: threading.Event) -> tuple[str, int, bool]:
        """Fetch the file to `into`, not yet durable: (sha256, size, whether it was resumed). Raises LoadError; _Ended when cancelled."""
        folder = self.into.with_name(self.into.name + ".gdown")
        with store_errors(self.into):
            offset = self._prepare(folder)
        try:
            digest = self._download(folder, offset, cancelled)
            with store_errors(self.into):
                (folder / _OUTPUT).replace(self.into)
        except BaseException:
            with store_errors(self.into):
                _reclaim(folder, self.into)
            raise
        with store_errors(self.into):
            _reclaim(folder, self.into)
            with self.into.open("rb") as file:
                start = file.read(SNIFFED_BYTES)
                size = os.fstat(file.fileno()).st_size
        check_start(start, self.shown)
        check_whole(size, self.total, self.shown)
        return digest.hexdigest(), size, offset > 0

    def _prepare(self, folder: Path) -> int:
        """Lay out gdown's folder; the bytes that it can go on from. Raises OSError, DiskFull."""
        _reclaim(folder, self.into)  # of a process that was killed
        partial = read_partial(self.into, self.shown)
        resumes = partial is not None and partial.token == self.token
        offset = partial.size if partial is not None and resumes else 0
        if self.total is not None:
            check_room(self.total - offset, self.into.parent)
        folder.mkdir(mode=0o700)
        if offset:
            os.truncate(self.into, offset)
            self.into.replace(folder / _RESUMED)
        else:
            discard(self.into)
            if self.token:
                write_validator(self.into, self.shown, self.token, self.total)
        return offset

    def _download(self, folder: Path, offset: int, cancelled: threading.Event) -> _WatchedDigest:
        import gdown
        import requests

        def on_chunk(done: int, total: int | None) -> None:
            check_size(max(done, total or 0), self.limits, self.shown)
            self.on_bytes(done, total)

        self.on_bytes(offset, self.total)
        digest = _WatchedDigest(cancelled)
        bundle = ca_bundle()
        try:
            gdown.download(
                id=self.id,
                output=str(folder / _OUTPUT),
                quiet=True,
                use_cookies=False,
                verify=True if bundle is None else str(bundle),
                resume=offset > 0,
                progress=on_chunk,
                hasher=digest,  # type: ignore[arg-type, unused-ignore]
                timeout=(min(CONNECT_TIMEOUT_S, self.limits.stall_timeout_s), self.limits.stall_timeout_s),
                cancel=cancelled,
            )
        except (LoadError, _Ended):
            raise
        except gdown.exceptions.DownloadCancelled as error:
            raise _Ended from error
        except gdown.exceptions.FileURLRetrievalError as error:
            raise refusal_of_text(str(error), self.shown) from error
        except gdown.exceptions.DownloadError as error:
            if not str(error).startswith("Download is incomplete"):
                with store_errors(self.into):
                    forget_validator(self.into)  # what was begun cannot be gone on with
            raise SourceUnavailable(f"{self.shown}: {str(error).partition('.' + chr(10))[0]}") from error
        except requests.exceptions.HTTPError as error:
            answer = error.response
            if answer is None:
                raise SourceUnavailable(f"{self.shown}: {error}") from error
            raise status_failure(answer.status_code, answer.reason, self.shown, answer.headers.get("Retry-After")) from error
        except requests.exceptions.RequestException as error:
            if isinstance(error, requests.exceptions.Timeout) or "timed out" in str(error):
                raise FetchStalled(f"{self.shown}: no byte for {self.limits.stall_timeout_s:g} s") from error
            raise SourceUnavailable(f"{self.shown}: {type(error).__name__}: the connection to Google Drive failed or was cut") from error
        except OSError as error:
            with store_errors(self.into):
                raise error
        except (AssertionError, AttributeError, KeyError, ValueError) as error:
            # An answer that gdown does not expect: no content type, a form without an action, a date that is none.
            raise SourceUnavailable(f"{self.shown}: an answer that gdown does not understand ({type(error).__name__})") from error
        return digest


class _WatchedDigest:
    """A SHA-256 that gdown feeds, also with what it resumes: there, gigabytes pass without a look at its `cancel`."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._digest = hashlib.sha256()
        self._cancelled = cancelled

    def update(self, block: bytes) -> None:
        if self._cancelled.is_set():
            raise _Ended
        self._digest.update(block)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _reclaim(folder: Path, into: Path) -> None:
    """Take back what gdown received, if it can be resumed, and remove its folder. Raises OSError."""
    with suppress(FileNotFoundError):
        for left in sorted(folder.iterdir()):
            if left.suffix == ".part" and validator_path(into).exists():
                left.replace(into)
            else:
                left.unlink()
        folder.rmdir()
