"""What items are like each other by what is told of them: TF-IDF of their texts beside their categories, compared by cosine.

Covers: the features, and the profile of users: the mean of what they have, weighted. Nothing is fitted, so nothing is random. Does
not cover: numbers and other named features of items (`training.trainers.features` learns what they are worth).

The features of an item are two blocks, each of length 1 where the item has any of it: the TF-IDF of its text (scikit-learn's
TfidfVectorizer: idf = ln((1 + n) / (1 + df)) + 1; words are runs of two or more letters or digits, in lower case) and a 1 for each
of its categories, the latter multiplied by `category_weight`. The terms and their idf are kept beside the model, for tools that
want to put a new text among these items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.column_kinds import encode
from training.dataset.base import Items
from training.errors import Untrainable
from training.trainers.base import Ask, OnProgress, Parameter, Trained
from training.trainers.bundles import neighbours_bundle
from training.trainers.matrix import WEIGHTS, scaled

_STEPS = 3


class Text(NamedTuple):
    """TF-IDF of the items. matrix: scipy CSR (items, terms) float32, rows of length 1 or 0. terms: by column; idf: (terms,)."""

    matrix: Any
    terms: Sequence[str]
    idf: NDArray[np.float64]


class Content:
    """See the module."""

    is_floor = False
    parameters: Mapping[str, Parameter] = {
        "category_weight": Parameter(
            1.0, "How much categories count beside the text, which counts 1; 0 leaves them out.", minimum=0.0, maximum=1000.0
        ),
        "min_df": Parameter(2, "Terms of fewer items than this are left out: they can make nothing alike.", minimum=1),
        "max_features": Parameter(50_000, "So many terms are kept, the most frequent.", minimum=1, maximum=1 << 23),
        "ngrams": Parameter(1, "Longest run of words that is a term.", minimum=1, maximum=5),
        "sublinear_tf": Parameter(True, "A term that a text has n times counts 1 + ln(n), not n."),
        "weights": WEIGHTS,
    }

    def fit(self, ask: Ask, on_progress: OnProgress) -> Trained:
        """See training.trainers.base.Trainer. Raises Untrainable where items have neither text nor category."""
        from scipy.sparse import csr_matrix, hstack

        items, chosen = ask.train.items, ask.parameters
        if items is None:
            raise Untrainable("nothing is told of the items: content needs their text or their categories ([data] items)")
        on_progress("reading texts", 0, _STEPS)
        text = _text(items, chosen)
        on_progress("reading categories", 1, _STEPS)
        categories = _categories(items, float(chosen["category_weight"]))
        blocks = [block for block in (None if text is None else text.matrix, categories) if block is not None]
        if not blocks:
            raise Untrainable(_why_not(items, chosen))
        features = csr_matrix(hstack(blocks, format="csr", dtype=np.float32))
        features.sort_indices()
        on_progress("joining", 2, _STEPS)
        bundle = neighbours_bundle(
            ask.train,
            "sparse features",
            {
                "features.indptr": features.indptr.astype(np.int64),
                "features.indices": features.indices.astype(np.int32),
                "features.data": features.data,
                "features.scale": _inverse_lengths(features),
                **({} if text is None else _packed_terms(text)),
            },
            features=features.shape[1],
            liked="mean",
            seen=scaled(ask.seen, chosen["weights"]),
            weighting=chosen["weights"],
            algorithm="content",
            details={"features": features.shape[1], "terms": 0 if text is None else len(text.terms)},
        )
        on_progress("joining", _STEPS, _STEPS)
        notes = {
            "terms": 0 if text is None else len(text.terms),
            "categories": 0 if categories is None else categories.shape[1],
            "items_without_features": int((np.diff(features.indptr) == 0).sum()),
        }
        return Trained(bundle, dict(chosen), notes)


def _text(items: Items, chosen: Mapping[str, Any]) -> Text | None:
    """None where no term is in enough texts."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [text or "" for text in items.text]
    vectorizer = TfidfVectorizer(
        sublinear_tf=chosen["sublinear_tf"],
        min_df=min(chosen["min_df"], sum(map(bool, texts)) or 1),
        max_features=chosen["max_features"],
        ngram_range=(1, chosen["ngrams"]),
        dtype=np.float32,
    )
    if not any(map(vectorizer.build_analyzer(), texts)):
        return None
    try:
        matrix = vectorizer.fit_transform(texts)
    except ValueError:  # there are words, and the parameters are checked: what it refuses is that min_df leaves none of them
        return None
    return Text(matrix, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_)


def _categories(items: Items, weight: float) -> Any:
    """(items, categories) scipy CSR float32, rows of length `weight` or 0; None where there are none, or they count nothing."""
    from scipy.sparse import csr_matrix

    distinct = {name: at for at, name in enumerate(sorted({name for each in items.categories for name in each}))}
    if not distinct or not weight:
        return None
    lists = [sorted({distinct[name] for name in each}) for each in items.categories]
    lengths = np.array([len(each) for each in lists], np.int64)
    indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    values = np.repeat(weight / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
    indices = np.array([at for each in lists for at in each], np.int32)
    return csr_matrix((values, indices, indptr), shape=(len(lists), len(distinct)))


def _inverse_lengths(features: Any) -> NDArray[np.float64]:
    """(items,) 1 / length of each row, 0 for a row of zeros."""
    squares = np.asarray(features.astype(np.float64).power(2).sum(axis=1)).ravel()
    scale: NDArray[np.float64] = np.divide(1.0, np.sqrt(squares), out=np.zeros_like(squares), where=squares > 0)
    return scale


def _packed_terms(text: Text) -> dict[str, NDArray[Any]]:
    encoded = [encode(term) for term in text.terms]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(term) for term in encoded], out=offsets[1:])
    return {
        "terms.offsets": offsets,
        "terms.utf8": np.frombuffer(b"".join(encoded), np.uint8),
        "terms.idf": text.idf.astype(np.float64),
    }


def _why_not(items: Items, chosen: Mapping[str, Any]) -> str:
    if any(items.categories):
        return "the items have categories, but category_weight is 0, and no text"
    if any(items.text):
        return f"no term is in the texts of {chosen['min_df']} items (min_df), and the items have no categories"
    return "the items have neither text nor category"


TRAINER = Content()
