"""What a pickle may do with allowed names: forged ones that call, change or hide, and what models really need."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from loaders.errors import UntrustedType
from loaders.hosting.allowed import ALLOWED, MAKERS
from loaders.hosting.unpickling import unpickle
from tests.integration.hosting.bench_of_hosted import people, pipeline, saved, svc
from tests.integration.loading.bench_of_one import bring, left_behind, open_loader

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")  # forged states name none
# -- pickles written by hand (protocol 2) -------------------------------------------------------------------------------


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word.encode())) + word.encode()


def name(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def state(**attributes: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in attributes.items()) + b"u"


def call(called: bytes, *given: bytes) -> bytes:
    return called + b"(" + b"".join(given) + b"tR"


def instance(kind: bytes, **attributes: bytes) -> bytes:
    return kind + b")\x81" + state(**attributes) + b"b"


ZERO, ONE = b"K\x00", b"K\x01"
MEAN = name("numpy", "mean")
FUNCTION = name("sklearn.feature_selection._univariate_selection", "f_classif")
REGRESSOR = name("sklearn.svm._classes", "SVR")
CLASS = name("sklearn.cluster._birch", "_CFSubcluster")
SCORER = name("sklearn.metrics._scorer", "_Scorer")


def scorer(method: str, function: bytes, **options: bytes) -> bytes:
    """Called with an estimator and X, it calls that method with X."""
    return instance(SCORER, _response_method=text(method), _score_func=function, _sign=ONE, _kwargs=state(**options))


def execution(code: str, rest: bytes) -> bytes:
    """A pickle of allowed names only which runs `code`, before it comes to `rest`: the state of a class and of a function
    disguise that function as an estimator; a scorer asks it for its globals, others take `exec` out of them."""
    told = name("sklearn.cluster._birch", "_CFSubcluster")
    parts = [told + b"N" + state(estimator_type=text("x")) + b"\x86b0"]
    parts += [FUNCTION + state(__sklearn_tags__=told) + b"bq\x010"]
    parts += [instance(REGRESSOR, kernel=text("rbf")) + b"q" + bytes([at]) + b"0" for at in (2, 3)]
    taking = scorer("__getattribute__", scorer("__setstate__", MEAN), y_true=ZERO)
    parts += [call(taking, b"h\x01", text("__globals__"), b"h\x02") + b"0"]
    parts += [call(taking, b"h\x02", text("__builtins__"), b"h\x03") + b"0"]
    parts += [call(scorer("exec", MEAN), b"h\x03", text(code), ZERO) + b"0"]
    return b"\x80\x02" + b"".join(parts) + rest


def plain() -> bytes:
    return pickle.dumps(SVC().fit(np.eye(4), [0, 1, 0, 1]), 2)[2:]


def unpickled(data: bytes, *, is_joblib: bool = False, trusts_all: bool = False) -> Any:
    fd = os.memfd_create("artifact")
    try:
        os.write(fd, data)
        return unpickle(fd, is_joblib, trusts_all=trusts_all)
    finally:
        os.close(fd)


@pytest.fixture
def unharmed() -> Iterator[None]:
    """The forged pickle changes what it names, where it is let."""
    from sklearn.cluster._birch import _CFSubcluster
    from sklearn.feature_selection import f_classif

    yield
    vars(f_classif).pop("__sklearn_tags__", None)
    if hasattr(_CFSubcluster, "estimator_type"):
        del _CFSubcluster.estimator_type


@pytest.mark.usefixtures("unharmed")
@pytest.mark.filterwarnings("ignore")
def test_allowed_names_together_can_run_anything(tmp_path: Path) -> None:
    """Why names are not enough. What is forged here must work, or the next test shows nothing."""
    marker = tmp_path / "ran"
    unpickled(execution(f"open({str(marker)!r}, 'w').close()", plain()), trusts_all=True)
    assert marker.exists()


@pytest.mark.usefixtures("unharmed")
@pytest.mark.parametrize("is_joblib", [False, True])
def test_but_not_where_only_the_known_are_trusted(is_joblib: bool, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(UntrustedType, match=r"unpickling would change .*_CFSubcluster"):
        unpickled(execution(f"open({str(marker)!r}, 'w').close()", plain()), is_joblib=is_joblib)
    assert not marker.exists()


async def test_nor_through_the_loader(tmp_path: Path) -> None:
    """The reading as data refuses the one above. This one it takes: all names are allowed, and nobody calls them there."""
    path = tmp_path / "forged"
    path.write_bytes(b"\x80\x02" + call(scorer("fit", MEAN), instance(REGRESSOR, kernel=text("rbf")), ZERO, ZERO) + b"0" + plain())
    async with open_loader(tmp_path) as loader:
        with pytest.raises(UntrustedType, match=r"call an object of _Scorer.* trust = \"any\""):
            await bring(loader, path)
        assert left_behind(loader) == []


FORGED = {
    "a function is called": call(FUNCTION, ZERO, ZERO),
    "an instance is called": call(scorer("fit", MEAN), ZERO, ZERO, ZERO),
    "a class is called": call(REGRESSOR, ZERO),
    "what makes is given what it may call": call(name("numpy.random._pickle", "__randomstate_ctor"), ZERO, FUNCTION),
    "what makes is given an object with methods": call(name("builtins", "set"), instance(REGRESSOR, a=ONE)),
    "an opcode of old calls": b"(" + ZERO + b"isklearn.svm._classes\nSVR\n",
    "another opcode of old calls": b"(" + REGRESSOR + ZERO + b"o",
    "an instance of an instance": instance(REGRESSOR, a=ONE) + b")\x81",
    "a function gets attributes": FUNCTION + state(a=ONE) + b"b",
    "a function gets defaults": FUNCTION + b"N" + state(a=ONE) + b"\x86b",
    "a class gets methods": CLASS + b"N" + state(a=ONE) + b"\x86b",
    "a method is hidden": instance(REGRESSOR, predict=MEAN),
    "an inherited method is hidden": instance(REGRESSOR, get_params=MEAN),
    "what Python asks for is hidden": instance(CLASS, __setstate__=MEAN),
    "slots too": CLASS + b")\x81N" + state(__class__=REGRESSOR) + b"\x86b",
    "an object for a state": CLASS + b")\x81" + instance(REGRESSOR, a=ONE) + b"b",
    "items into what has its own append": instance(REGRESSOR, append=MEAN) + b"(" + ZERO + b"e",
    "one item": instance(REGRESSOR, append=MEAN) + ZERO + b"a",
    "items into what has its own add": instance(CLASS, add=MEAN) + b"(" + ZERO + b"\x90",
    "a method by its name": scorer("__setstate__", MEAN),
    "methods by their names": instance(
        name("sklearn.ensemble._stacking", "StackingRegressor"), stack_method_=b"](" + text("predict") + text("fit") + b"e"
    ),
    "a name that comes later": instance(name("sklearn.ensemble._stacking", "StackingRegressor"), stack_method_=b"]q\x07")
    + b"0h\x07" + text("fit") + b"a",
    "a path to what is hidden": instance(
        name("sklearn.feature_selection._from_model", "SelectFromModel"), importance_getter=text("fit.__globals__")
    ),
}  # fmt: skip


@pytest.mark.parametrize("is_joblib", [False, True])
@pytest.mark.parametrize("deed", FORGED)
def test_what_no_model_needs_is_refused(deed: str, is_joblib: bool) -> None:
    with pytest.raises(UntrustedType, match="unpickling would"):
        unpickled(b"\x80\x02" + FORGED[deed] + b".", is_joblib=is_joblib)


def test_in_an_object_array_of_joblib_too(tmp_path: Path) -> None:
    class Forged:
        def __reduce__(self) -> Any:
            return np.mean, (0,)

    array = np.empty(1, dtype=object)
    array[0] = Forged()
    joblib.dump(array, tmp_path / "x")
    with pytest.raises(UntrustedType, match=r"call numpy\.mean"):
        unpickled((tmp_path / "x").read_bytes(), is_joblib=True)


# -- dtypes -------------------------------------------------------------------------------------------------------------

DTYPE = call(name("numpy", "dtype"), text("V8"), ZERO, ONE)


def forged_dtype(number: bytes = DTYPE, names: Any = None, fields: bytes = b"N", size: int = 8, flags: int = 0) -> bytes:
    words = b"N" if names is None else b"(" + b"".join(map(text, names)) + b"t"
    return number + b"(K\x03" + text("|") + b"N" + words + fields + b"J" + struct.pack("<i", size) + ONE + b"K" + bytes([flags]) + b"tb"


NUMBER = call(name("numpy", "dtype"), text("i8"), ZERO, ONE)
OBJECT = call(name("numpy", "dtype"), text("O8"), ZERO, ONE)


@pytest.mark.parametrize(
    "forged",
    [
        forged_dtype(names=["a"], fields=b"}" + text("a") + NUMBER + b"K\x20\x86s"),
        forged_dtype(names=["a"], fields=b"}" + text("a") + OBJECT + b"K\x00\x86s"),
        forged_dtype(OBJECT, size=-1, flags=0),
    ],
    ids=["beside", "objects without counting", "an object that is none"],
)
def test_a_dtype_that_numpy_would_not_make_is_refused(forged: bytes) -> None:
    with pytest.raises(UntrustedType, match="a dtype"):
        unpickled(b"\x80\x02" + forged + b".")


@pytest.mark.parametrize("kind", ["f8", ">i4", "U7", "M8[ns]", "O", "S3", "V5", [("a", "f4"), ("b", "O")], [("a", "f8", (2, 3))]])
@pytest.mark.parametrize("is_aligned", [False, True])
def test_dtypes_are_themselves(kind: Any, is_aligned: bool) -> None:
    dtype = np.dtype(kind, align=is_aligned)
    for protocol in (2, 5):
        assert unpickled(pickle.dumps(dtype, protocol)) == dtype
    named = np.dtype([("newbyteorder", "i8"), ("x", "i1")], align=is_aligned)
    assert unpickled(pickle.dumps(np.zeros(2, named))).dtype == named


# -- what models need ---------------------------------------------------------------------------------------------------


def numbers_by_kind() -> Any:
    columns = ColumnTransformer([("numbers", StandardScaler(), make_column_selector(dtype_include=np.number))])
    return make_pipeline(columns, SplineTransformer(), SVC()).fit(people(), np.arange(40) % 2)


@pytest.mark.parametrize("way", ["pickle2", "pickle5", "joblib", "joblib_zlib"])
@pytest.mark.parametrize("make", [svc, pipeline, numbers_by_kind], ids=lambda make: make.__name__)
def test_models_are_themselves(make: Any, way: str, tmp_path: Path) -> None:
    model = make()
    found = unpickled(saved(model, tmp_path, way).read_bytes(), is_joblib=way.startswith("joblib"))
    rows = np.zeros((3, 5)) if make is svc else people()
    assert found.predict(rows).tolist() == model.predict(rows).tolist()


def test_values_that_are_made_by_calls_are_themselves() -> None:
    from collections import Counter, OrderedDict, defaultdict, deque
    from datetime import UTC, date, datetime, timedelta
    from decimal import Decimal

    values = [Counter("aab"), OrderedDict(a=1), defaultdict(list, a=[1]), deque([1, 2]), {1, 2}, frozenset({3}), slice(1, 2), range(4)]
    values += [date(2026, 1, 2), datetime(2026, 1, 2, tzinfo=UTC), timedelta(3), Decimal("1.5"), 1j, b"x", bytearray(b"y"), np.float32(2)]
    for protocol in (2, 3, 4, 5):
        assert unpickled(pickle.dumps(values, protocol)) == values
        state = np.random.RandomState(3)
        assert unpickled(pickle.dumps(state, protocol)).randint(99) == np.random.RandomState(3).randint(99)
        assert unpickled(pickle.dumps(np.random.default_rng(3), protocol)).integers(99) == np.random.default_rng(3).integers(99)
        tree = DecisionTreeClassifier().fit(np.eye(4), [0, 1, 0, 1])
        assert unpickled(pickle.dumps(tree, protocol)).predict(np.eye(4)).tolist() == [0, 1, 0, 1]


def test_who_may_be_called_may_be_named() -> None:
    assert MAKERS < ALLOWED
