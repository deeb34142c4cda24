"""Which algorithms are there? TRAINERS is the table: one file each. Adding one is adding a file and a line here;
`tests/contracts/test_trainers.py` then trains it on every kind of data and serves what comes out.

This module itself imports nothing, so that the configuration can be checked against the names.
"""

from __future__ import annotations

TRAINERS: dict[str, str] = {
    "als": "training.trainers.als:TRAINER",
    "bpr": "training.trainers.bpr:TRAINER",
    "ease": "training.trainers.ease:TRAINER",
    "nmf": "training.trainers.nmf:TRAINER",
    "svd": "training.trainers.svd:TRAINER",
    "popular": "training.trainers.popular:TRAINER",
    "content": "training.trainers.content:TRAINER",
    "features": "training.trainers.features:TRAINER",
    "hybrid": "training.trainers.hybrid:TRAINER",
}
"""Algorithm -> "module:object", imported on use; see `training.trainers.base.Trainer`."""
