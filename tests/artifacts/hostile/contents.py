"""Files that any library reads without a word, and whose contents are no model: every index and number must be checked."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from tests.artifacts.hostile.entry import CORRUPT, DAMAGED, FACTORS, ITEMS, REFUSED, USERS, Table, honest, matrix

NOT_TRAINED = frozenset({"not_trained"})


def add_to(table: Table) -> None:
    for name, (says, artifact, expected) in CONTENTS.items():
        table.add(f"content_{name}", says, _pickled(artifact), expected)
    for name, (says, artifact) in MAY_LOAD.items():
        table.add(f"content_{name}", says, _pickled(artifact), DAMAGED, may_load=True)


def _pickled(artifact: Any) -> Callable[[Path], bytes]:
    return lambda _: pickle.dumps(artifact, 4)


def with_seen(**forged: Any) -> dict[str, Any]:
    """The honest base with seen items whose CSR arrays are forged after scipy has checked them."""
    seen = scipy.sparse.csr_matrix(np.eye(USERS, ITEMS, dtype=np.float32))
    for name, value in forged.items():
        vars(seen)["_shape" if name == "shape" else name] = value
    return honest(user_item_matrix=seen)


def _by_column(pointers: Any) -> dict[str, Any]:
    seen = scipy.sparse.csc_matrix(np.eye(USERS, ITEMS, dtype=np.float32))
    seen.indptr = pointers
    return honest(user_item_matrix=seen)


def changed(rows: int, value: float, *, everywhere: bool = False) -> Any:
    factors = matrix(rows).copy()
    factors[:] = value if everywhere else factors
    factors[rows // 2, 7] = value
    return factors


_POINTERS = np.arange(USERS + 1, dtype=np.int32).clip(0, ITEMS)


def _pointers(at: int, value: int) -> Any:
    pointers = _POINTERS.copy()
    pointers[at] = value
    return pointers


def _deep(levels: int) -> Any:
    """A billion laughs: each level is a list of ten times the one below."""
    laughs: Any = ["ha"]
    for _ in range(levels):
        laughs = [laughs] * 10
    return laughs


CONTENTS: dict[str, tuple[str, Any, frozenset[str]]] = {
    "empty_dict": ("an empty dict", {}, REFUSED),
    "list": ("a list of numbers", [1, 2, 3], REFUSED),
    "text": ("a pickled string", "model", REFUSED),
    "unknown_keys": ("a dict of other things", {"weights": matrix(USERS), "name": "x"}, REFUSED),
    "one_matrix": ("a dict with one of the matrices", {"user_factors": matrix(USERS)}, REFUSED),
    "widths_differ": ("users and items of different widths", honest(item_factors=matrix(ITEMS)[:, :-1].copy()), CORRUPT),
    "factors_1d": ("factors of one dimension", honest(user_factors=np.ones(USERS, np.float32)), REFUSED),
    "factors_3d": ("factors of three dimensions", honest(user_factors=np.ones((USERS, FACTORS, 2), np.float32)), REFUSED),
    "factors_text": ("factors of text", honest(user_factors=np.full((USERS, FACTORS), "x")), REFUSED),
    "factors_objects": ("factors of objects", honest(user_factors=np.full((USERS, FACTORS), None)), REFUSED),
    "factors_complex": ("complex factors", honest(user_factors=np.ones((USERS, FACTORS), np.complex64)), REFUSED),
    "factors_times": ("factors that are dates", honest(user_factors=np.zeros((USERS, FACTORS), "M8[s]")), REFUSED),
    "factors_none": ("factors that are None", honest(user_factors=None), REFUSED | NOT_TRAINED),
    "factors_all_nan": ("factors that are NaN", honest(user_factors=changed(USERS, np.nan, everywhere=True)), CORRUPT),
    "map_row_beyond": ("a user's row beyond the matrix", honest(user_id_map={1: 0, 2: USERS}), CORRUPT),
    "map_row_negative": ("a user's row of -1", honest(user_id_map={1: 0, 2: -1}), CORRUPT),
    "map_row_huge": ("a user's row beyond 64 bits", honest(user_id_map={1: 0, 2: 1 << 70}), CORRUPT),
    "map_row_text": ("a user's row that is text", honest(user_id_map={1: "0"}), REFUSED),
    "map_id_tuple": ("a user id that is a tuple", honest(user_id_map={(1, 2): 0}), REFUSED),
    "map_id_bytes": ("a user id of bytes", honest(user_id_map={b"1": 0}), REFUSED),
    "map_not_dict": ("a user map that is a number", honest(user_id_map=7), REFUSED),
    "seen_pointers_fall": ("CSR indptr that falls", with_seen(indptr=_pointers(10, 45)), CORRUPT),
    "seen_pointers_negative": ("CSR indptr below 0", with_seen(indptr=_pointers(10, -5)), CORRUPT),
    "seen_pointers_beyond": ("CSR indptr beyond the indices", with_seen(indptr=_pointers(USERS, 1 << 30)), CORRUPT),
    "seen_pointers_short": ("CSR indptr of too few rows", with_seen(indptr=_POINTERS[:10].copy()), CORRUPT),
    "seen_pointers_empty": ("CSR indptr of nothing", with_seen(indptr=np.empty(0, np.int32)), CORRUPT),
    "seen_pointers_wrap": (
        "CSC indptr without a sign that falls",
        _by_column(np.array([0, 5, 3, *[ITEMS] * (ITEMS - 2)], np.uint32)),
        CORRUPT,
    ),
    "seen_index_beyond": ("CSR index beyond the items", with_seen(indices=np.full(ITEMS, ITEMS, np.int32)), CORRUPT),
    "seen_index_negative": ("CSR index of -1", with_seen(indices=np.full(ITEMS, -1, np.int32)), CORRUPT),
    "seen_index_float": ("CSR indices that are floats", with_seen(indices=np.zeros(ITEMS, np.float64)), CORRUPT),
    "not_trained": ("is_trained is false", honest(is_trained=False), NOT_TRAINED),
}

MAY_LOAD: dict[str, tuple[str, Any]] = {
    "no_users": ("no users", honest(user_factors=matrix(USERS)[:0].copy(), user_id_map={})),
    "seen_shape_negative": ("seen items of a negative shape", with_seen(shape=(-USERS, ITEMS))),
    "seen_shape_wrong": ("seen items of another shape", with_seen(shape=(USERS, ITEMS + 1))),
    "factors_one_nan": ("one NaN among the factors", honest(user_factors=changed(USERS, np.nan))),
    "factors_one_inf": ("one infinity among the factors", honest(user_factors=changed(USERS, np.inf))),
    "factors_max": ("factors whose products are infinite", honest(user_factors=changed(USERS, 3e38, everywhere=True))),
    "factors_integers": ("factors that are integers", honest(user_factors=np.ones((USERS, FACTORS), np.int64))),
    "factors_half": ("factors of 16 bits", honest(user_factors=matrix(USERS).astype(np.float16))),
    "factors_big_endian": ("big-endian factors", honest(user_factors=matrix(USERS).astype(">f4"))),
    "factors_strided": ("factors in Fortran order", honest(user_factors=np.asfortranarray(matrix(USERS)))),
    "map_rows_twice": ("two users with one row", honest(user_id_map={1: 0, 2: 0})),
    "map_incomplete": ("a map of one of the users", honest(user_id_map={1: 0})),
    "map_id_bool": ("user ids that are true and false", honest(user_id_map={True: 0, False: 1})),
    "map_id_float": ("user ids that are floats", honest(user_id_map={1.0: 0, 2.5: 1})),
    "map_id_nan": ("a user id that is NaN", honest(user_id_map={float("nan"): 0})),
    "map_id_none": ("a user id that is None", honest(user_id_map={None: 0, 1: 1})),
    "map_id_huge": ("a user id beyond 64 bits", honest(user_id_map={1 << 70: 0})),
    "map_id_surrogate": ("a user id that is no UTF-8", honest(user_id_map={"\ud800": 0})),
    "map_id_long": ("a user id of a million characters", honest(user_id_map={"x" * 1_000_000: 0})),
    "map_id_nul": ("user ids that differ in trailing NULs", honest(user_id_map={"a": 0, "a\0": 1, "a\0\0": 2})),
    "laughs": ("lists in lists, ten to the thirtieth in all", honest(extra=_deep(30))),
    "laughs_as_map": ("the same as a user's row", honest(user_id_map={1: _deep(30)})),
    "is_trained_text": ("is_trained is text", honest(is_trained="no")),
    "trained_at_list": ("trained_at is a list", honest(trained_at=[1])),
    "trained_at_long": ("trained_at of a million characters", honest(trained_at="9" * 1_000_000)),
}
