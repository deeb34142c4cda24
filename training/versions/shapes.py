"""A published bundle as what other tools read: dicts of real objects of scikit-learn, implicit, scipy and pandas.

Covers: which dict an algorithm's bundle becomes, and its objects.

    als, bpr               model (implicit), user_id_map, item_id_map, idx_to_user, idx_to_item, user_item_matrix
    ease                   the same; the model is an implicit ItemItemRecommender
    nmf, svd               nmf_model or svd_model (scikit-learn), user_item_matrix, user_factors, item_factors, user_encoder,
                           item_encoder, user_decoder, item_decoder; nmf: user_similarities, always None: users x users are not bounded
    features, popular      user_factors, item_factors, and the maps and the matrix of the first line
    content                tfidf_vectorizer, category_encoder, destination_features, destinations_df, similarity_matrix, always None
    hybrid                 content_weight, collaborative_weight, default_lambda, similarity_matrix (None), parts

and in each `is_trained` and `trained_at`; where items have columns, `item_metadata`, a table of them. What other tools have no
word for is lost: items that nobody had have no score here and factors of 0 there. Does not cover: files
(`training.versions.export`). A process of its own: imports the training stack, inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.base import Id
from models.bundle import BadBundle, Bundle
from models.catalogue import Catalogue
from models.columns import CATEGORIES
from models.ids import IdTable

Shape = dict[str, Any]


def shape_of(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    """The dict of a published bundle; `parameters` are those of its record. Raises BadBundle for one that no training publishes."""
    algorithm = bundle.details.get("algorithm")
    make = _SHAPES.get(algorithm) if isinstance(algorithm, str) else None
    if make is None:
        raise BadBundle(f"there is no shape for what {algorithm!r} publishes")
    return {**make(bundle, parameters), "is_trained": True, "trained_at": bundle.details.get("trained_at")}


# -- what several have ---------------------------------------------------------------------------------------------------


def _ids(bundle: Bundle, name: str, rows: int) -> list[Id]:
    return IdTable(name, bundle, rows).ids(np.arange(rows))


def _maps(bundle: Bundle, users: int, items: int) -> Shape:
    user_ids, item_ids = _ids(bundle, "user_ids", users), _ids(bundle, "item_ids", items)
    return {
        "user_id_map": {id: row for row, id in enumerate(user_ids)},
        "item_id_map": {id: row for row, id in enumerate(item_ids)},
        "idx_to_user": dict(enumerate(user_ids)),
        "idx_to_item": dict(enumerate(item_ids)),
        "user_item_matrix": _seen(bundle, users, items),
        **_metadata(bundle, items),
    }


def _seen(bundle: Bundle, users: int, items: int) -> Any:
    """scipy CSR (users, items) float32: what users have."""
    from scipy.sparse import csr_matrix

    indptr, indices = bundle.array("seen.indptr", ndim=1, kinds="i", rows=users + 1), bundle.array("seen.indices", ndim=1, kinds="iu")
    weights = bundle.arrays.get("seen.weights")
    data = np.ones(len(indices), np.float32) if weights is None else np.array(weights, np.float32)
    return csr_matrix((data, np.array(indices), np.array(indptr)), shape=(users, items))


def _metadata(bundle: Bundle, items: int) -> Shape:
    catalogue = Catalogue(bundle, items)
    return {"item_metadata": _table(catalogue)} if catalogue.columns else {}


def _table(catalogue: Catalogue) -> Any:
    """pandas DataFrame of the items: item_id, and their columns; those they are found by as lists in `categories`."""
    import pandas as pd

    rows = np.arange(catalogue.count)
    columns: Shape = {"item_id": catalogue.ids(rows)}
    for name, column in catalogue.columns.items():
        if (column.is_shown or name == CATEGORIES) and name not in columns:
            columns[name] = column.values(rows)
    return pd.DataFrame(columns)


def _factors(bundle: Bundle) -> tuple[NDArray[Any], NDArray[Any]]:
    """(users, f) and (items, f), in memory of their own; items without a score get zeros, which no library stumbles over."""
    users, items = (np.array(bundle.array(name, ndim=2, kinds="f")) for name in ("user_factors", "item_factors"))
    items[np.isnan(items).any(axis=1)] = 0.0
    return users, items


# -- algorithms ----------------------------------------------------------------------------------------------------------


def _als(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    from implicit.cpu.als import AlternatingLeastSquares

    users, items = _factors(bundle)
    fold_in = bundle.meta["fold_in"]
    model = AlternatingLeastSquares(
        factors=items.shape[1], regularization=float(fold_in["regularization"]), alpha=float(fold_in["alpha"]), dtype=items.dtype
    )
    model.user_factors, model.item_factors = users, items
    return {"model": model, **_maps(bundle, len(users), len(items))}


def _bpr(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    users, items = _factors(bundle)
    model = BayesianPersonalizedRanking(factors=items.shape[1] - 1)  # the last column is the item's bias, and the user's 1
    model.user_factors, model.item_factors = users, items
    return {"model": model, **_maps(bundle, len(users), len(items))}


def _ease(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    from implicit.nearest_neighbours import ItemItemRecommender

    weights = bundle.array("similarity", ndim=2, kinds="f")
    items, users = len(weights), len(bundle.array("seen.indptr", ndim=1, kinds="i")) - 1
    model = ItemItemRecommender(K=items)
    model.similarity = _known_cells(weights)
    return {"model": model, **_maps(bundle, users, items)}


def _known_cells(weights: NDArray[Any]) -> Any:
    """scipy CSR of all cells that are no NaN, zeros too: no cell means no neighbour."""
    from scipy.sparse import csr_matrix

    is_known = np.isfinite(weights)
    indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(is_known.sum(axis=1))))
    indices = np.nonzero(is_known)[1].astype(np.int32)
    return csr_matrix((weights[is_known].astype(np.float64), indices, indptr), shape=weights.shape)


def _nmf(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    from sklearn.decomposition import NMF

    model = NMF(n_components=bundle.arrays["item_factors"].shape[1])
    return {"nmf_model": model, **_decomposed(bundle, model), "user_similarities": None}


def _svd(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    from sklearn.decomposition import TruncatedSVD

    model = TruncatedSVD(n_components=bundle.arrays["item_factors"].shape[1])
    return {"svd_model": model, **_decomposed(bundle, model)}


def _decomposed(bundle: Bundle, model: Any) -> Shape:
    """What is around a decomposition of scikit-learn, which becomes a fitted one."""
    users, items = _factors(bundle)
    model.components_ = np.ascontiguousarray(items.T)
    model.n_features_in_ = len(items)
    maps = _maps(bundle, len(users), len(items))
    names = {"user_id_map": "user_encoder", "item_id_map": "item_encoder", "idx_to_user": "user_decoder", "idx_to_item": "item_decoder"}
    return {"user_factors": users, "item_factors": items, **{names.get(key, key): value for key, value in maps.items()}}


def _plain_factors(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    users, items = _factors(bundle)
    return {"user_factors": users, "item_factors": items, **_maps(bundle, len(users), len(items))}


def _content(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    from scipy.sparse import csr_matrix

    items, count = int(bundle.meta["items"]), int(bundle.meta["features"])
    catalogue = Catalogue(bundle, items)
    parts = [np.array(bundle.arrays[f"features.{part}"]) for part in ("data", "indices", "indptr")]
    terms = _terms(bundle)
    return {
        "tfidf_vectorizer": _vectorizer(bundle, terms, parameters) if terms else None,
        "category_encoder": _encoder(catalogue) if count > len(terms) else None,
        "destination_features": csr_matrix(tuple(parts), shape=(items, count)),
        "destinations_df": _table(catalogue),
        "similarity_matrix": None,
    }


def _terms(bundle: Bundle) -> list[str]:
    """What the first columns of the features stand for; [] where the items have no text."""
    if "terms.offsets" not in bundle.arrays:
        return []
    bounds, text = bundle.arrays["terms.offsets"].tolist(), bundle.arrays["terms.utf8"].tobytes()
    return [text[begin:end].decode() for begin, end in pairwise(bounds)]


def _vectorizer(bundle: Bundle, terms: list[str], parameters: Mapping[str, Any]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        vocabulary=terms,
        sublinear_tf=bool(parameters.get("sublinear_tf", True)),
        ngram_range=(1, int(parameters.get("ngrams", 1))),
        dtype=np.float32,
    )
    vectorizer.idf_ = np.array(bundle.arrays["terms.idf"])
    return vectorizer


def _encoder(catalogue: Catalogue) -> Any:
    """Of the last columns of the features."""
    from sklearn.preprocessing import MultiLabelBinarizer

    return MultiLabelBinarizer().fit(catalogue.columns[CATEGORIES].values(np.arange(catalogue.count)))


def _hybrid(bundle: Bundle, parameters: Mapping[str, Any]) -> Shape:
    return {**bundle.meta, "similarity_matrix": None}


_SHAPES: Mapping[str, Callable[[Bundle, Mapping[str, Any]], Shape]] = {
    "als": _als,
    "bpr": _bpr,
    "ease": _ease,
    "nmf": _nmf,
    "svd": _svd,
    "features": _plain_factors,
    "popular": _plain_factors,
    "content": _content,
    "hybrid": _hybrid,
}
