"""Which algorithms are there? TRAINERS is the table: one file each. Adding one is adding a file and a line here;
`tests/contracts/test_trainers.py` then trains it on every kind of data and serves what comes out.

This module itself imports nothing that computes, so that the configuration can be checked against the names.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.trainers.base import Trainer

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


def open_trainer(algorithm: str) -> Trainer:
    """The trainer of this name. Raises KeyError for a name that is not in the table."""
    module, _, name = TRAINERS[algorithm].partition(":")
    trainer: Trainer = getattr(import_module(module), name)
    return trainer
