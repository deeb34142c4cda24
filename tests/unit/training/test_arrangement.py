"""Which training stands behind which model, and what is trained before what."""

from __future__ import annotations

import pytest

from config.schema import ModelSettings, Settings, TrainingSettings
from training.running.arrangement import in_order, models_from, part_models_of, parts_of, training_behind


def a_training(name: str, algorithm: str = "als", **parts: str) -> TrainingSettings:
    return TrainingSettings(name=name, algorithm=algorithm, parts=parts)


SETTINGS = Settings(
    models={
        "als": ModelSettings(name="als", source="s3://bucket/als.pkl"),
        "mine": ModelSettings(name="mine", source="training:als", fallback="training:als"),
        "theirs": ModelSettings(name="theirs", source="theirs.pkl", fallback="training:text"),
        "alone": ModelSettings(name="alone", source="alone.pkl"),
        "lost": ModelSettings(name="lost", source="training:nobody"),
    },
    training={
        each.name: each
        for each in (
            a_training("blend", "hybrid", collaborative="als"),
            a_training("als"),
            a_training("text", "content"),
            a_training("content", "content"),
        )
    },
)


@pytest.mark.parametrize(
    ("name", "training"),
    [("mine", "als"), ("theirs", "text"), ("als", "als"), ("blend", "blend"), ("alone", None), ("lost", None), ("nobody", None)],
)
def test_the_training_behind_a_name(name: str, training: str | None) -> None:
    assert training_behind(SETTINGS, name) == training


def test_who_serves_a_training_is_who_has_it_as_source() -> None:
    assert models_from(SETTINGS, "als") == ["mine"]
    assert models_from(SETTINGS, "text") == []


def test_parts_are_those_that_are_named_else_those_of_the_roles_names() -> None:
    assert parts_of(SETTINGS, SETTINGS.training["blend"]) == {"content": "content", "collaborative": "als"}
    assert part_models_of(SETTINGS, SETTINGS.training["blend"]) == {"content": "content", "collaborative": "mine"}
    assert parts_of(SETTINGS, SETTINGS.training["als"]) == {}


def test_a_role_that_nobody_plays_is_left_out() -> None:
    settings = Settings(training={"blend": a_training("blend", "hybrid")})
    assert parts_of(settings, settings.training["blend"]) == {}


def test_parts_come_first_and_else_the_order_stays() -> None:
    assert in_order(SETTINGS, SETTINGS.training) == ["als", "text", "content", "blend"]
