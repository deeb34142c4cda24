"""Versions to publish, small and whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from loaders.bundle_file import write_bundle_file
from loaders.published import MODEL_FILE, PublishedVersion
from models.bundle import Bundle
from tests.unit.models.building import factors_bundle
from training.versions.publish import publish, stage_folder, write_record

TRAINING = "als"


def name_of(number: int) -> str:
    """The name of the version of a number: the greater, the newer."""
    return f"20260101T{number:06d}-{number:06x}"


def bundle_of(number: int) -> Bundle:
    """A model that answers as `als` does, another one for each number."""
    rng = np.random.default_rng(number)
    made = factors_bundle(rng.random((4, 3)).astype("f4"), rng.random((9, 3)).astype("f4"), rng.random((4, 9)) < 0.3)
    told = {"algorithm": "als", "trained_at": "2026-01-01T00:00:00Z"}
    return replace(made, details={"users": 4, "items": 9, "number": number, **told})


def record_of(number: int, size: int, sha256: str, training: str = TRAINING) -> PublishedVersion:
    return PublishedVersion(
        version=name_of(number),
        training=training,
        algorithm="als",
        family="factors",
        trained_at=1_700_000_000.0 + number,
        published_at=1_700_000_001.0 + number,
        bytes=size,
        sha256=sha256,
        code_version="0",
        seconds=1.0,
        peak_bytes=1,
        split="time",
        cut_at=1_600_000_000.0,
        metrics={"ndcg@10": 0.5},
    )


def staged(store: Path, number: int, training: str = TRAINING, bundle: Bundle | None = None) -> Path:
    """The staging folder of a version, whole."""
    folder = stage_folder(store, training, name_of(number))
    size, sha256 = write_bundle_file(folder / MODEL_FILE, bundle or bundle_of(number))
    write_record(folder, record_of(number, size, sha256, training))
    return folder


def published(store: Path, number: int, keep_versions: int = 5, training: str = TRAINING, bundle: Bundle | None = None) -> PublishedVersion:
    """The version of a number, published."""
    return publish(store, training, staged(store, number, training, bundle), keep_versions)
