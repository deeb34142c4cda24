"""A candidate's trial: measured on the holdout, met by what serves, judged by the gate.

Covers: which ground is fair for whom, opening both versions, the verdict. Does not cover: figures (`training.judging.evaluate`), rules
(`training.judging.gate`), what the verdict leads to (`training.running.steps`, `training.running.runner`). Capped child only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from config.declared import GATE
from loaders.errors import LoadError
from loaders.published import BadRecord, PublishedFolder, PublishedVersion
from training.errors import Untrainable
from training.judging.evaluate import Answers, all_metrics, ask, ask_popular, duel, paired, per_user, sampled
from training.judging.gate import Measured, judge
from training.judging.metrics import parse
from training.judging.opened import Known, open_version
from training.judging.split import Cut, Ground, Split
from training.judging.verdict import Duel, Verdict
from training.running.plan import Plan
from training.running.telling import Telling

HOLDOUT = "holdout"
"""Where a version's notes say which share was held out: with the salt it tells which pairs a random split held out."""
_OTHER_SPLIT = "was split in another way ({theirs}, this one {ours}), so that one may have learned what the other is asked"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is on trial. parts: role -> record of the part that serves; published: role -> where it lies. {} but for hybrids."""

    file: Path
    is_floor: bool
    parts: Mapping[str, PublishedVersion]
    published: Mapping[str, PublishedFolder]

    def part_files(self) -> dict[str, Path]:
        return {role: self.published[role].model_of(record.version) for role, record in self.parts.items()}


class _Met(NamedTuple):
    """What became of the comparison: a duel, or why there is none."""

    duel: Duel | None = None
    why: str = ""


def cut_of(record: PublishedVersion) -> Cut:
    """How the data of a published version were split. A share that is not recorded counts as 0: nothing is known to be held out."""
    share = record.notes.get(HOLDOUT)
    return Cut(
        kind="time" if record.split == "time" else "random",
        at=record.cut_at,
        salt=record.salt,
        share=float(share) if isinstance(share, int | float) else 0.0,
    )


def judged(plan: Plan, parted: Split, candidate: Candidate, telling: Telling) -> Verdict:
    """The verdict on a candidate's file. Raises training.errors.Untrainable where it cannot answer, LoadError, OSError.

    That the version that serves cannot be opened is no failure of the candidate: it is told, and the other rules decide.
    """
    trial = _Trial(plan, parted, candidate, telling)
    measured, answers = trial.measure()
    met = trial.meet(answers) if plan.champion is not None else _Met()
    return judge(
        plan.training.gate,
        measured,
        champion=plan.champion,
        duel=met.duel,
        no_duel=met.why,
        is_floor=candidate.is_floor,
        forced_by=plan.forced_by,
    )


class _Trial:
    def __init__(self, plan: Plan, parted: Split, candidate: Candidate, telling: Telling) -> None:
        self._plan = plan
        self._parted = parted
        self._candidate = candidate
        self._telling = telling
        self._metric = str(plan.training.gate.get("metric", GATE["metric"]))
        self._k = parse(self._metric)[1]
        self._known = Known(parted.train)
        self._part_cuts = [cut_of(record) for record in candidate.parts.values()]
        # A part may have learned what is held out here: a hybrid is measured on what neither it nor a part has seen.
        self._whole = parted.shared_with(self._part_cuts)

    def measure(self) -> tuple[Measured, Answers | None]:
        """The candidate and the most popular items, on the candidate's own ground."""
        parted, whole = self._parted, self._whole
        if whole is None:
            why = f"a part {_OTHER_SPLIT.format(theirs=self._part_cuts[0].kind, ours=parted.kind)}"
        else:
            why = f"of {len(parted.after)} held-out interactions none is of a user and with an item that are learned from, and new"
        if whole is None or not len(whole.held.users):
            return Measured(0.0, 0.0, 0, parted.kind, parted.cut.at, unmeasured=why), None
        ground = sampled(whole, self._plan.training.seed)
        answers = self._ask(self._candidate.file, ground, "measuring the candidate")
        popular = ask_popular(ground, len(self._known.items), self._k)
        mine, theirs = (per_user(each, ground, self._metric) for each in (answers, popular))
        measured = Measured(
            value=float(mine.mean()),
            popular=float(theirs.mean()),
            users=len(ground.held.users),
            split=parted.kind,
            cut_at=parted.cut.at,
            lead_error=paired(mine, theirs)[1],
            metrics=all_metrics(answers, ground, self._k),
        )
        return measured, answers

    def meet(self, answers: Answers | None) -> _Met:
        """The candidate and the version that serves, on the ground they share; `answers` are the candidate's on its own ground."""
        version = self._plan.champion or ""
        published = PublishedFolder(self._plan.store, self._plan.training.name)
        try:
            cut = cut_of(published.record(version))
        except (BadRecord, ValueError) as error:
            return self._unmet(f"its record cannot be read ({error})")
        shared = self._parted.shared_with([cut, *self._part_cuts])
        if shared is None:
            return _Met(why=f"it {_OTHER_SPLIT.format(theirs=cut.kind, ours=self._parted.kind)}")
        if not len(shared.held.users):
            return _Met(why="nothing is held out that neither has learned from")
        ground = sampled(shared, self._plan.training.seed)
        try:
            theirs = self._ask(published.model_of(version), ground, "measuring what serves")
        except (LoadError, Untrainable, OSError) as error:
            return self._unmet(f"its file cannot be asked ({error})")
        if answers is None or self._whole is None or shared.held is not self._whole.held:
            answers = self._ask(self._candidate.file, ground, "measuring the candidate where it meets what serves")
        found = duel(version, answers, theirs, ground, self._metric)
        return _Met(found) if found is not None else _Met(why="it knows none of the users that are measured")

    def _unmet(self, why: str) -> _Met:
        self._telling.warn(f"{self._plan.champion}, which serves, cannot be compared with: {why}")
        return _Met(why=why)

    def _ask(self, file: Path, ground: Ground, step: str) -> Answers:
        self._telling.progress(step, 0, len(ground.held.users))
        opened = open_version(file, self._known, ground, self._candidate.part_files())
        return ask(opened, self._known.users, ground, self._k, lambda done, total: self._telling.progress(step, done, total))
