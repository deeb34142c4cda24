"""What users did lately, as far as this server knows it: what their next answers take in besides what models learned.

Covers: keeping it in bounded memory, and giving a question what its users did. Does not cover: what a model makes of it
(`models.recent`), where it comes from (`service.intake`). Event loop only; what it gives away is copied.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from models.base import Id
from models.recent import Recent
from service.questions import Asked, TopK
from training.ingest.base import Interaction

USERS = 100_000
EACH = 200
"""Interactions of a user that are kept, the latest ones."""
_SAME_S = 1e-3
"""Databases round times: two interactions of a user with an item that are less apart are one that is met again."""


_Kept = tuple[Id, float, float, float]
"""Item, weight, when it became known, when it was. A plain tuple: of those the garbage collector looks at none twice, and a hundred
thousand of any other type would have it stop the event loop for a tenth of a second."""


class RecentInteractions:
    """The latest interactions of those users who did something last."""

    def __init__(self, *, users: int = USERS, each: int = EACH) -> None:
        self._most_users = users
        self._each = each
        self._kept: OrderedDict[Id, list[_Kept]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<RecentInteractions users={len(self._kept)}>"

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, interactions: Iterable[Interaction], now: float) -> None:
        """What was just posted; `now` is Unix seconds. Whatever a model learned until now has not these."""
        for each in interactions:
            mine = self._kept.setdefault(each.user_id, [])
            self._kept.move_to_end(each.user_id)
            mine.append((each.item_id, each.weight, max(each.ts, now), each.ts))
            del mine[: -self._each]
        while len(self._kept) > self._most_users:
            self._kept.popitem(last=False)

    def restore(self, interactions: Iterable[Interaction]) -> None:
        """What the database has, latest first, after what was restored before; what is known already is not taken again.

        It takes only the place that nothing newer has.
        """
        for each in interactions:
            mine = self._kept.get(each.user_id)
            if mine is None:
                if len(self._kept) >= self._most_users:
                    continue
                mine = self._kept[each.user_id] = []
                self._kept.move_to_end(each.user_id, last=False)
            is_known = any(item == each.item_id and abs(ts - each.ts) < _SAME_S for item, _, _, ts in mine)
            if len(mine) < self._each and not is_known:
                mine.insert(0, (each.item_id, each.weight, each.ts, each.ts))

    def of(self, users: Iterable[Id]) -> Mapping[Id, Sequence[Recent]]:
        """What each of these users did, oldest first; users of whom nothing is known are left out."""
        return {user: [Recent(*kept[:3]) for kept in self._kept[user]] for user in users if user in self._kept}

    def joining(self, asked: Asked) -> Asked:
        """The question with what its users did lately; as it is where nothing is known of them."""
        if not self._kept or not isinstance(asked, TopK) or not asked.query.users:
            return asked
        users = asked.query.users
        recent = self.of([id for user in users for id in _meanings(str(user))] if asked.is_text else users)
        return replace(asked, query=replace(asked.query, recent=recent)) if recent else asked


def _meanings(text: str) -> tuple[Id, ...]:
    """What an id in an address may mean: text, and if it is written as one, a number."""
    try:
        number = int(text)
    except ValueError:
        return (text,)
    return (text, number) if str(number) == text else (text,)
