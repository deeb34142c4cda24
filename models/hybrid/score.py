"""The numbers of a hybrid, waiting for its parts: a scorer that is bound to two others for each question. Server; numpy only.

Covers: opening the bundle, binding, keeping how the parts' items correspond. Does not cover: the answer
(`models.hybrid.bound`), which models are the parts (the loader), their being ready (`service.lifecycle.parts`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

from models.base import Kind
from models.bundle import BadBundle, Bundle
from models.catalogue import Catalogue
from models.recommender import Recommender

from .blending import COLLABORATIVE, CONTENT, Blending, named_parts
from .bound import BoundHybrid
from .items import Alignment, UnionItems, align

_KEPT = 2
"""Alignments kept: those of the versions that serve, and of those they replace while requests still hold them."""


class HybridScorer:
    """Answers nothing by itself: `bind` gives the recommender. Thread-safe."""

    family = "hybrid"
    kind: ClassVar[Kind] = "recommender"

    def __init__(self, bundle: Bundle) -> None:
        """Raises models.bundle.BadBundle."""
        self.details: Mapping[str, Any] = bundle.details
        try:
            self.blending = Blending.of(bundle.meta)
            self.parts: Mapping[str, str] = named_parts(bundle.meta.get("parts"))
        except ValueError as error:
            raise BadBundle(str(error)) from error
        self._lock = threading.Lock()
        self._alignments: dict[tuple[str, str], Alignment] = {}

    def ids_in_words(self) -> Mapping[str, str]:
        return {}

    def bind(self, parts: Mapping[str, Recommender], versions: Mapping[str, str]) -> BoundHybrid:
        """The recommender over these parts, by role; `versions` names them, and nothing of them is kept. Costs nothing.

        Raises TypeError for a part without a catalogue of its own, as a hybrid is.
        """
        content, collaborative = parts[CONTENT], parts[COLLABORATIVE]
        catalogues = _catalogue(content), _catalogue(collaborative)
        key = (versions[CONTENT], versions[COLLABORATIVE])

        def alignment() -> Alignment:
            return self._alignment(key, *catalogues)

        items = UnionItems(*catalogues, alignment)
        return BoundHybrid(self.blending, self.details, parts, items, alignment, lambda: key in self._alignments)

    def _alignment(self, key: tuple[str, str], content: Catalogue, collaborative: Catalogue) -> Alignment:
        found = self._alignments.get(key)
        if found is not None:
            return found
        with self._lock:  # the second of two first questions waits for the first one's work
            found = self._alignments.get(key)
            if found is None:
                found = align(content.table, collaborative.table)
                kept = list(self._alignments.items())[1 - _KEPT :]
                self._alignments = dict([*kept, (key, found)])
        return found


def _catalogue(part: Recommender) -> Catalogue:
    if not isinstance(part.items, Catalogue):
        raise TypeError(f"a {part.family} model cannot be a part: it has no items of its own")
    return part.items


def open_scorer(bundle: Bundle) -> HybridScorer:
    """The scorer of a bundle of this family. Raises models.bundle.BadBundle."""
    return HybridScorer(bundle)


def warm(scorer: HybridScorer) -> dict[str, Any]:
    """Nothing to score before the parts are there."""
    return {}
