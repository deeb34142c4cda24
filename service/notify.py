"""The systemd notification protocol (sd_notify): one datagram a message to $NOTIFY_SOCKET.

Covers: sending, and the watchdog's interval. Without the variable nothing is sent. Does not cover: when (`service.server`).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Tells systemd how the service is. Sending never blocks: a full or vanished socket loses the message."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self.watchdog_s = _watchdog_s(environ)

    @property
    def is_listening(self) -> bool:
        """Whether anybody asked to be told."""
        return bool(self._address)

    def send(self, **fields: object) -> bool:
        """Send e.g. `READY=1`; whether it was handed over."""
        if not self.is_listening:
            return False
        message = "\n".join(f"{name}={value}" for name, value in fields.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)
            try:
                sender.sendto(message.encode(), self._address)
            except OSError:  # systemd restarts what misses its watchdog; a lost status line is no reason to fail
                return False
        return True


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Seconds within which systemd expects WATCHDOG=1, or None when it does not watch this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        interval_us = int(environ.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return interval_us / 1e6 if interval_us > 0 else None
