"""Which models a hybrid is made of."""

from __future__ import annotations

import pytest

from config.declared import PART_ROLES
from config.schema import ModelSettings
from loaders.errors import PartUnavailable
from loaders.parts import parts_of
from models.hybrid.blending import DEFAULT_PARTS, ROLES

CONFIGURED = ("mix", "texts", "als", "content_based", "collaborative")


def test_the_operator_comes_before_the_artifact_and_the_artifact_before_what_is_usual() -> None:
    usual = {"content": "content_based", "collaborative": "collaborative"}
    assert parts_of(ModelSettings("mix"), {}, CONFIGURED) == usual == DEFAULT_PARTS
    assert parts_of(ModelSettings("mix"), {"content": "texts"}, CONFIGURED) == {**usual, "content": "texts"}
    told = ModelSettings("mix", parts={"content": "als"})
    assert parts_of(told, {"content": "texts", "collaborative": "texts"}, CONFIGURED) == {"content": "als", "collaborative": "texts"}


def test_every_part_that_is_none_is_named_with_what_to_do() -> None:
    with pytest.raises(PartUnavailable) as caught:
        parts_of(ModelSettings("mix", parts={"content": "mix"}), {"collaborative": "nobody"}, CONFIGURED)
    for words in ("content is 'mix', which is the hybrid itself", "'nobody', which is no configured model", 'content = "..."', "of mix"):
        assert words in caught.value.message


def test_a_model_that_is_only_looked_at_needs_none_of_its_parts() -> None:
    assert parts_of(ModelSettings("file"), {}, ()) == DEFAULT_PARTS


def test_the_configuration_knows_the_same_roles() -> None:
    assert PART_ROLES == ROLES == tuple(DEFAULT_PARTS)
