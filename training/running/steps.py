"""One run: data set -> split -> fit -> bundle file -> measured as it serves -> gate -> staged version. Capped child only.

Covers: the order of the steps, what each is given, the record of the version. Does not cover: the process around it
(`training.running.child`), what each step does (its own module), comparing (`training.judging.trial`), making the staged version
the one that serves (`training.versions.publish`). Whatever ends this process, all it leaves is a staging folder, which the next
run removes.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from loaders.bundle_file import write_bundle_file
from loaders.published import MODEL_FILE, BadRecord, PublishedFolder, PublishedVersion
from loaders.walls import PrivateMemory
from models.bundle import Bundle
from training.dataset import open_reader
from training.dataset.base import Dataset
from training.errors import PartUnpublished
from training.judging.split import Split, split
from training.judging.trial import HOLDOUT, Candidate, judged
from training.running.plan import Plan, threads_of
from training.running.telling import Telling, log
from training.trainers import open_trainer
from training.trainers.base import Ask
from training.trainers.bundles import Cells
from training.trainers.parameters import check
from training.versions.publish import stage_folder, write_record


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. outcome: "accepted", "refused" or "skipped" (`reason` says why, and there is no record)."""

    outcome: str
    fingerprint: Mapping[str, Any]
    reason: str | None = None
    record: PublishedVersion | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields of the "ok" frame."""
        told: dict[str, Any] = {"outcome": self.outcome, "fingerprint": dict(self.fingerprint), "reason": self.reason}
        if self.record is not None:
            names = ("family", "verdict", "metrics", "parameters", "seconds", "bytes", "sha256", "notes")
            told |= {name: getattr(self.record, name) for name in names}
        return told


def carry_out(plan: Plan, telling: Telling, memory: PrivateMemory) -> Outcome:
    """Do what the plan says. Raises training.errors.TrainingError, loaders.errors.LoadError, MemoryError, OSError, ImportError."""
    began = time.monotonic()
    training = plan.training
    trainer = open_trainer(training.algorithm)
    asked = check(training.algorithm, training.parameters)
    parts = _parts(plan)
    telling.phase("reading")
    read_at = time.time()
    dataset = open_reader(plan.data).read(telling.progress)
    log.info("%s", _in_words(dataset))
    fingerprint = {**dataset.fingerprint.to_json(), "recipe": recipe_of(plan, asked, parts)}
    if plan.forced_by is None and plan.last_fingerprint == fingerprint:
        return Outcome("skipped", fingerprint, "the data and the parameters are those of the last run")
    telling.phase("splitting")
    parted = split(dataset, training.holdout)
    _tell_split(parted)
    telling.phase("fitting")
    ask = Ask(
        train=parted.train,
        seen=Cells.of(dataset.interactions, len(dataset.user_ids), len(dataset.item_ids)),
        parameters=asked,
        seed=training.seed,
        memory_bytes=training.memory_bytes,
        threads=threads_of(training),
        parts={role: _published(plan, role).folder_of(record.version) for role, record in parts.items()},
        part_models=plan.part_models,
    )
    trained = trainer.fit(ask, telling.progress)
    trained_at = time.time()
    staging = stage_folder(plan.store, training.name, plan.run_id)
    size, digest = write_bundle_file(staging / MODEL_FILE, _dated(trained.bundle, read_at if parted.cut.at is None else parted.cut.at))
    family, parameters, notes = trained.bundle.family, dict(trained.parameters), dict(trained.notes)
    del ask, trained  # the arrays are read from the file from here on, as they will be when it serves
    telling.phase("evaluating")
    candidate = Candidate(staging / MODEL_FILE, trainer.is_floor, parts, {role: _published(plan, role) for role in parts})
    verdict = judged(plan, parted, candidate, telling)
    telling.phase("publishing")
    record = PublishedVersion(
        version=plan.run_id,
        training=training.name,
        algorithm=training.algorithm,
        family=family,
        trained_at=trained_at,
        published_at=time.time(),
        bytes=size,
        sha256=digest,
        code_version=plan.code_version,
        seconds=round(time.monotonic() - began, 3),
        peak_bytes=memory.sample(),
        split=parted.kind,
        cut_at=parted.cut.at,
        salt=parted.cut.salt,
        parameters=parameters,
        fingerprint=fingerprint,
        metrics=verdict.metrics,
        verdict=verdict.to_json(),
        parts={role: part.version for role, part in parts.items()},
        notes={**notes, HOLDOUT: training.holdout, "split": parted.notes},
    )
    for rule in verdict.rules:
        log.info("gate, %s: %s", rule.rule, rule.message)
    if verdict.accepted:
        write_record(staging, record)
    return Outcome("accepted" if verdict.accepted else "refused", fingerprint, record=record)


def _dated(bundle: Bundle, learned_until: float) -> Bundle:
    """The bundle, which says until when it has learned (Unix seconds): what users did later is folded in (`models.recent`)."""
    told = datetime.fromtimestamp(learned_until, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return replace(bundle, details={**bundle.details, "learned_until": told})


def recipe_of(plan: Plan, parameters: Mapping[str, Any], parts: Mapping[str, PublishedVersion]) -> str:
    """A digest, hex, of all but the data that makes a run's outcome: with it in its fingerprint, the same run is not done twice."""
    training = plan.training
    recipe = {
        "algorithm": training.algorithm,
        "parameters": dict(parameters),
        "holdout": training.holdout,
        "seed": training.seed,
        "gate": dict(training.gate),
        "parts": {role: record.version for role, record in parts.items()},
        "part_models": dict(plan.part_models),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True, default=str).encode()).hexdigest()


def _published(plan: Plan, role: str) -> PublishedFolder:
    return PublishedFolder(plan.store, plan.parts[role])


def _parts(plan: Plan) -> dict[str, PublishedVersion]:
    """Role -> what that part's training has published and serves. Raises PartUnpublished."""
    found = {}
    for role in plan.parts:
        published = _published(plan, role)
        version = published.current()
        if version is None:
            raise PartUnpublished(f"{published.training}, the {role} part, has published nothing yet: train it first", part=role)
        try:
            found[role] = published.record(version)
        except BadRecord as error:
            raise PartUnpublished(f"{published.training}, the {role} part: {error}", part=role) from error
    return found


def _in_words(dataset: Dataset) -> str:
    known = [name for name in ("items", "user_features", "item_features") if getattr(dataset, name) is not None]
    also = f"; with {', '.join(name.replace('_', ' ') for name in known)}" if known else ""
    return f"{len(dataset.interactions)} interactions of {len(dataset.user_ids)} users and {len(dataset.item_ids)} items{also}"


def _tell_split(parted: Split) -> None:
    how = "by time" if parted.kind == "time" else f"at random, since {parted.notes['random_because']}"
    held = parted.held
    log.info("%d interactions held out %s; measured on %d of them, of %d users", len(parted.after), how, len(held.items), len(held.users))
