"""docs/reference/training.md, from the table of trainers and what each declares: `python -m training.trainers.reference` prints it.

Does not cover: settings of a training (`config.reference`), words of the command line (`service.reference`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from training.trainers import TRAINERS, open_trainer
from training.trainers.base import Parameter
from training.trainers.parameters import type_of

INTRODUCTION = """\
# Training

Made from the declarations of the trainers by `make docs`; do not edit.

A training is a section `[training.NAME]` of the configuration ([settings](settings.md)); its `algorithm` is one of these, and
its `parameters` are those of the algorithm that are not to have their defaults:

```toml
[data]
url = "sqlite:///var/data.db"

[training.als]
algorithm = "als"
schedule = "0 */6 * * *"
parameters = {factors = 64, regularization = 30.0}
```

## What all algorithms have in common

- **Pairs** of a user and an item that appear several times are one pair; their weights are added up. `weights` says how the sum
  counts. On made-up plays with a long tail `linear` lost up to 2 hits in a hundred against `equal` for `als`, and up
  to 21 for the others; `log` won about one for `als` and `ease`, and lost about one for `svd` and `nmf`, which reproduce the weights
  themselves: so the defaults.
- **A parameter without a default** is chosen by the trainer: one interaction of each of up to 5,000 users is held out of the data that
  the run learns from (never of its holdout), the values named below are tried, and that of the greatest mean NDCG is taken, at a
  tenth of the catalogue. What was tried, and what it gave, stands in the record of the run. More than 5 million interactions
  are searched on a random share of the users.
- **An item without interactions** is not answered by algorithms that learn from interactions alone, nor is anything like it; a user
  without any gets the mean of all users, which is near to what is popular (`ease`: nothing).
- **Who is no user** is answered from the items they like.
- **The same data, parameters, seed and number of threads** give the same model.

## Algorithms
"""


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(line for algorithm in TRAINERS for line in _section(algorithm))]) + "\n"


def _section(algorithm: str) -> Iterator[str]:
    module = sys.modules[type(trainer := open_trainer(algorithm)).__module__]
    yield f"### `{algorithm}`\n"
    yield f"{(module.__doc__ or '').strip().partition(chr(10))[0]}\n"
    if not trainer.parameters:
        yield "It takes no parameters.\n"
        return
    yield "| parameter | default | values | |\n|---|---|---|---|"
    for name, parameter in trainer.parameters.items():
        default = "chosen" if parameter.default is None else f"`{_toml(parameter.default)}`"
        yield f"| `{name}` | {default} | {_values(parameter)} | {parameter.help} |"
    yield ""


def _values(parameter: Parameter) -> str:
    if parameter.choices:
        return ", ".join(f"`{choice}`" for choice in parameter.choices)
    kind = {int: "whole numbers", float: "numbers", bool: "`true`, `false`", str: "text"}[type_of(parameter)]
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"{kind} from {low:,.10g} to {high:,.10g}"
    return kind if low is None else f"{kind} from {low:,.10g} on"


def _toml(value: int | float | bool | str) -> str:
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else f"{value:_}"


if __name__ == "__main__":
    sys.stdout.write(page())
