"""Recommenders whose users and items are id tables of their own bundle, as those of all families but the hybrid are.

Covers: what follows from the tables alone. Does not cover: scores (each family's `score.py`), the tables (`models.ids`).
"""

from __future__ import annotations

from collections.abc import Mapping

from .base import Id
from .catalogue import Catalogue
from .forms import ItemForm
from .ids import IdTable
from .recommender import Recommender


class TabledRecommender(Recommender):
    """A family sets both when it opens its bundle; `_user_ids` is None where it knows no users."""

    items: Catalogue
    _user_ids: IdTable | None

    def ids_in_words(self) -> Mapping[str, str]:
        users = {} if self._user_ids is None else {"users": self._user_ids.in_words()}
        return {**users, "items": self.items.in_words()}

    def form(self) -> ItemForm:
        users, items = self._user_ids, self.items.table
        return ItemForm(
            None if users is None else users.id_kind,
            items.id_kind,
            has_categories=self.items.has_categories,
            some_user=None if users is None else users.first,
            some_item=items.first,
        )

    def knows_user(self, user: Id) -> bool:
        return self._user_ids is not None and self._user_ids.row(user) is not None
