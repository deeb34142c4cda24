"""Parameters are what an algorithm declares: names, types and bounds, each mistake named."""

from __future__ import annotations

from typing import Any

import pytest

from training.errors import BadParameter
from training.trainers import TRAINERS, open_trainer
from training.trainers.parameters import check, type_of


@pytest.mark.parametrize("algorithm", sorted(TRAINERS))
def test_nothing_given_is_the_defaults_and_they_pass_themselves(algorithm: str) -> None:
    defaults = check(algorithm, {})
    declared = open_trainer(algorithm).parameters
    assert defaults == {name: parameter.default for name, parameter in declared.items()}
    assert check(algorithm, {name: value for name, value in defaults.items() if value is not None}) == defaults
    for parameter in declared.values():
        assert parameter.help.endswith(".") and type_of(parameter) in (int, float, bool, str)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"factor": 3}, r"als takes no parameter 'factor', but factors, alpha, .*; did you mean factors\?"),
        ({"factors": 3.0}, r"factors is 3\.0, which is not a whole number"),
        ({"factors": True}, "factors is True, which is not a whole number"),
        ({"factors": 0}, "factors is 0, which is less than 1"),
        ({"factors": 4096}, "factors is 4096, which is more than 2048"),
        ({"alpha": "8"}, "alpha is '8', which is not a number"),
        ({"alpha": float("nan")}, "alpha is nan, which is not a number"),
        ({"alpha": float("inf")}, "alpha is inf, which is not a number"),
        ({"weights": "lgo"}, r"weights is 'lgo', which is none of log, linear, equal; did you mean log\?"),
        ({"weights": 1}, "weights is 1, which is not a text"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(f"{key}-{given}" for key, given in value.items()),
)
def test_what_is_wrong_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadParameter, match=message):
        check("als", given)


def test_an_algorithm_without_parameters_says_so() -> None:
    with pytest.raises(BadParameter, match="popular takes no parameter 'k', but none"):
        check("popular", {"k": 1})


def test_a_whole_number_is_a_number() -> None:
    assert check("als", {"alpha": 2})["alpha"] == 2.0 and isinstance(check("als", {"alpha": 2})["alpha"], float)
