"""DataFrames with every kind of column people have, and the columns they should become.

`python tests/artifacts/frames.py FILE` under any pandas from 1.5 on writes them: tests/artifacts/pandas/<version>.pkl were
made so by pandas that cannot be installed beside the one the tests run with ("arrow": with pyarrow, which then holds the text).
"""

from __future__ import annotations

import datetime
import pickle
import sys
from typing import Any

import numpy as np

NAN = float("nan")
WANTED: dict[str, list[Any]] = {
    "destination_id": [11, 7, 42, 5],
    "name": ["Kuta Beach", "Borobudur", "Toba \u00e9\u6771", None],
    "price": [0.5, None, 25000.0, 1e9],
    "rating": [4, 5, 3, 1],
    "is_open": [True, False, True, True],
    "visits": [1, None, 3, 4],
    "score": [1.5, None, 3.0, 4.0],
    "flag": [True, None, False, True],
    "note": ["a", None, "c", ""],
    "island": ["Bali", "Java", None, "Bali"],
    "level": [3, 1, 3, 2],
    "opened": ["2020-01-02", None, "2021-03-04", "1969-12-31"],
    "at": ["2020-01-02T00:00:00", "2021-03-04T05:06:07", None, "1969-12-31T23:59:59"],
    "zoned": ["2019-12-31T17:00:00Z", "2020-01-01T17:00:00Z", "2020-01-02T17:00:00Z", "2020-01-03T17:00:00Z"],
    "genres": [["Beach", "Nature"], ["History"], [], ["Nature"]],
    "mixed": ["a", "3", None, "2.5"],
    "date": ["2020-01-02", None, "2021-01-01T10:11:12", "1969-12-31T23:59:59"],
    "words": [["x", "y"], ["z"], [], ["x"]],
}
"""What `models.frames` and `models.columns` make of `frames()["plain"]`."""
UNREAD = ("took", "month")
LEFT_OUT = ("vector",)
"""Columns that are not read, and one that is read but is no column of a bundle."""


def frames() -> dict[str, Any]:
    """By what is special about each; the same rows of the same table everywhere."""
    import pandas

    plain = pandas.DataFrame(
        {
            "destination_id": WANTED["destination_id"],
            "name": WANTED["name"],
            "price": [0.5, NAN, 25000.0, 1e9],
            "rating": np.array(WANTED["rating"], np.int8),
            "is_open": WANTED["is_open"],
            "visits": pandas.array(WANTED["visits"], dtype="Int64"),
            "score": pandas.array(WANTED["score"], dtype="Float32"),
            "flag": pandas.array(WANTED["flag"], dtype="boolean"),
            "note": pandas.array(WANTED["note"], dtype="string"),
            "island": pandas.Categorical(WANTED["island"]),
            "level": pandas.Categorical(WANTED["level"], ordered=True),
            "opened": [pandas.Timestamp(day) if day else pandas.NaT for day in WANTED["opened"]],
            "at": [pandas.Timestamp(time) if time else pandas.NaT for time in WANTED["at"]],
            "zoned": pandas.date_range("2020-01-01", periods=4, tz="Asia/Jakarta"),
            "took": pandas.to_timedelta([1, 2, 3, 4], unit="h"),
            "month": pandas.period_range("2020-01", periods=4, freq="M"),
            "genres": WANTED["genres"],
            "mixed": pandas.Series(["a", 3, None, 2.5], dtype=object),
            "date": pandas.Series(
                [
                    datetime.date(2020, 1, 2),
                    pandas.NaT,
                    datetime.datetime(2021, 1, 1, 10, 11, 12),
                    pandas.Timestamp("1969-12-31 23:59:59"),
                ],
                dtype=object,
            ),
            "words": [np.array(["x", "y"], object), np.array(["z"]), (), ["x"]],
            "vector": [np.zeros(2)] * 4,
        }
    )
    grown = plain[["price", "rating"]].copy()
    grown["text"] = list("pqrs")
    grown.insert(0, "zero", [9, 8, 7, 6])
    grown[5] = 1.0
    made = {
        "plain": plain,
        "by_id": plain.set_index("destination_id"),
        "by_text": plain[["name", "price"]].set_index(pandas.Index(list("abcd"), name="item")),
        "chosen": plain[["name", "rating"]].iloc[[2, 0]],
        "numbers": plain[["price", "rating"]].astype(float),
        "every_other": plain[["price"]].iloc[::2],
        "levels": plain[["price", "name", "rating"]].set_index(["name", "rating"]),
        "none": plain.iloc[:0][["name", "price"]],
        "grown": grown,
        "series": {"id": plain["destination_id"], "name": plain["name"], "visits": plain["visits"]},
    }
    try:
        import pyarrow
    except ImportError:
        return made
    kinds = {"text": pyarrow.string(), "n": pyarrow.int32(), "x": pyarrow.float64(), "b": pyarrow.bool_(), "t": pyarrow.timestamp("s")}
    values: dict[str, list[Any]] = {
        "text": ["a", None, "c"],
        "n": [1, None, 3],
        "x": [0.5, None, 2.0],
        "b": [True, None, False],
        "t": [None] * 3,
    }
    arrow = pandas.DataFrame({name: pandas.array(values[name], dtype=pandas.ArrowDtype(kind)) for name, kind in kinds.items()})
    return {**made, "arrow": arrow, "arrow_part": arrow.iloc[1:]}


if __name__ == "__main__":
    with open(sys.argv[1], "wb") as file:
        pickle.dump(frames(), file, protocol=4)
