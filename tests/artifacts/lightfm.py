"""LightFM models in the exact layout that lightfm 1.17, rectools-lightfm and lightfm-next pickle, and LightFM's own formula.

LightFM itself needs a compiler to be installed, so its class is stood in for under its own name while an artifact is
pickled; numbers are drawn, not learned. Does not cover: training.
"""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tests.artifacts.ids import make_ids
from tests.artifacts.recommenders import ITEMS, TRAINED_AT, USERS, interactions

COMPONENTS = 8
USER_TRAITS, ITEM_TRAITS = 3, 4


class LightFM:
    """Holds what `lightfm.lightfm.LightFM` holds after a fit."""

    __module__ = "lightfm.lightfm"

    def __init__(self, users: int, items: int, components: int, seed: int) -> None:
        rng = np.random.RandomState(seed)
        self.loss, self.learning_schedule, self.no_components = "warp", "adagrad", components
        self.learning_rate, self.k, self.n, self.rho, self.epsilon, self.max_sampled = 0.05, 5, 10, 0.95, 1e-6, 10
        self.item_alpha = self.user_alpha = 0.0
        self.random_state = rng
        for side, count in (("item", items), ("user", users)):
            embeddings = rng.normal(size=(count, components)).astype(np.float32)
            biases = rng.normal(size=count).astype(np.float32)
            setattr(self, f"{side}_embeddings", embeddings)
            setattr(self, f"{side}_embedding_gradients", np.ones_like(embeddings))
            setattr(self, f"{side}_embedding_momentum", np.zeros_like(embeddings))
            setattr(self, f"{side}_biases", biases)
            setattr(self, f"{side}_bias_gradients", np.ones_like(biases))
            setattr(self, f"{side}_bias_momentum", np.zeros_like(biases))


class Dataset:
    """Holds what `lightfm.data.Dataset` holds."""

    __module__ = "lightfm.data"

    def __init__(self, users: dict[Any, int], items: dict[Any, int]) -> None:
        self._user_identity_features = self._item_identity_features = True
        self._user_id_mapping, self._item_id_mapping = users, items
        self._user_feature_mapping, self._item_feature_mapping = dict(users), dict(items)


def _stand_in(name: str, **members: Any) -> None:
    module = sys.modules.setdefault(name, ModuleType(name))
    for member, value in members.items():
        setattr(module, member, value)


def bare_lightfm() -> Any:
    """One feature a user and an item. `lightfm` is afterwards a module of this process."""
    _stand_in("lightfm")
    _stand_in("lightfm.lightfm", LightFM=LightFM)
    _stand_in("lightfm.data", Dataset=Dataset)
    return LightFM(USERS, ITEMS, COMPONENTS, seed=2)


@cache
def features(rows: int, traits: int, seed: int) -> Any:
    """A CSR matrix as `Dataset.build_user_features` makes: identity, then traits; each row sums to 1, the last row is empty."""
    rng = np.random.default_rng(seed)
    cells = np.hstack([np.eye(rows), rng.random((rows, traits)) < 0.5])
    cells /= cells.sum(axis=1, keepdims=True)
    cells[-1] = 0.0
    return scipy.sparse.csr_matrix(cells.astype(np.float32))


def lightfm_dict(ids: str = "str", *, maps: str = "maps", model_key: str = "model") -> dict[str, Any]:
    """The dict with feature matrices. maps: "maps" (user_id_map, item_id_map) or "dataset" (a Dataset alone)."""
    bare_lightfm()
    users = {id: row for row, id in enumerate(make_ids(ids, USERS))}
    items = {id: row for row, id in enumerate(make_ids(ids, ITEMS, first=500))}
    artifact: dict[str, Any] = {
        model_key: LightFM(USERS + USER_TRAITS, ITEMS + ITEM_TRAITS, COMPONENTS, seed=3),
        "user_features": features(USERS, USER_TRAITS, 4),
        "item_features": features(ITEMS, ITEM_TRAITS, 5),
        "posts_metadata": {id: {"title": f"Post {row}", "category": f"c{row % 3}", "likes": row} for id, row in items.items()},
        "interactions": interactions().tocoo(),
        "trained_at": TRAINED_AT,
    }
    return artifact | ({"user_id_map": users, "item_id_map": items} if maps == "maps" else {"dataset": Dataset(users, items)})


def predicted(model: Any, user_features: Any = None, item_features: Any = None) -> NDArray[np.float32]:
    """(users, items): LightFM's prediction, float32 throughout as in its own code."""
    sides = []
    for side, matrix in (("user", user_features), ("item", item_features)):
        embeddings, biases = getattr(model, f"{side}_embeddings"), getattr(model, f"{side}_biases")
        sides.append((embeddings, biases) if matrix is None else (matrix @ embeddings, matrix @ biases))
    (users, user_biases), (items, item_biases) = sides
    scores: NDArray[np.float32] = users @ items.T + user_biases[:, np.newaxis] + item_biases
    return scores
