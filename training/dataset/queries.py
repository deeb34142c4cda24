"""What a database that speaks SQL is asked for.

Covers: the settings of [data] as queries, in the order they are read. Does not cover: asking (one file a kind of database).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from config.schema import DataSettings
from training.dataset.columns import Table

TABLE_OF_ITEMS = "items"
"""Read where no query for items is configured and a table or view of this name exists."""
_ALL_OF_ITEMS = "SELECT * FROM items"


def asked_in_sql(data: DataSettings, has_items: Callable[[], bool]) -> Iterator[tuple[Table, str]]:
    """Tables and their queries. `has_items` is asked only where no query says what the items are."""
    yield Table.INTERACTIONS, data.interactions
    items = data.items or (_ALL_OF_ITEMS if has_items() else "")
    for table, query in ((Table.ITEMS, items), (Table.USER_FEATURES, data.user_features), (Table.ITEM_FEATURES, data.item_features)):
        if query:
            yield table, query
