"""Secrets that lie in files of their own: mounted secrets and systemd credentials.

Covers: the admin token, the password of the database. Does not cover: where else they are given (`config.load`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from config.errors import Problem
from config.schema import DataSettings, ServerSettings

TOKEN_CREDENTIAL = "admin-token"  # noqa: S105 - its name
PASSWORD_CREDENTIAL = "database-password"  # noqa: S105 - its name
"""Names of the systemd credentials that hold them."""
MAX_SECRET_BYTES = 4096
_POSTGRES = re.compile(r"(?P<scheme>postgres(?:ql)?://)(?:(?P<who>[^/?#]*)@)?(?P<rest>.*)", re.DOTALL)
_PARAMETER = re.compile(r"[?&]password=")


class Merge(Protocol):
    """What was given, and how strongly: see `config.load`."""

    problems: list[Problem]
    rank: dict[tuple[str, str, str], int]

    def complain(self, section: str, model: str, key: str, message: str) -> None:
        """A problem of a value, named where it was given, or by its key where it was not."""
        ...


def with_admin_token(merge: Merge, server: ServerSettings, environ: Mapping[str, str]) -> ServerSettings:
    """The token itself: as given, else from the file that the stronger layer names, else the systemd credential."""
    token_rank = merge.rank.get(("server", "", "admin_token"), 0)
    file_rank = merge.rank.get(("server", "", "admin_token_file"), 0)
    token = server.admin_token.strip()
    if server.admin_token_file and (not token or file_rank > token_rank):
        token = _read(merge, "server", "admin_token_file", Path(server.admin_token_file))
    elif not token:
        token = _credential(merge, "server", "admin_token_file", TOKEN_CREDENTIAL, environ)
    if token and not re.fullmatch(r"[!-~]+", token):
        merge.complain("server", "", "admin_token", "must be printable ASCII without spaces, or no header can carry it")
    return dataclasses.replace(server, admin_token=token)


def with_database_password(merge: Merge, data: DataSettings, environ: Mapping[str, str]) -> DataSettings:
    """The address with the password of the file that is named, else, where it has none, of the systemd credential."""
    found = _POSTGRES.fullmatch(data.url)
    has_one = found is not None and (":" in (found["who"] or "") or _PARAMETER.search(found["rest"]) is not None)
    if data.password_file:
        if found is None:
            merge.complain("data", "", "password_file", "only a postgresql:// url takes a password")
            return data
        if has_one:
            merge.complain("data", "", "password_file", "the url holds a password already: take it out of there")
            return data
        password = _read(merge, "data", "password_file", Path(data.password_file))
    elif found is not None and not has_one:
        password = _credential(merge, "data", "password_file", PASSWORD_CREDENTIAL, environ)
    else:
        return data
    if found is None or not password:
        return data
    return dataclasses.replace(
        data, url=f"{found['scheme']}{found['who'] or ''}:{quote(password, safe='', errors='surrogateescape')}@{found['rest']}"
    )


def _credential(merge: Merge, section: str, key: str, name: str, environ: Mapping[str, str]) -> str:
    folder = environ.get("CREDENTIALS_DIRECTORY")
    return _read(merge, section, key, Path(folder) / name, is_optional=True) if folder else ""


def _read(merge: Merge, section: str, key: str, path: Path, *, is_optional: bool = False) -> str:
    """What a file holds, without white space around it."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        if is_optional and isinstance(error, FileNotFoundError):
            return ""
        merge.complain(section, "", key, f"{path} cannot be read: {error.strerror}")
        return ""
    if len(content) > MAX_SECRET_BYTES:
        merge.complain(section, "", key, f"{path} holds no secret: longer than {MAX_SECRET_BYTES} bytes")
        return ""
    return content.decode("utf-8", "surrogateescape").strip()
