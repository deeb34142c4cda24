"""Plain Python values come out of a pickle as they went in: every protocol, in any pieces, above and below 64 KiB."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .reading import BIG, MemorySink, canonical, read_dripping, read_file

PROTOCOLS = [2, 3, 4, 5]
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**2100), 2**2100)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
)
hashables = st.recursive(scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=6)
values = st.recursive(
    scalars | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(hashables, inner, max_size=5)
        | st.sets(hashables, max_size=5)
        | st.frozensets(hashables, max_size=5)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(value=values)
def test_plain_values(protocol: int, value: Any) -> None:
    data = pickle.dumps(value, protocol)
    assert canonical(read_file(data).root) == canonical(value)
    assert canonical(read_dripping(data)) == canonical(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(count=st.sampled_from([BIG - 1, BIG, BIG + 1, 300_000]), head=st.text(max_size=8), tail=st.text(max_size=8))
@settings(max_examples=15, deadline=None)
def test_long_strings(protocol: int, count: int, head: str, tail: str) -> None:
    for filling in ("a", "\xe9", "\u0142", "\U0001f30b"):
        value = {"text": head + filling * count + tail, "after": 7}
        assert canonical(read_file(pickle.dumps(value, protocol)).root) == canonical(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", [0, 255, 256, BIG - 1, BIG, 300_001])
def test_bytes_of_every_length(protocol: int, size: int) -> None:
    raw = bytes(range(256)) * (size // 256 + 1)
    value = [raw[:size], bytearray(raw[:size]), 1]
    assert canonical(read_file(pickle.dumps(value, protocol)).root) == canonical(value)
    assert canonical(read_dripping(pickle.dumps(value, protocol), is_sized=True)) == canonical(value)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_long_bytes_go_straight_to_the_sink(protocol: int) -> None:
    sink = MemorySink()
    tree = read_file(pickle.dumps([b"x" * (BIG - 1), b"y" * BIG, b"z" * 200_000], protocol), sink)
    assert sink.taken == [BIG, 200_000]
    assert tree.plain_bytes < BIG + 200


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_shared_stays_shared(protocol: int) -> None:
    inner = [b"x" * BIG, "text"]
    root = read_file(pickle.dumps([inner, inner, {"again": inner}], protocol)).root
    assert root[0] is root[1] is root[2]["again"]
    circle: list[Any] = []
    circle.append(circle)
    root = read_file(pickle.dumps(circle, protocol)).root
    assert root[0] is root


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_dicts_of_the_standard_library_are_their_items(protocol: int) -> None:
    grouped: defaultdict[str, list[int]] = defaultdict(list, {"a": [1, 2]})
    value = [OrderedDict([("z", 1), ("a", 2)]), grouped, Counter("aab"), defaultdict(int, {1: 2}), OrderedDict()]
    root = read_file(pickle.dumps(value, protocol)).root
    assert root == [{"z": 1, "a": 2}, {"a": [1, 2]}, {"a": 2, "b": 1}, {1: 2}, {}]
    assert list(root[0]) == ["z", "a"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_cut_anywhere_is_corrupt(protocol: int) -> None:
    from loaders.errors import CorruptArtifact, LoadError

    data = pickle.dumps({"a": [1, 2.5, "text", b"bytes", (1, 2)], "b": {3, 4}, "c": b"z" * 300}, protocol)
    for end in range(2, len(data)):
        for read in (lambda part: read_file(part).root, read_dripping):
            with pytest.raises(LoadError) as caught:
                read(data[:end])
            assert isinstance(caught.value, CorruptArtifact), (end, caught.value)
