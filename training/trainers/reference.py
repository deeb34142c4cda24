"""docs/reference/training.md, from the table of trainers and what each declares: `python -m training.trainers.reference` prints it.

Covers: the algorithms, and what a run does with any of them. Does not cover: settings of a
training (`config.reference`), words of the command line (`service.reference`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from config.declared import GATE
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

This page has the [algorithms](#algorithms), [what a run does](#a-run), [the gate](#the-gate), [what is published
where](#what-is-published-where) and [exit codes](#exit-codes).

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


RUNS = f"""\
## A run

One at a time in a process, and of one training one at a time on the host: whoever trains or publishes holds the lock in the training's
folder, which dies with its last holder. It is asked for by `holdfast train`, `POST /models/{{model}}/train`, `POST /api/ml/train-all`,
`schedule`, `after_interactions`, or by a model for which nothing is published yet.

1. **The data** are read in one snapshot, in a process of its own under the cap of `memory`, niced. If they are those of the last
   run that was published or refused, and so are algorithm, parameters and parts, the run is *skipped*; `--force` trains all the same.
2. **The split.** With times, the latest `holdout` of the interactions is held back, at one moment for everybody; without, a pair of user
   and item is held back by its hash, the same pairs in every run. Measured are users who are left with something to learn
   from, on items that are new to them and that somebody else has left.
3. **Fitting**, on what is left. Parameters that are chosen are chosen within it. What is held back is not lost to users: what they
   did after the version had learned is folded into their answers.
4. **The artifact is written**, and that file is opened again as the server would open it. What is measured is what will serve.
5. **Measured** over the whole catalogue, without what users have already: precision, recall, NDCG and MAP at the gate's depth
   (10 unless it has another), the share of users with a hit and of items that are ever answered; beside the most popular items, and
   beside the version that serves on what neither has learned from.
6. **The gate**, and if it lets the candidate pass, publishing.

A run ends as `published`, `refused`, `skipped`, `failed`, `cancelled` or, where its process vanished, `crashed`. `GET /training/runs` has
them all, the latest 1,000 of each training, with parameters, figures, verdict, peak memory and the end of the log.

## The gate

The `gate` of a training is a table of `metric` (`precision@K`, `recall@K`, `ndcg@K` or `map@K`; `{GATE["metric"]}`),
`minimum` ({GATE["minimum"]:g}), `tolerance` ({GATE["tolerance"]:g}) and `popular` ({GATE["popular"]:g}); in brackets what holds
unless it is given. A candidate is refused

- by the rule `minimum`, if the metric is below it;
- by the rule `popular`, if the metric is less than so many times that of the most popular items; or, where something serves, not
  better than theirs by more than 2 standard errors;
- by the rule `champion`, if the metric is worse than that of the version that serves by more than `tolerance` (absolute) and by more
  than 2 standard errors of the difference: over the same users, on interactions later than both have learned from.

What cannot be compared has its rule say why, and the others decide. Where nobody can be measured a first version passes, and
none replaces one that serves. A refusal is an answer and no error: it is recorded with its figures, and what serves goes on.
`--force` publishes all the same, and the record says on whose word.

## What is published where

In the store:

| path | what |
|---|---|
| `<training>/<version>/model.safetensors` | the artifact. The name of the version is the id of its run |
| `<training>/<version>/version.json` | its record: figures, verdict, parameters, fingerprint of the data, until when it has learned |
| `<training>/current` | a link to the version that serves, switched by one rename |
| `<training>/pinned` | a link, only after a rollback: nothing but a command switches while it is there |
| `<training>/withdrawn/<version>` | why a version was taken back after it was published |
| `<training>/lock` | held by who trains or publishes |
| training.db | the journal of runs |

A version is written whole and fsynced under another name, and then renamed. The newest `[store] keep_versions` stay, and the current
and the pinned one besides. A model with `source = "training:NAME"` takes what is current; every training that no model
names is served as a model of its own name. A new version that does not load, or does not answer `canary` questions that the one
before answered lately, is withdrawn, and the one before serves on. [Roll back](../howto/roll-back.md) says how to go back.

## Exit codes

Of `holdfast train`:

| code | what |
|---|---|
| 0 | published, or nothing new in the data |
| 1 | failed or cancelled; the message says of what |
| 2 | wrong usage or configuration |
| 3 | refused by the gate |
| 75 | another run of it waits or runs already |
| 130 | interrupted: the run was cancelled |
"""


def page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(line for algorithm in TRAINERS for line in _section(algorithm)), RUNS])


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
