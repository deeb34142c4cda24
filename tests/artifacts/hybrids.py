"""The content dict beside an NMF of other, overlapping items, the hybrid's metadata dict, and what they add up to.

Rows of items: the first KNOWN items of the NMF are in the content dict too, then come NEW that only it has. Cached: do not
change what is returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from tests.artifacts.ids import make_ids
from tests.artifacts.nmf import fitted_nmf
from tests.artifacts.recommenders import ITEMS, TRAINED_AT, interactions

KNOWN, NEW = 35, 10
NMF_IDS: list[int] = make_ids("int", ITEMS, first=500)
CONTENT_IDS: list[int] = [*NMF_IDS[:KNOWN], *range(900, 900 + NEW)]
CATEGORIES = ("beach", "city", "mountain", "museum", "park")
_WORDS = ["temple", "harbour", "forest", "market", "island", "lake", "bridge", "garden", "palace", "volcano", "river", "castle"]


@cache
def content_dict() -> dict[str, Any]:
    """All seven keys, fitted by scikit-learn: TF-IDF of a description and one-hot categories, a DataFrame, cosines."""
    import pandas
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.metrics.pairwise import cosine_similarity
    from sklearn.preprocessing import MultiLabelBinarizer

    rng = np.random.default_rng(5)
    count = len(CONTENT_IDS)
    texts = [" ".join(rng.choice(_WORDS, 5)) for _ in range(count)]
    categories = [sorted(set(rng.choice(CATEGORIES, 2))) for _ in range(count)]
    vectorizer, encoder = TfidfVectorizer(), MultiLabelBinarizer()
    features = np.hstack([vectorizer.fit_transform(texts).toarray(), encoder.fit_transform(categories)])
    frame = pandas.DataFrame(
        {"destination_id": CONTENT_IDS, "name": [f"place {id}" for id in CONTENT_IDS], "description": texts, "categories": categories}
    )
    return {
        "tfidf_vectorizer": vectorizer,
        "category_encoder": encoder,
        "destination_features": features,
        "destinations_df": frame,
        "similarity_matrix": cosine_similarity(features),
        "is_trained": True,
        "trained_at": TRAINED_AT,
    }


def hybrid_dict(**different: Any) -> dict[str, Any]:
    """All six keys, with the weights that most such files have."""
    return {
        "content_weight": 0.6,
        "collaborative_weight": 0.4,
        "default_lambda": 0.7,
        "similarity_matrix": None,
        "is_trained": True,
        "trained_at": TRAINED_AT,
        **different,
    }


def content_scores(liked: Sequence[int]) -> dict[int, float]:
    """By item: the mean cosine to those of the liked items that the content dict has."""
    rows = [CONTENT_IDS.index(id) for id in liked if id in CONTENT_IDS]
    return dict(zip(CONTENT_IDS, content_dict()["similarity_matrix"][rows].mean(axis=0).tolist(), strict=True))


def nmf_scores(row: int) -> dict[int, float]:
    """By item: W @ H of the user in this row."""
    _, user_factors, components = fitted_nmf()
    return dict(zip(NMF_IDS, (user_factors[row].astype("f8") @ components.astype("f8")).tolist(), strict=True))


def seen_by(row: int) -> list[int]:
    """Items that the user in this row has."""
    return [NMF_IDS[item] for item in interactions()[row].indices]


def blended(parts: Sequence[tuple[dict[int, float], float, dict[str, float]]]) -> dict[int, float]:
    """Items to the sum of weight * (score - min) / (max - min) over (scores, weight, the sampled range) of parts."""
    total: dict[int, float] = {}
    for scores, weight, sampled in parts:
        for id, score in scores.items():
            total[id] = total.get(id, 0.0) + weight * (score - sampled["min"]) / (sampled["max"] - sampled["min"])
    return total
