"""Whether a candidate may serve: figures in, a verdict out, never an exception. Pure: no numpy, no I/O, no clock.

Covers: the three rules and their words. Does not cover: the figures (`training.judging.evaluate`), what follows
(`training.versions.publish`).

    minimum    the metric reaches the absolute minimum
    popular    and `popular` times that of the most popular items: less is not worth a model. What replaces a version that serves
               must also be better than them by more than 2 standard errors: on some hundreds of users one in twenty models that
               learned nothing beats a ratio by chance. Not asked of `popular` itself
    champion   and is not worse than the version that serves by more than `tolerance` AND more than 2 standard errors of the
               paired difference: a candidate that is equal within noise passes, or no honest retraining ever would

What cannot be measured has its rule say so (passed None). Where nothing at all can be measured, a first version is let in, since a
small data set must be able to start, but none replaces a version that serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from config.declared import GATE
from training.judging.verdict import Duel, Rule, Verdict

STANDARD_ERRORS = 2.0
FEW_USERS = 20
"""Of so many and fewer nobody need be met by chance: that neither the candidate nor popularity meets one says nothing."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a candidate. users 0: nobody could be, and `unmeasured` says why.

    value, popular: means of the gate's metric over `users`; lead_error: standard error of their paired difference. split, cut_at:
    see `training.judging.verdict.Verdict`.
    """

    value: float
    popular: float
    users: int
    split: str
    cut_at: float | None
    lead_error: float = 0.0
    unmeasured: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


def judge(
    gate: Mapping[str, Any],
    measured: Measured,
    *,
    champion: str | None = None,
    duel: Duel | None = None,
    no_duel: str = "",
    is_floor: bool = False,
    forced_by: str | None = None,
) -> Verdict:
    """The verdict on a candidate.

    gate: what [training.<name>] gate says, absent keys have the defaults of `config.declared.GATE`. champion: the version that
    serves, None where nothing is published. duel: how they met; None where they could not, and `no_duel` says why. is_floor: the
    candidate is `popular` itself. forced_by: who wants it published whatever the rules say; recorded only if one says no.
    """
    asked = {**GATE, **gate}
    metric = str(asked["metric"])
    if measured.users:
        rules = [
            _minimum(measured, metric, float(asked["minimum"])),
            _popular(measured, metric, float(asked["popular"]), is_first=champion is None, is_floor=is_floor),
        ]
    else:
        rules = _nobody(measured, champion)
    rules.append(_champion(champion, duel, no_duel, metric, float(asked["tolerance"])))
    is_good = all(rule.passed is not False for rule in rules)
    return Verdict(
        accepted=is_good or forced_by is not None,
        metric=metric,
        value=measured.value,
        popular=measured.popular,
        users=measured.users,
        split=measured.split,
        cut_at=measured.cut_at,
        rules=rules,
        duel=duel,
        forced_by=None if is_good else forced_by,
        metrics=measured.metrics,
    )


def _nobody(measured: Measured, champion: str | None) -> list[Rule]:
    because = measured.unmeasured or "no user has something held out"
    if champion is None:
        return [
            Rule("minimum", None, f"nothing can be measured: {because}; accepted, since nothing is published yet"),
            Rule("popular", None, "nothing can be measured"),
        ]
    return [
        Rule("minimum", False, f"nothing can be measured: {because}; what serves is not replaced by what nobody has measured"),
        Rule("popular", None, "nothing can be measured"),
    ]


def _minimum(measured: Measured, metric: str, minimum: float) -> Rule:
    passed = measured.value >= minimum
    over = f"over {_users(measured.users)}"
    if not minimum and passed:
        return Rule("minimum", True, f"{metric} is {_figure(measured.value)} {over}; no minimum is asked")
    compared = "reaches the minimum of" if passed else "is below the minimum of"
    return Rule("minimum", passed, f"{metric} is {_figure(measured.value)} {over}, which {compared} {_figure(minimum)}")


def _popular(measured: Measured, metric: str, times: float, *, is_first: bool, is_floor: bool) -> Rule:
    value, popular = measured.value, measured.popular
    told = f"{metric} is {_figure(value)}, that of the most popular items {_figure(popular)}"
    if is_floor:
        return Rule("popular", None, f"not asked: this is the model of the most popular items ({told})")
    if popular == 0 and value == 0 and is_first and measured.users <= FEW_USERS:
        return Rule("popular", None, f"{told}: {_users(measured.users)} are too few to tell")
    passed = value > 0 and value >= times * popular
    if popular == 0:
        return Rule("popular", passed, f"{told}: {'better' if passed else 'neither finds anything'}")
    told += f": {value / popular:.2f} times as much"
    if not passed:
        return Rule("popular", False, f"{told}, less than the {times:g} that are asked")
    noise = STANDARD_ERRORS * measured.lead_error
    if not is_first and value - popular <= noise:
        return Rule("popular", False, f"{told}, but not better by more than 2 standard errors ({_figure(noise)}): it may be chance")
    return Rule("popular", True, f"{told}, at least the {times:g} that are asked")


def _champion(champion: str | None, duel: Duel | None, no_duel: str, metric: str, tolerance: float) -> Rule:
    if champion is None:
        return Rule("champion", None, "nothing is published yet: nothing to compare with")
    if duel is None or not duel.users:
        because = no_duel or "no user has interactions that neither has learned from"
        return Rule("champion", None, f"cannot be compared with {champion}, which serves: {because}; the other rules decide")
    told = (
        f"{metric} is {_figure(duel.candidate)} against {_figure(duel.champion)} of {duel.version}, which serves,"
        f" on the same {_users(duel.users)}"
    )
    if isnan(duel.difference):
        return Rule("champion", False, f"{told}: the difference is no number")
    worse = -duel.difference
    noise = STANDARD_ERRORS * duel.standard_error
    if duel.users < 2:
        return Rule("champion", None, f"{told}: one user tells nothing; the other rules decide")
    if worse > tolerance and worse > noise:
        return Rule(
            "champion",
            False,
            f"{told}: worse by {_figure(worse)}, more than the tolerance of {_figure(tolerance)} and than 2 standard errors"
            f" ({_figure(noise)})",
        )
    if worse <= 0:
        return Rule("champion", True, f"{told}: {'better by ' + _figure(-worse) if worse else 'equal'}")
    within = f"within the tolerance of {_figure(tolerance)}" if worse <= tolerance else f"within 2 standard errors ({_figure(noise)})"
    return Rule("champion", True, f"{told}: worse by {_figure(worse)}, {within}")


def _figure(value: float) -> str:
    return f"{value:.4f}"


def _users(users: int) -> str:
    return "1 user" if users == 1 else f"{users} users"
