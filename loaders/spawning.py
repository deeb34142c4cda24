"""The moment in which a child is being started, which other threads may have to wait out.

Between fork and exec a new process holds every descriptor of this one, those that exec closes too. A segment that is
sealed in that moment would seem to have another writer.
"""

from __future__ import annotations

import threading

SPAWNING = threading.Lock()
"""Held while a process is started, and by whoever asks the kernel who else holds a descriptor: briefly, for it stops the loop."""
