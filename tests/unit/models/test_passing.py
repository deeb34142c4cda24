"""A bundle file is passed through whole, or refused by name."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loaders.bundle_file import write_bundle_file
from loaders.formats import read_artifact
from loaders.formats.safetensors import Entry, render
from loaders.segment import HEADER
from loaders.segment_writer import ArtifactMap, SegmentWriter
from models import FAMILIES
from models.bundle import Bundle
from models.packing import PackError, pack

ARRAYS = {"a": np.arange(6, dtype="f4").reshape(2, 3), "turned": np.asfortranarray(np.arange(8.0).reshape(2, 4)), "none": np.empty(0, "i8")}
NOTE: dict[str, Any] = {"family": "factors", "meta": {"m": 1}, "details": {"trained_at": "2026"}, "adopted": {}, "transposed": []}


def tree_of(path: Path) -> Any:
    fd, segment = os.open(path, os.O_RDONLY), os.memfd_create("segment")
    try:
        artifact = ArtifactMap(fd)
        return read_artifact(fd, SegmentWriter(segment, 1 << 20), artifact.adopt, lambda nbytes: None, lambda stream: None).root
    finally:
        os.close(segment)
        os.close(fd)


def tree_with(note: Any, path: Path) -> Any:
    text = note if isinstance(note, str) else json.dumps(note)
    path.write_bytes(render([Entry("a", np.dtype("u1"), (4,), HEADER, 4)], {"holdfast": text}, HEADER) + b"abcd")
    return tree_of(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("family", ["auto", "factors"])
def test_what_is_passed_through_is_what_was_written(path: Path, family: str) -> None:
    write_bundle_file(path, Bundle("factors", ARRAYS, {"m": 1}, {"trained_at": "2026"}))
    bundle, reason = pack(tree_of(path), family)
    assert (bundle.family, bundle.meta, bundle.details, bundle.is_checked) == ("factors", {"m": 1}, {"trained_at": "2026"}, False)
    assert reason == "a bundle of family factors"
    assert sorted(bundle.arrays) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(bundle.arrays[name], array)


def test_a_tensor_called_is_trained_means_nothing(path: Path) -> None:
    write_bundle_file(path, Bundle("factors", {"is_trained": np.array(False)}))
    assert pack(tree_of(path))[0].family == "factors"


def test_another_family_is_configured(path: Path) -> None:
    with pytest.raises(PackError, match="family 'trees' does not take this artifact: a bundle of family factors") as caught:
        pack(tree_with(NOTE, path), "trees")
    assert caught.value.type == "unknown_format"


def test_a_file_without_a_note_is_packed_as_any_other(path: Path) -> None:
    path.write_bytes(render([Entry("a", np.dtype("u1"), (4,), 256, 4)], {"format": "pt"}, 256) + b"abcd")
    with pytest.raises(PackError, match="no family takes this artifact"):
        pack(tree_of(path))


def nested(levels: int) -> dict[str, Any]:
    return {"x": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("note", "words"),
    [
        ("{", "cannot be read"),
        ("[1]", "cannot be read"),
        ("[" * 60_000, "cannot be read"),
        ({"family": "factors"}, "cannot be read: 'meta'"),
        ({**NOTE, "meta": []}, "malformed"),
        ({**NOTE, "details": None}, "malformed"),
        ({**NOTE, "transposed": {}}, "malformed"),
        ({**NOTE, "details": nested(9)}, "too deeply"),
        ({**NOTE, "family": "spells"}, "it is of family 'spells'"),
        ({**NOTE, "family": ["factors"]}, "it is of family"),
        ({**NOTE, "family": "hosted"}, "it is of family 'hosted'"),
        ({**NOTE, "adopted": {"b": {"offset": 0, "dtype": "U8", "shape": [4]}}}, "in another file"),
        ({**NOTE, "transposed": ["b"]}, "no array 'b' to transpose"),
        ({**NOTE, "transposed": [1]}, "no array '1' to transpose"),
    ],
    ids=lambda given: str(given)[:60],
)
def test_a_note_that_is_none(path: Path, note: Any, words: str) -> None:
    with pytest.raises(PackError, match=f"says so: .*({words})") as caught:
        pack(tree_with(note, path))
    assert caught.value.type == "corrupt_artifact"


def test_every_family_but_the_hosted_one_passes(path: Path) -> None:
    for family in set(FAMILIES) - {"hosted"}:
        assert pack(tree_with({**NOTE, "family": family}, path))[0].family == family
