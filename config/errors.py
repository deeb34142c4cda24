"""What can be wrong with a configuration, all of it at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right."""

    where: str
    """The file, "environment" or "command line"."""
    key: str
    """As the operator wrote it: "models.als.memory", "HOLDFAST_SERVER_PORT", "--port"; "" where the whole file is meant."""
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class ConfigError(Exception):
    """The configuration cannot be used; `problems` says everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.problems,))
