"""Everything else becomes an inert record: nothing is imported, nothing is called, nothing is lost."""

from __future__ import annotations

import datetime
import decimal
import json
import pickle
import re
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from loaders.errors import CorruptArtifact, UnknownFormat
from models.records import Record, classes_seen, is_record, record_class, summarise
from tests.support import run_python

from . import shapes
from .reading import read_dripping, read_file

PROTOCOLS = [2, 3, 4, 5]
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def read(value: Any, protocol: int) -> Any:
    return read_file(pickle.dumps(value, protocol)).root


@every_protocol
def test_attributes(protocol: int) -> None:
    value = shapes.Plain(numbers=[1, 2], inner=shapes.Plain(name="x"))
    for root in (read(value, protocol), read_dripping(pickle.dumps(value, protocol))):
        assert isinstance(root, Record)
        assert root.class_name == f"{shapes.__name__}.Plain"
        assert root.attributes["numbers"] == [1, 2]
        assert root.attributes["inner"].attributes == {"name": "x"}
        assert type(root) is type(root.attributes["inner"])


@every_protocol
def test_slots_and_dict(protocol: int) -> None:
    both = shapes.SlottedWithDict(1, 2)
    both.more = 3  # type: ignore[attr-defined]
    assert read(shapes.Slotted("a", "b"), protocol).attributes == {"left": "a", "right": "b"}
    assert read(both, protocol).attributes == {"left": 1, "right": 2, "more": 3}


def test_a_summary_is_short_whatever_names_are_long() -> None:
    rows = summarise(read({"x" * 1_000_000: {"y" * 1_000_000: {}}}, 4))
    assert [row["name"] for row in rows] == ["", "x" * 80, "x" * 80 + "." + "y" * 80]


@every_protocol
def test_own_state_and_arguments(protocol: int) -> None:
    own = read(shapes.OwnState(), protocol)
    assert own.state == (7, "seven") and own.attributes == {}
    keyworded = read(shapes.Keyworded(), protocol)
    if protocol >= 4:
        assert (keyworded.args, keyworded.kwargs) == ((1, 2), {"three": 3})
    else:
        assert is_record(keyworded, "call")  # of a functools.partial over __new__


@every_protocol
def test_what_a_bound_method_made(protocol: int) -> None:
    root = read({"made": shapes.MadeByMethod(3), "behind": 1}, protocol)
    method, number = root["made"].args
    assert (method.name, method.args[1], number, root["behind"]) == ("getattr", "make", 3, 1)


@every_protocol
def test_containers_that_are_classes_of_their_own(protocol: int) -> None:
    assert read(shapes.Rows([1, 2]), protocol).values == [1, 2]
    assert read(deque([1, 2, 3]), protocol).class_name == "collections.deque"
    assert read(shapes.Table({"a": 1, "b": 2}), protocol).pairs == [("a", 1), ("b", 2)]
    assert sorted(read(shapes.Bag([3, 4]), protocol).args[0]) == [3, 4]
    assert read(shapes.Name("x"), protocol).args == ("x",)
    assert read(shapes.Point(3, 4), protocol).args == (3, 4)
    assert read(shapes.Colour.RED, protocol).args == ("red",)
    assert read(decimal.Decimal("1.5"), protocol).args == ("1.5",)
    assert read(datetime.date(2026, 3, 4), protocol).args[0] == b"\x07\xea\x03\x04"


@every_protocol
def test_functions_and_classes_as_values_are_names(protocol: int) -> None:
    root = read({"f": json.loads, "c": shapes.Plain, "p": re.compile("a+")}, protocol)
    assert (root["f"].module, root["f"].name) == ("json", "loads")
    assert root["c"].name == "Plain"
    assert is_record(root["p"], "_compile") and root["p"].args[0] == "a+"
    assert read([shapes.Plain], protocol)[0].name == "Plain"
    with pytest.raises(UnknownFormat, match="is a class"):
        read(shapes.Plain, protocol)


@every_protocol
def test_reduce_is_not_called(protocol: int, tmp_path: Path) -> None:
    root = read({"model": shapes.Caller(f"touch {tmp_path / 'ran'}")}, protocol)
    assert root["model"].class_name == "posix.system"
    assert root["model"].args == (f"touch {tmp_path / 'ran'}",)
    assert not list(tmp_path.iterdir())


