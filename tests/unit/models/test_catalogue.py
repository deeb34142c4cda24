"""The catalogue of a bundle: ids to rows and back, columns and categories by name, fields that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from models.base import InvalidQuery
from models.bundle import BadBundle, Bundle
from models.catalogue import Catalogue
from models.columns import pack_columns
from models.ids import pack_ids


def catalogue(columns: dict[str, Any], categories: Any = None, count: int = 3) -> Catalogue:
    arrays, ids = pack_ids("item_ids", ["a", "b", "c"])
    packed, meta = pack_columns(columns, categories)
    return Catalogue(Bundle("neighbours", {**arrays, **packed}, {"item_ids": ids, "columns": meta}), count)


def test_rows_ids_and_columns() -> None:
    items = catalogue({"name": ["x", "y", None], "price": [1.5, None, 2.0]})
    assert (items.count, items.row("b"), items.row("d"), items.rows(["c", "d", "a"])) == (3, 1, None, [2, 0])
    assert items.ids(np.array([2, 0])) == ["c", "a"] and items.in_words() == "str: 'a', 'b', 'c'"
    assert items.values(["price", "name"], np.array([2, 1])) == {"price": [2.0, None], "name": [None, "y"]}
    assert items.values([], np.array([0])) == {}


def test_fields_that_are_no_columns() -> None:
    items = catalogue({"name": ["x", "y", "z"], "price": [1, 2, 3]}, [["g"], [], ["g"]])
    for fields in (["name", "nowhere"], ["name", "categories"]):
        with pytest.raises(InvalidQuery) as caught:
            items.values(fields, np.array([0]))
        assert caught.value.field == "fields[1]" and "it has name, price" in caught.value.message
    with pytest.raises(InvalidQuery, match="it has none"):
        catalogue({}).values(["name"], np.array([0]))


def test_categories() -> None:
    assert catalogue({}, [["g", "h"], [], ["g"]]).in_categories(["g"]).tolist() == [True, False, True]
    with pytest.raises(InvalidQuery) as caught:
        catalogue({"genre": [["g"], [], []]}).in_categories(["g"])
    assert caught.value.field == "categories"


def test_a_catalogue_of_another_length() -> None:
    with pytest.raises(BadBundle):
        catalogue({"name": ["x", "y", "z"]}, count=2)
