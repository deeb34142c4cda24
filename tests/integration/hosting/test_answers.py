"""What a hosted model answers is what scikit-learn answers, however it was saved and however it is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from loaders.errors import CorruptArtifact, LoadError, UnknownFormat
from models.base import AnswerFailed, InvalidQuery, Predictions
from tests.integration.hosting.bench_of_hosted import FOREVER_S, WAYS, hosted, numbers, people, pipeline, saved, svc, version
from tests.integration.loading.bench_of_one import bring, left_behind, open_loader

ROWS, CLASSES = numbers()
MODELS = {
    "svc": SVC,
    "knn": lambda: KNeighborsClassifier(n_jobs=-1),
    "mlp": lambda: MLPClassifier((8,), max_iter=20),
    "grid": lambda: GridSearchCV(SVC(), {"C": [1, 2]}, cv=2),
    "svr": SVR,
    "several": KNeighborsRegressor,
}


def fitted(name: str) -> Any:
    target = {"svr": ROWS[:, 0], "several": ROWS[:, :2]}.get(name, CLASSES)
    return MODELS[name]().fit(ROWS, target)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("name", MODELS)
async def test_answers_are_the_library_s(name: str, tmp_path: Path) -> None:
    model = fitted(name)
    async with hosted(model, tmp_path) as scorer:
        answer = await scorer.answer(ROWS.tolist(), FOREVER_S)
        single = [await scorer.answer([row], FOREVER_S) for row in ROWS[:5].tolist()]
    np.testing.assert_array_equal(np.array(answer.predictions), model.predict(ROWS))
    assert [one.predictions[0] for one in single] == answer.predictions[:5]
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(np.array(answer.probabilities), model.predict_proba(ROWS), rtol=1e-12)
        assert answer.classes == model.classes_.tolist()
    else:
        assert answer.probabilities is None
    assert {type(value) for value in np.array(answer.predictions, object).ravel()} <= {int, float}


@pytest.mark.parametrize("way", WAYS)
async def test_however_it_was_saved(way: str, tmp_path: Path) -> None:
    async with hosted({"model": svc(), "trained_at": "2026-01-01"}, tmp_path, way) as scorer:
        answer = await scorer.answer(ROWS[:20].tolist(), FOREVER_S)
        assert answer.predictions == svc().predict(ROWS[:20]).tolist()
        assert scorer.details["model"] == "sklearn.svm._classes.SVC" and scorer.details["features"] == 5


@pytest.mark.parametrize("way", ["pickle5", "joblib_zlib"])
async def test_columns_by_name_make_a_data_frame(way: str, tmp_path: Path) -> None:
    frame = people()
    rows = frame.to_dict("records")
    wanted = pipeline().predict_proba(frame)
    async with hosted(pipeline(), tmp_path, way) as scorer:
        by_name = await scorer.answer(rows, FOREVER_S)
        np.testing.assert_allclose(np.array(by_name.probabilities), wanted, rtol=1e-12)
        in_order = await scorer.answer([list(row.values()) for row in rows], FOREVER_S)
        assert in_order == by_name
        other_order = await scorer.answer([dict(reversed(row.items())) for row in rows], FOREVER_S)
        assert other_order == by_name
        unseen = await scorer.answer([{"age": 3, "town": "Nowhere", "about": "tea"}], FOREVER_S)
        assert len(unseen.predictions) == 1
        with pytest.raises(InvalidQuery) as caught:
            await scorer.answer([{"age": 3, "town": "Ulm"}], FOREVER_S)
        assert caught.value.field == "instances[0]" and "about" in caught.value.message


async def test_texts_where_the_model_takes_no_columns(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.naive_bayes import MultinomialNB

    texts = ["good film", "bad film", "very good", "very bad"] * 3
    model = make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(texts, ["yes", "no"] * 6)
    async with hosted(model, tmp_path) as scorer:
        answer = await scorer.answer(texts, FOREVER_S)
        assert answer.predictions == model.predict(texts).tolist() and answer.classes == ["no", "yes"]
        with pytest.raises(InvalidQuery) as caught:
            await scorer.answer(["good", 3], FOREVER_S)
        assert caught.value.field == "instances[1]"


async def test_missing_values_go_to_who_takes_them(tmp_path: Path) -> None:
    model = make_pipeline(SimpleImputer(), SVC()).fit(ROWS, CLASSES)
    rows = ROWS[:4].copy()
    rows[1, 2] = np.nan
    sent = [[None if np.isnan(value) else value for value in row] for row in rows.tolist()]
    async with hosted(model, tmp_path) as scorer:
        assert (await scorer.answer(sent, FOREVER_S)).predictions == model.predict(rows).tolist()


async def test_rows_that_are_none_are_refused_by_field(tmp_path: Path) -> None:
    row = ROWS[0].tolist()
    wrong: dict[str, list[Any]] = {
        "instances": [],
        "instances[1]": [row, row[:-1]],
        "instances[0]": ["text"],
        "instances[0][0]": [["text", *row[1:]]],
        "instances[1][4]": [row, [*row[:4], None]],
    }
    async with hosted(svc(), tmp_path) as scorer:
        for field, instances in wrong.items():
            with pytest.raises(InvalidQuery) as caught:
                await scorer.answer(instances, FOREVER_S)
            assert caught.value.field == field
        assert scorer.calls == 0


async def test_what_the_estimator_finds_wrong_is_its_own_words(tmp_path: Path) -> None:
    """Only it knows that a pipeline's column must be a number; the child goes on."""
    async with hosted(pipeline(), tmp_path) as scorer:
        with pytest.raises(InvalidQuery, match="old") as caught:
            await scorer.answer([{"age": "old", "town": "Ulm", "about": "tea"}], FOREVER_S)
        assert caught.value.field == "instances"
        assert len((await scorer.answer([{"age": 1, "town": "Ulm", "about": "tea"}], FOREVER_S)).predictions) == 1


