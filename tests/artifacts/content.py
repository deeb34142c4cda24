"""The content-based dict around really fitted sklearn encoders, implicit's item-item models, and the answers they imply."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np

from tests.artifacts.ids import make_ids
from tests.artifacts.recommenders import ITEMS, TRAINED_AT, USERS, interactions

WORDS = ("beach", "temple", "volcano", "market", "museum", "lake", "palace", "garden", "reef", "bridge", "cave", "forest")
GENRES = ("Nature", "Culture", "Food", "Sea", "History")


@cache
def texts(items: int = ITEMS) -> tuple[list[str], list[list[str]]]:
    """A description and the categories of each item; item 0 has neither, the last two are alike."""
    rng = np.random.default_rng(4)
    described = [" ".join(rng.choice(WORDS, rng.integers(3, 8))) for _ in range(items)]
    genres = [sorted(rng.choice(GENRES, rng.integers(1, 4), replace=False).tolist()) for _ in range(items)]
    described[0], genres[0] = "", []
    described[-1], genres[-1] = described[-2], genres[-2]
    return described, genres


@cache
def encoders(items: int = ITEMS) -> tuple[Any, Any, Any]:
    """A fitted TfidfVectorizer and MultiLabelBinarizer, and their features side by side (items x features, CSR float64)."""
    import scipy.sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import MultiLabelBinarizer

    described, genres = texts(items)
    vectorizer, binarizer = TfidfVectorizer(), MultiLabelBinarizer()
    return vectorizer, binarizer, scipy.sparse.hstack([vectorizer.fit_transform(described), binarizer.fit_transform(genres)]).tocsr()


@cache
def similarities(items: int = ITEMS) -> Any:
    """sklearn's cosine_similarity of those features, (items x items) float64."""
    from sklearn.metrics.pairwise import cosine_similarity

    return cosine_similarity(encoders(items)[2])


def content_dict(
    ids: str = "int",
    *,
    relation: str = "both",
    features: str = "csr",
    similarity: str = "dense",
    items: int = ITEMS,
    is_trained: bool = True,
) -> dict[str, Any]:
    """All seven keys; what `relation` ("both", "features", "similarity") leaves out is None.

    features: "csr", "csc", "dense" or "float32" (dense). similarity: "dense", "csr" or "float32". Ids of kind `make_ids`.
    """
    import scipy.sparse

    vectorizer, binarizer, sparse = encoders(items)
    forms = {"csr": lambda: sparse, "csc": sparse.tocsc, "dense": sparse.toarray, "float32": lambda: sparse.toarray().astype(np.float32)}
    whole = {"dense": np.asarray, "csr": scipy.sparse.csr_matrix, "float32": lambda matrix: matrix.astype(np.float32)}
    return {
        "tfidf_vectorizer": vectorizer,
        "category_encoder": binarizer,
        "destination_features": forms[features]() if relation != "similarity" else None,
        "destinations_df": destinations(ids, items),
        "similarity_matrix": whole[similarity](similarities(items)) if relation != "features" else None,
        "is_trained": is_trained,
        "trained_at": TRAINED_AT,
    }


def destinations(ids: str = "int", items: int = ITEMS) -> Any:
    """A DataFrame: id, name, description, price (with gaps), rating, category (text, "|" between)."""
    import pandas

    described, genres = texts(items)
    return pandas.DataFrame(
        {
            "destination_id": make_ids(ids, items, first=500),
            "name": [f"Place {row}" for row in range(items)],
            "description": described,
            "price": [None if row % 7 == 3 else row * 0.5 for row in range(items)],
            "rating": np.arange(items, dtype=np.int8) % 5,
            "category": ["|".join(words) for words in genres],
        }
    )


def expected_like(rows: list[int], k: int, *, items: int = ITEMS, leave_out: bool = True) -> list[tuple[int, float]]:
    """(row, score) of the k best by the mean over `rows` of sklearn's cosine_similarity, ties in the order of rows."""
    scores = similarities(items)[rows].mean(axis=0)
    order = [row for row in np.argsort(-np.round(scores, 12), kind="stable").tolist() if not leave_out or row not in rows]
    return [(row, float(scores[row])) for row in order[:k]]


@cache
def item_item(name: str = "CosineRecommender", neighbours: int = 12, users: int = USERS, items: int = ITEMS) -> Any:
    """A fitted model of implicit.nearest_neighbours."""
    import implicit.nearest_neighbours

    model = getattr(implicit.nearest_neighbours, name)(K=neighbours, num_threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # implicit warns of a matrix that it made itself
        model.fit(interactions(users, items).astype(np.float64), show_progress=False)
    return model


ITEM_ITEM = ("CosineRecommender", "TFIDFRecommender", "BM25Recommender", "ItemItemRecommender")
