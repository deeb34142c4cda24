"""The parameters an operator gives, checked against those that an algorithm declares.

Covers: names, types, bounds and choices, with defaults filled in. Does not cover: declaring them (each trainer), choosing those
whose default is None (the trainer, when it sees the data).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from config.layers import did_you_mean
from training.errors import BadParameter
from training.trainers import open_trainer
from training.trainers.base import Parameter

_CALLED = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def check(algorithm: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter of the algorithm: as given, else its default. Raises BadParameter, which names the first that is wrong."""
    declared = open_trainer(algorithm).parameters
    for name in given:
        if name not in declared:
            takes = ", ".join(declared) or "none"
            raise BadParameter(f"{algorithm} takes no parameter {name!r}, but {takes}{did_you_mean(name, declared)}", parameter=name)
    return {name: _checked(name, parameter, given[name]) if name in given else parameter.default for name, parameter in declared.items()}


def problems(algorithm: str, given: Mapping[str, Any]) -> list[str]:
    """What is wrong with each of those that are given, in words; the algorithm is one of `training.trainers.TRAINERS`."""
    found = []
    for name, value in given.items():
        try:
            check(algorithm, {name: value})
        except BadParameter as error:
            found.append(str(error))
    return found


def type_of(parameter: Parameter) -> type:
    """The type of a parameter's values."""
    if parameter.type is not None:
        return parameter.type
    return type(parameter.default) if parameter.default is not None else float


def _checked(name: str, parameter: Parameter, value: Any) -> int | float | bool | str:
    wanted = type_of(parameter)
    is_right = type(value) is wanted or (wanted is float and type(value) is int)
    if not is_right or (wanted is float and not isfinite(value)):
        raise BadParameter(f"{name} is {value!r}, which is not {_CALLED[wanted]}", parameter=name)
    if parameter.choices and value not in parameter.choices:
        hint = did_you_mean(str(value), parameter.choices)
        raise BadParameter(f"{name} is {value!r}, which is none of {', '.join(parameter.choices)}{hint}", parameter=name)
    if wanted in (int, float):
        if parameter.minimum is not None and value < parameter.minimum:
            raise BadParameter(f"{name} is {value!r}, which is less than {parameter.minimum:g}", parameter=name)
        if parameter.maximum is not None and value > parameter.maximum:
            raise BadParameter(f"{name} is {value!r}, which is more than {parameter.maximum:g}", parameter=name)
    checked: int | float | bool | str = float(value) if wanted is float else value
    return checked