async def test_a_number_that_json_cannot_say_is_null(tmp_path: Path) -> None:
    from sklearn.dummy import DummyRegressor

    model = DummyRegressor(strategy="constant", constant=1.0).fit(ROWS, ROWS[:, 0])
    model.constant_ = np.array([[np.inf]])
    async with hosted(model, tmp_path) as scorer:
        assert await scorer.answer(ROWS[:2].tolist(), FOREVER_S) == Predictions([None, None])


async def test_a_class_that_json_cannot_say_does_not_end_the_process(tmp_path: Path) -> None:
    model = KNeighborsClassifier().fit(ROWS, CLASSES)
    model.classes_ = np.array([f"{label}\ud800" for label in model.classes_])
    async with hosted(model, tmp_path) as scorer:
        for _ in range(2):
            answer = await scorer.answer(ROWS[:1].tolist(), FOREVER_S)
            assert answer.predictions[0].endswith("\ufffd")


async def test_an_estimator_that_fails_by_itself_is_no_fault_of_the_rows(tmp_path: Path) -> None:
    model = KNeighborsClassifier().fit(ROWS, CLASSES)
    del model._tree
    async with hosted(model, tmp_path) as scorer:
        for _ in range(2):
            with pytest.raises(AnswerFailed, match="_tree") as caught:
                await scorer.answer(ROWS[:2].tolist(), FOREVER_S)
            assert caught.value.type == "internal_error"


async def test_what_is_shown_of_it(tmp_path: Path) -> None:
    phases: list[str] = []
    async with open_loader(tmp_path) as loader:
        loaded = await bring(loader, saved(svc(), tmp_path), phases)
        assert phases == ["loading", "warming"]
        assert (loaded.family, loaded.segment_bytes) == ("hosted", 0)
        assert loaded.details["classes"] == [0, 1, 2] and loaded.scorer.ids_in_words() == {}
        load = loaded.load
        assert load["cap_bytes"] == 1 << 30 and 20 << 20 < load["peak_bytes"] < load["cap_bytes"]
        assert {"rlimit", "landlock", "seccomp"} <= set(load["walls"]) and "SVC" in load["family_reason"]
        assert loader.estimate(loader_settings(tmp_path), await artifact(loader, tmp_path)) == load["peak_bytes"]
        await loaded.close()
        # Not a segment, but the artifact: a process that dies is started again from it.
        assert [name for name in left_behind(loader) if name.endswith(".seg")] == [] and len(left_behind(loader)) == 2


