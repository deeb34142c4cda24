"""From a fitted sklearn tree, or ensemble of trees, to node arrays. Runs in the capped child; never imported by the server.

Covers: which artifacts are taken, bare or in a dict (`models.estimator_records.unwrap`), and by which module. Does not
cover: Pipelines, and what needs Python to answer (GradientBoosting that starts from another estimator): hosted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.bundle import Bundle
from models.estimator_records import is_sklearn, unwrap
from models.packing import Options, PackError
from models.records import Record

from .averaged import pack_averaged
from .boosted import has_constant_start, pack_boosted
from .histogram import is_in_arrays, pack_histogram

_PACKS = {
    "DecisionTree": pack_averaged,
    "ExtraTree": pack_averaged,
    "RandomForest": pack_averaged,
    "ExtraTrees": pack_averaged,
    "GradientBoosting": pack_boosted,
    "HistGradientBoosting": pack_histogram,
}
_KINDS = ("Classifier", "Regressor")
NAMES = tuple(name + kind for name in _PACKS for kind in _KINDS)


def matches(root: Any) -> str | None:
    """Why this family takes the artifact, or None."""
    estimator = _estimator(root)
    if estimator is None:
        return None
    return f"a {'bare' if estimator is root else 'dict around a'} {estimator.class_name}, whose trees are arrays"


def pack(root: Any, options: Options) -> Bundle:
    """The bundle. Raises PackError: not_trained, missing_keys, corrupt_artifact, unknown_format."""
    estimator = _estimator(root)
    if estimator is None:
        raise PackError("unknown_format", "the artifact is no ensemble of trees")
    kind = next(kind for kind in _KINDS if estimator.name.endswith(kind))
    with np.errstate(all="ignore"):  # what overflows is found where leaves are checked
        bundle = _PACKS[estimator.name.removesuffix(kind)](estimator, kind == "Classifier")
    left_out = _left_out(root, estimator) if isinstance(root, dict) else []
    if not left_out:
        return bundle
    warning = f"the dict also holds {', '.join(left_out)}: rows go to the trees as they come"
    return Bundle(bundle.family, bundle.arrays, bundle.meta, {**bundle.details, "warnings": [warning]})


def _estimator(root: Any) -> Record | None:
    estimator = unwrap(root)
    if estimator is None or not is_sklearn(estimator, *NAMES):
        return None
    if estimator.name.startswith("GradientBoosting"):
        return estimator if has_constant_start(estimator) else None
    if estimator.name.startswith("Hist"):
        return estimator if is_in_arrays(estimator) else None
    return estimator


def _left_out(root: dict[Any, Any], estimator: Record) -> list[str]:
    """Other sklearn objects beside the estimator, which may have changed its rows before it was fitted (a scaler, an encoder)."""
    others = [(key, value) for key, value in root.items() if value is not estimator and isinstance(value, Record)]
    return [f"{key} ({value.class_name})"[:200] for key, value in others if value.module.startswith("sklearn.")][:20]
