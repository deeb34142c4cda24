"""tqdm, inside implicit, makes a semaphore shared between processes at its first bar and keeps it: a plain lock leaves nothing."""

from __future__ import annotations

import threading

from tqdm import tqdm

tqdm.set_lock(threading.RLock())
