"""Forged trees: an artifact that contradicts itself is refused when it is packed, a bundle when it is opened, and nothing hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import BadBundle, Bundle
from models.packing import NO_OPTIONS, PackError
from models.records import Array
from models.trees.layout import MAX_DEPTH
from models.trees.pack import pack
from models.trees.score import open_scorer, warm
from tests.artifacts.trees import FEATURES, fitted
from tests.unit.models.in_memory import records_of

Forge = Callable[[Any], None]


def nodes_of(root: Any, tree: int = 0) -> Any:
    """The nodes of one tree, writable."""
    members = root.attributes.get("estimators_", [root])
    member = (members.objects or [])[tree] if isinstance(members, Array) else members[tree]
    return member.attributes["tree_"].state["nodes"].values


def inner(nodes: Any) -> Any:
    return np.flatnonzero(nodes["left_child"] >= 0)


def set_node(field: str, value: Any, at: int = 0) -> Forge:
    def forge(root: Any) -> None:
        nodes = nodes_of(root)
        nodes[field][inner(nodes)[at]] = value

    return forge


def share_a_child(root: Any) -> None:
    nodes = nodes_of(root)
    nodes["right_child"][0] = nodes["left_child"][0]


def point_back(root: Any) -> None:
    nodes = nodes_of(root)
    nodes["left_child"][inner(nodes)[3]] = 1


def set_leaf(value: float) -> Forge:
    def forge(root: Any) -> None:
        tree = root.attributes["estimators_"][0].attributes["tree_"]
        tree.state["values"].values[nodes_of(root)["left_child"] < 0] = value

    return forge


def set_state(key: str, value: Any) -> Forge:
    def forge(root: Any) -> None:
        root.attributes["estimators_"][0].attributes["tree_"].state[key] = value

    return forge


def set_args(*args: Any) -> Forge:
    def forge(root: Any) -> None:
        root.attributes["estimators_"][0].attributes["tree_"].args = args

    return forge


def set_attribute(key: str, value: Any) -> Forge:
    def forge(root: Any) -> None:
        root.state[key] = value(root.state[key]) if callable(value) else value

    return forge


FORESTS: dict[str, Forge] = {
    "a child is its own parent": set_node("left_child", 0),
    "a child is outside": set_node("right_child", 1 << 40),
    "a child is negative": set_node("right_child", -5),
    "a child stands before": point_back,
    "two parents": share_a_child,
    "a feature outside": set_node("feature", FEATURES),
    "a feature below": set_node("feature", -1),
    "no threshold": set_node("threshold", np.nan),
    "an endless value": set_leaf(np.inf),
    "no value": set_leaf(np.nan),
    "nodes of another kind": set_state("nodes", Array(np.zeros((4, 2)))),
    "no nodes": set_state("nodes", Array(np.zeros(0, np.dtype([("left_child", "i8")])))),
    "nodes that are none": set_state("nodes", "nodes"),
    "values of another shape": set_state("values", Array(np.zeros((3, 1, 3)))),
    "values that are words": set_state("values", Array(np.array([[["a"]]]))),
    "no features": set_args(0, Array(np.array([3])), 1),
    "many features": set_args(1 << 40, Array(np.array([3])), 1),
    "other features": set_args(FEATURES + 1, Array(np.array([3])), 1),
    "no classes": set_args(FEATURES, Array(np.array([0])), 1),
    "many outputs": set_args(FEATURES, Array(np.array([3])), 1 << 40),
    "too few arguments": set_args(FEATURES),
    "trees that are none": set_attribute("estimators_", [1, 2]),
    "no list of trees": set_attribute("estimators_", {}),
    "an empty list of trees": set_attribute("estimators_", []),
    "too many labels": set_attribute("classes_", Array(np.arange(4))),
    "another width": set_attribute("n_features_in_", FEATURES + 1),
    "half of it is unaware of missing values": lambda root: (
        root.attributes["estimators_"][1]
        .attributes["tree_"]
        .state.update(nodes=Array(nodes_of(root, 1)[["left_child", "right_child", "feature", "threshold"]]))
    ),
}
GRADIENTS: dict[str, Forge] = {
    "a table of another shape": set_attribute("estimators_", lambda table: Array.of_objects(table.objects, (5, 5))),
    "no table": set_attribute("estimators_", [1]),
    "no start": set_attribute("init_", None),
    "a start of other classes": lambda root: root.attributes["init_"].state.update(class_prior_=Array(np.ones(5))),
    "a rate that is none": set_attribute("learning_rate", "fast"),
    "one class": set_attribute("classes_", Array(np.arange(1))),
    "three classes": set_attribute("classes_", Array(np.arange(3))),
}


def first_predictor(root: Any) -> Any:
    return root.attributes["_predictors"][0][0].state


def set_split(field: str, value: int, is_categorical: int = 1) -> Forge:
    def forge(root: Any) -> None:
        nodes = first_predictor(root)["nodes"].values
        nodes[field][np.flatnonzero((nodes["is_leaf"] == 0) & (nodes["is_categorical"] == is_categorical))[0]] = value

    return forge


HISTOGRAMS: dict[str, Forge] = {
    "a child is its own parent": set_split("left", 0),
    "a child is outside": set_split("right", 1 << 31),
    "a feature outside": set_split("feature_idx", FEATURES),
    "a feature below": set_split("feature_idx", -1, 0),
    "a bitset outside": set_split("bitset_idx", 1 << 31),
    "a categorical split of a number": set_split("is_categorical", 1, 0),
    "bitsets of another width": lambda root: first_predictor(root).update(raw_left_cat_bitsets=Array(np.zeros((9, 7), np.uint32))),
    "no bitsets": lambda root: first_predictor(root).update(raw_left_cat_bitsets=None),
    "rounds of another size": set_attribute("_predictors", lambda rounds: [[], *rounds]),
    "trees that are none": set_attribute("_predictors", [[1, 2, 3]]),
    "a baseline of another size": set_attribute("_baseline_prediction", Array(np.zeros((1, 7)))),
    "an endless baseline": set_attribute("_baseline_prediction", Array(np.full((1, 3), np.inf))),
    "flags for other features": set_attribute("is_categorical_", Array(np.ones(3, np.bool_))),
    "no bins": set_attribute("_bin_mapper", None),
    "no encoder": set_attribute("_preprocessor", "encoder"),
    "a category of a huge code": lambda root: root.attributes["_bin_mapper"].state.update(
        bin_thresholds_=[Array(np.array([1e300]))] * FEATURES
    ),
    "no categories": lambda root: root.attributes["_preprocessor"].state["transformers_"][0][1].state.update(categories_=[]),
    "categories that are none": lambda root: root.attributes["_preprocessor"].state["transformers_"][0][1].state.update(categories_=[1, 2]),
    "an endless category": lambda root: (
        root.attributes["_preprocessor"].state["transformers_"][0][1].state.update(categories_=[Array(np.array([np.inf]))] * 2)
    ),
}
CASES = [
    (name, what, forge)
    for name, cases in (("forest", FORESTS), ("gradient", GRADIENTS), ("histogram-codes", HISTOGRAMS))
    for what, forge in cases.items()
]


@pytest.mark.parametrize(("name", "what", "forge"), CASES, ids=[f"{name}: {what}" for name, what, _ in CASES])
def test_an_artifact_that_contradicts_itself_is_corrupt(name: str, what: str, forge: Forge) -> None:
    root = records_of(fitted(name).estimator)
    forge(root)
    with pytest.raises(PackError) as caught:
        pack(root, NO_OPTIONS)
    assert caught.value.type == "corrupt_artifact"


def test_all_that_is_missing_is_listed() -> None:
    root = records_of(fitted("gradient").estimator)
    for key in ("init_", "learning_rate"):
        del root.state[key]
    with pytest.raises(PackError) as caught:
        pack(root, NO_OPTIONS)
    assert caught.value.type == "missing_keys" and caught.value.detail["missing"] == ["init_", "learning_rate"]
    root = records_of(fitted("forest").estimator)
    set_state("nodes", Array(nodes_of(root)[["left_child", "feature"]]))(root)
    with pytest.raises(PackError) as caught:
        pack(root, NO_OPTIONS)
    assert caught.value.detail["missing"] == ["right_child", "threshold"]


def test_what_is_not_known_is_said_so() -> None:
    root = records_of(fitted("histogram-squared_error").estimator)
    root.state["loss"] = "loss of 2099"
    with pytest.raises(PackError, match="loss of 2099") as caught:
        pack(root, NO_OPTIONS)
    assert caught.value.type == "unknown_format"


def chain(depth: int) -> Any:
    """A tree that is a single line, `depth` questions long."""
    root = records_of(fitted("decision-tree-value").estimator)
    tree = root.attributes["tree_"]
    nodes = np.zeros(2 * depth + 1, tree.state["nodes"].values.dtype)
    at = np.arange(0, 2 * depth, 2)
    nodes["left_child"] = nodes["right_child"] = -1
    nodes["left_child"][at], nodes["right_child"][at] = at + 1, at + 2
    nodes["threshold"][at] = -np.arange(depth, dtype=float) - 1
    tree.state.update(nodes=Array(nodes), values=Array(np.arange(2.0 * depth + 1).reshape(-1, 1, 1)))
    return root


def test_a_tree_as_deep_as_may_be_is_walked_to_its_end_and_a_deeper_one_refused() -> None:
    scorer = open_scorer(pack(chain(MAX_DEPTH), NO_OPTIONS))
    assert scorer.predict([[0.0] * FEATURES, [-1e6] * FEATURES]).predictions == [2.0 * MAX_DEPTH, 1.0]
    with pytest.raises(PackError, match="levels deep") as caught:
        pack(chain(MAX_DEPTH + 1), NO_OPTIONS)
    assert caught.value.type == "unknown_format"


# -- bundles ------------------------------------------------------------------------------------------------------------


def bundle_of(name: str, **changed: Any) -> Bundle:
    """A good bundle, arrays and meta copied, with some replaced; None takes one away."""
    good = pack(records_of(fitted(name).estimator), NO_OPTIONS)
    arrays = {key: array.copy() for key, array in good.arrays.items()}
    meta = dict(good.meta)
    for key, value in changed.items():
        into: dict[str, Any] = meta if key in meta else arrays
        into[key] = value(into[key]) if callable(value) else value
    return Bundle(
        "trees", {key: array for key, array in arrays.items() if array is not None}, {k: v for k, v in meta.items() if v is not None}
    )


def with_cell(value: Any, at: int = 0) -> Callable[[Any], Any]:
    def change(array: Any) -> Any:
        array.reshape(-1)[at] = value
        return array

    return change


BAD_BUNDLES: list[tuple[str, dict[str, Any]]] = [
    ("forest", {"child": with_cell(-1)}),
    ("forest", {"child": with_cell(1 << 60)}),
    ("forest", {"child": with_cell(1, at=-1)}),
    ("forest", {"child": lambda child: np.where(child == len(child) - 1, len(child), child)}),
    ("forest", {"child": lambda child: child[:-1]}),
    ("forest", {"child": lambda child: child.astype(np.int32)}),
    ("forest", {"child": None}),
    ("forest", {"column": with_cell(2 * FEATURES)}),
    ("forest", {"column": with_cell(-1)}),
    ("forest", {"column": with_cell(1 << 40, at=-1)}),
    ("forest", {"threshold": with_cell(np.nan)}),
    ("forest", {"threshold": with_cell(0.0, at=-1)}),
    ("forest", {"root": with_cell(1 << 40)}),
    ("forest", {"root": with_cell(-1)}),
    ("forest", {"root": lambda root: root[:0]}),
    ("forest", {"leaf_values": with_cell(np.inf)}),
    ("forest-value", {"leaf_values": with_cell(-1e300)}),
    ("gradient-words", {"leaf_values": lambda values: np.full_like(values, 1e299)}),
    ("gradient-words", {"baseline": with_cell(1e308)}),
    ("forest", {"leaf_values": lambda values: values[:, :1].copy()}),
    ("forest", {"leaf_values": lambda values: values[:0]}),
    ("forest", {"depth": 1 << 40}),
    ("forest", {"depth": -1}),
    ("forest", {"depth": "deep"}),
    ("forest", {"rule": "median"}),
    ("forest", {"rule": "softmax"}),
    ("forest", {"rule": "log"}),
    ("forest", {"tie_is_positive": None}),
    ("forest", {"signature": None}),
    ("forest-value", {"rule": "logit"}),
    ("forest-several", {"rule": "logit"}),
    ("gradient-words", {"baseline": None}),
    ("gradient-words", {"baseline": with_cell(np.nan)}),
    ("gradient-words", {"baseline": lambda baseline: baseline[:1]}),
    ("gradient-words", {"root": lambda root: root[:-1]}),
    ("histogram-codes", {"goes_right": with_cell(2)}),
    ("histogram-codes", {"goes_right": lambda table: table[:, :-1].copy()}),
    ("histogram-codes", {"goes_right": lambda table: table[:-1]}),
    ("histogram-codes", {"split_feature": with_cell(2)}),
    ("histogram-codes", {"split_feature": with_cell(-1)}),
    *[
        ("histogram-codes", {"categories": np.frombuffer(text, np.uint8)})
        for text in (
            b"\xff",
            b"{}",
            b"[1]",
            b'[{"column":9,"values":null}]',
            b'[{"column":true,"values":null}]',
            b'[{"column":1,"values":[[]]}]',
            b'[{"column":1,"values":7}]',
            b"[" * 100_000,
        )
    ],
    ("histogram-codes", {"categories": np.zeros(8, np.uint32)}),
]


@pytest.mark.parametrize(("name", "changed"), BAD_BUNDLES, ids=[f"{n}-{'-'.join(c)}-{at}" for at, (n, c) in enumerate(BAD_BUNDLES)])
def test_a_bundle_that_contradicts_itself_opens_no_scorer(name: str, changed: dict[str, Any]) -> None:
    with pytest.raises(BadBundle):
        open_scorer(bundle_of(name, **changed))


def test_a_bundle_that_was_checked_is_not_looked_through_again() -> None:
    bad = bundle_of("forest", threshold=with_cell(np.nan))
    assert open_scorer(Bundle(bad.family, bad.arrays, bad.meta, is_checked=True)).predict([[0.0] * FEATURES])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_opens_answers(data: st.DataObject) -> None:
    """Node arrays of noise: refused, or walked to an end."""
    bundle = bundle_of("histogram-codes")
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    for name in data.draw(st.lists(st.sampled_from(["child", "column", "threshold", "root", "split_feature"]), min_size=1, unique=True)):
        array = bundle.arrays[name]
        where = rng.integers(0, len(array), data.draw(st.integers(1, 20)))
        noise = rng.permutation(array)[: len(where)] if data.draw(st.booleans()) else rng.integers(-2, 2 * len(array), len(where))
        array[where] = noise
    try:
        scorer = open_scorer(bundle)
    except BadBundle:
        return
    warm(scorer)
    assert len(scorer.predict(fitted("histogram-codes").rows[:20]).predictions) == 20
