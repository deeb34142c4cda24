"""A blend of two published models: one that knows the items, one that knows who liked what; diverse by MMR.

Covers: the trainer: opening the parts to see that they go together, how much each counts, the bundle, which has no arrays of its
own. Does not cover: choosing how much (`training.trainers.blend_search`), blending (`models.hybrid`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loaders.bundle_file import open_published_scorer
from loaders.published import MODEL_FILE, BadRecord, PublishedFolder, PublishedVersion
from models.bundle import Bundle
from models.catalogue import Catalogue
from models.hybrid.blending import COLLABORATIVE, CONTENT, DEFAULT_LAMBDA, ROLES
from models.hybrid.items import align
from training.errors import BadParameter, PartUnpublished, Untrainable
from training.running.runs import rfc3339
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.blend_search import LENGTHS, SHARES, Line, best_line, lines, measured_cases

FALLBACK = Line(0.6, 0.1, 20.0)
"""Where nothing can be searched: for who is new mostly content, which knows every item; for who is known hardly any."""


class Hybrid:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "content_weight": Parameter(
            None,
            "Share of content in the score of someone of whom nothing is known but what they like, 0..1; the rest is collaborative. Unless"
            f" it is given, {', '.join(f'{share:g}' for share in SHARES)} are tried on one interaction held out of each of up to 2,000"
            " users, on parts trained once more without it.",
            minimum=0.0,
            maximum=1.0,
        ),
        "content_weight_warm": Parameter(
            None,
            "What the share of content falls to with the length of the history. Unless it is given it is searched with content_weight; if"
            " only that is given, the share is the same for everybody.",
            minimum=0.0,
            maximum=1.0,
        ),
        "warm_interactions": Parameter(
            None,
            "Length of history at which the share has come down. Unless it is given, the best of"
            f" {', '.join(map(str, LENGTHS))}, or 20 where nothing is searched.",
            minimum=1,
            type=int,
        ),
        "default_lambda": Parameter(
            DEFAULT_LAMBDA,
            "Diversity of answers (MMR) that do not ask for another: 1 is none, 0 is nothing else.",
            minimum=0.0,
            maximum=1.0,
        ),
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer. Raises PartUnpublished, and Untrainable for parts that do not go together."""
        if not len(ask.train.interactions):
            raise Untrainable("there are no interactions to learn from")
        records = _records(ask.parts)
        on_progress("opening parts", 0, 1)
        _check_together(ask.parts)
        on_progress("opening parts", 1, 1)
        given = ask.parameters
        notes: dict[str, Any] = {}
        if given["content_weight"] is not None:
            length = given["warm_interactions"] or FALLBACK.length
            line = Line(given["content_weight"], given["content_weight_warm"], length)
        else:
            line, notes = _search(ask, records, on_progress)
        numbers = line.blending(given["default_lambda"]).to_meta()
        details = {**numbers, "model": "hybrid", "algorithm": "hybrid", "trained_at": rfc3339(time.time())}
        bundle = Bundle("hybrid", {}, {**numbers, "parts": dict(ask.part_models)}, details)
        chosen = {
            "content_weight": line.cold,
            "content_weight_warm": line.warm,
            "warm_interactions": int(line.length),
            "default_lambda": given["default_lambda"],
        }
        return Trained(bundle, chosen, notes)


def _search(ask: Ask, records: Mapping[str, PublishedVersion], on_progress: OnProgress) -> tuple[Line, dict[str, Any]]:
    """The best line through what is given, and what is recorded of the search."""
    warm, length = ask.parameters["content_weight_warm"], ask.parameters["warm_interactions"]
    fallback = Line(FALLBACK.cold, FALLBACK.warm if warm is None else warm, length or FALLBACK.length)
    try:
        cases = measured_cases(ask, records, on_progress)
    except (Untrainable, BadParameter) as error:  # the published parts still serve: less data, or another program, made them
        return fallback, {"not_searched": f"a part cannot be trained again: {error.message}"}
    if cases is None or not len(cases.history):
        return fallback, {"not_searched": "nothing could be held out"}
    line = best_line(cases, lines(warm, length))
    worth = {f"content {share:g}": round(cases.worth(Line(share, None, 1.0)), 6) for share in (0.0, line.cold, 1.0)}
    return line, {"search": {"parameter": "content_weight", "cases": len(cases.history), "chosen": round(cases.worth(line), 6), **worth}}


def _records(parts: Mapping[str, Path]) -> dict[str, PublishedVersion]:
    """Role -> record of the version that plays it."""
    missing = [role for role in ROLES if role not in parts]
    if missing:
        raise PartUnpublished(f"the hybrid has no {missing[0]} part", part=missing[0])
    try:
        return {role: PublishedFolder(parts[role].parent.parent, parts[role].parent.name).record(parts[role].name) for role in ROLES}
    except BadRecord as error:
        raise PartUnpublished(f"a part of the hybrid cannot be read: {error}") from error


def _check_together(parts: Mapping[str, Path]) -> None:
    """Raise Untrainable for parts that no hybrid can be bound to, or that have no item in common."""
    tables = {}
    for role in ROLES:
        scorer = open_published_scorer(parts[role] / MODEL_FILE)
        items = getattr(scorer, "items", None)
        if not isinstance(items, Catalogue):
            raise Untrainable(f"the {role} part is a {scorer.family} model, which has no items of its own")
        tables[role] = items.table
    if not align(tables[CONTENT], tables[COLLABORATIVE]).shared:
        told = "; ".join(f"{role} has {table.in_words()}" for role, table in tables.items())
        raise Untrainable(f"the parts have no item in common: {told}")


TRAINER = Hybrid()