@every_protocol
def test_a_model_in_words(protocol: int) -> None:
    rows = summarise(read({"model": shapes.Plain(weights=[1.0], inner=shapes.Slotted(1, 2)), 7: "not named", "n": None}, protocol))
    assert [row["name"] for row in rows] == ["", "model", "model.inner", "n"]
    assert classes_seen(rows) == [f"{shapes.__name__}.Plain", f"{shapes.__name__}.Slotted"]


def test_records_of_one_class_share_a_type() -> None:
    first, second = read_file(pickle.dumps([shapes.Plain(), shapes.Plain()], 4)).root
    assert type(first) is type(second)
    assert not is_record(first, "Other") and not is_record(7, "Plain")
    assert is_record(record_class("a", "Outer.Inner")(), "Inner")


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04Q.",  # BINPERSID with nothing below
        b"\x80\x04K\x01Q.",
        b"\x80\x05\x97.",  # NEXT_BUFFER without a payload
        b"\x80\x02P1\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93.",
        b"\x80\x04h\x07.",
        b"\x80\x04].."[:3],
        b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x05\0\0\0utf-8\x86R.",
        b"\x80\x02ccopyreg\n_reconstructor\n(K\x01K\x02NtR.",
        b"\x80\x02ccopyreg\n__newobj__\nK\x01\x85R.",
        b"\x80\x82\x01.",  # an extension code
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x80\x02X\xff\xff\xff\x7fa.",
        b"\x80\x02\x8b\xff\xff\xff\xff.",  # LONG4 of a negative length
        b"\x80\x02]" * 2 + b"\xff.",
    ],
)
def test_what_no_pickler_writes(data: bytes) -> None:
    with pytest.raises((CorruptArtifact, UnknownFormat)):
        read_file(data)


READ_AND_LIST_IMPORTS = """
import os, sys, json
from loaders.formats import read_artifact
from loaders.segment_writer import ArtifactMap, SegmentWriter
from models.packing import pack, PackError
from models.records import summarise
import loaders.formats.feed, loaders.formats.npz, loaders.formats.pickle, lz4.frame, models.factors.pack
before = set(sys.modules)
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDONLY)
    writer = SegmentWriter(os.memfd_create("segment"), 64 << 20)
    tree = read_artifact(fd, writer, ArtifactMap(fd).adopt, lambda n: None, lambda s: None)
    summarise(tree.root)
    print(path, tree.format, file=sys.stderr)
heavy = [name for name in sys.modules if name.partition(".")[0] in ("sklearn", "implicit", "scipy", "pandas", "joblib")]
print(json.dumps([sorted(set(sys.modules) - before), heavy]))
"""


def test_reading_imports_nothing(tmp_path: Path) -> None:
    import joblib
    import numpy as np
    import pandas as pd
    import scipy.sparse
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.feature_extraction.text import TfidfVectorizer

    from tests.artifacts.recommenders import bare_als

    forest = RandomForestClassifier(5, random_state=0).fit(np.eye(8), [0, 1] * 4)
    frame = pd.DataFrame({"item_id": [1, 2], "name": ["a", "b"], "at": pd.to_datetime(["2026-01-01", "2026-01-02"])})
    value = {
        "als": bare_als(),
        "forest": forest,
        "words": TfidfVectorizer().fit(["a bb ccc", "bb dd"]),
        "sparse": scipy.sparse.eye(5, format="csr"),
        "frame": frame,
        "series": frame["name"].astype("category"),
        "random": np.random.default_rng(1),
        "state": np.random.RandomState(1),
        "masked": np.ma.masked_array([1, 2], [True, False]),
        "partial": datetime.UTC,
    }
    paths = []
    for protocol in PROTOCOLS:
        paths.append(tmp_path / f"p{protocol}")
        paths[-1].write_bytes(pickle.dumps(value, protocol))
    for name, compress in (("raw", 0), ("lz4", "lz4"), ("xz", "xz")):
        paths.append(tmp_path / name)
        joblib.dump(value, str(paths[-1]), compress=compress)
    done = run_python(READ_AND_LIST_IMPORTS, *map(str, paths))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], []]
    root = read_file(paths[2].read_bytes()).root
    assert [root[key].name for key in ("als", "forest", "words", "sparse")] == [
        "AlternatingLeastSquares",
        "RandomForestClassifier",
        "TfidfVectorizer",
        "csr_matrix",
    ]
    assert root["forest"].attributes["estimators_"][0].attributes["tree_"].attributes["nodes"].values.dtype.names[0] == "left_child"