def loader_settings(folder: Path) -> Any:
    from config.schema import ModelSettings

    return ModelSettings(name="m", source=str(folder / "model.pickle5"))


async def artifact(loader: Any, folder: Path) -> Any:
    found = await loader.fetch(loader_settings(folder), known=None, on_progress=lambda done, total: None)
    assert found is not None
    return found


async def test_memory_is_what_is_configured(tmp_path: Path) -> None:
    async with open_loader(tmp_path) as loader, version(loader, saved(svc(), tmp_path), memory_bytes=600 << 20) as loaded:
        assert loaded.load["cap_bytes"] == 600 << 20


async def test_what_cannot_predict_is_no_model(tmp_path: Path) -> None:
    from sklearn.preprocessing import PowerTransformer

    async with open_loader(tmp_path) as loader:
        with pytest.raises(UnknownFormat, match=r"PowerTransformer has no predict") as caught:
            await bring(loader, saved(PowerTransformer().fit(ROWS), tmp_path))
        assert caught.value.detail["classes"] == ["sklearn.preprocessing._data.PowerTransformer"]
        assert left_behind(loader) == []


def with_itself(pipeline: Any) -> Any:
    pipeline.steps[0] = ("itself", pipeline)
    return pipeline


def with_steps_that_are_none() -> Any:
    pipeline = make_pipeline(PCA(2), StandardScaler(), SVC()).fit(*numbers())
    pipeline.steps[0] = 3
    return pipeline


def with_attributes(model: Any, **attributes: Any) -> Any:
    vars(model).update(attributes)
    return model


FORGED: dict[str, tuple[Callable[[], Any], type[LoadError]]] = {
    "a pipeline of itself": (lambda: with_itself(make_pipeline(PCA(2), SVC()).fit(*numbers())), CorruptArtifact),
    "steps that are none": (with_steps_that_are_none, CorruptArtifact),
    "names that are none": (lambda: with_attributes(SVC().fit(*numbers()), feature_names_in_=3), CorruptArtifact),
    "labels without end": (lambda: with_attributes(KNeighborsClassifier().fit(*numbers()), classes_=np.arange(10**6)), UnknownFormat),
}


@pytest.mark.parametrize("what", FORGED)
async def test_an_object_that_does_not_say_what_it_takes_is_not_tried_again(what: str, tmp_path: Path) -> None:
    make, failure = FORGED[what]
    async with open_loader(tmp_path) as loader:
        with pytest.raises(failure):
            await bring(loader, saved(make(), tmp_path))
        assert left_behind(loader) == []


async def test_a_width_that_nobody_has_is_none(tmp_path: Path) -> None:
    async with hosted(with_attributes(SVC().fit(*numbers()), n_features_in_=2**70), tmp_path) as scorer:
        assert scorer.signature.features == 0


async def test_many_long_names_are_told(tmp_path: Path) -> None:
    names = np.array([f"{at:06d} {'x' * 60}" for at in range(20_000)], object)
    async with hosted(with_attributes(SVC().fit(*numbers()), feature_names_in_=names), tmp_path) as scorer:
        assert scorer.signature.names == tuple(names)


async def test_a_long_answer_is_one_frame(tmp_path: Path) -> None:
    model = GaussianProcessRegressor(optimizer=None).fit(ROWS[:10], ROWS[:10, 0])
    rows = np.resize(ROWS, (50_000, 5))
    async with hosted(model, tmp_path) as scorer:
        answer = await scorer.answer(rows.tolist(), FOREVER_S)
        np.testing.assert_allclose(answer.predictions[:120], model.predict(rows[:120]), rtol=1e-9, atol=1e-9)
        assert len(answer.predictions) == 50_000
