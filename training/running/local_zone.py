"""The time zone that this host keeps, with its past and future changes of the clocks.

Covers: what `TZ` or /etc/localtime say, as a tzinfo. Does not cover: other zones (`zoneinfo`). `datetime.astimezone()` gives the offset
of one moment only, and a name for `zoneinfo` is not to be had from every host: so the C library is asked, as `datetime` itself does.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


class LocalZone(tzinfo):
    """Wall clocks of this host. Source: PEP 495, of times that come twice (`fold`) or never."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        if dt is None:
            return None
        wall = dt.replace(tzinfo=None)
        return wall - datetime.fromtimestamp(wall.timestamp(), UTC).replace(tzinfo=None)

    def dst(self, dt: datetime | None) -> timedelta | None:
        return None  # not known: only the whole offset is

    def tzname(self, dt: datetime | None) -> str | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime) -> datetime:
        return datetime.fromtimestamp(dt.replace(tzinfo=UTC).timestamp()).replace(tzinfo=self)
