"""Every way a model can fail to become ready. The class is the decision: its `type` is the public name, its `retry` says what happens next.

No HTTP numbers here; `service.status` has those. Low-level exceptions are translated once, at the edge, `raise ... from`.
"""

from __future__ import annotations

from enum import Enum
from typing import ClassVar


class Retry(Enum):
    """What a failure means for the next attempt."""

    BACKOFF = "backoff"  # exponential with jitter, for ever
    SLOWLY = "slowly"  # a person must act; asked again rarely
    LIMITED = "limited"  # backoff, at most 3 times for one revision, then permanent
    ONCE = "once"  # one more try at once, then permanent
    NEVER = "never"  # not before the revision or the configuration changes, or an operator asks


class NamedFailure(Exception):
    """A failure with a public name, which stands in status pages, records, metrics and the log. `detail` is JSON-ready context."""

    type: ClassVar[str]

    def __init__(self, message: str, **detail: object) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.__class__, self.message, self.detail))


def _rebuild(cls: type[NamedFailure], message: str, detail: dict[str, object]) -> NamedFailure:
    return cls(message, **detail)


class LoadError(NamedFailure):
    """A model could not be brought to ready; `detail` has sizes, classes seen, keys missing."""

    retry: ClassVar[Retry]


class FetchError(LoadError):
    """The artifact could not be had from its source."""


class SourceUnavailable(FetchError):
    """Refused, reset, 5xx, quota page."""

    type = "source_unavailable"
    retry = Retry.BACKOFF


class FetchTimeout(FetchError):
    """The whole fetch took longer than fetch_timeout."""

    type = "fetch_timeout"
    retry = Retry.BACKOFF


class FetchStalled(FetchError):
    """No byte arrived for stall_timeout."""

    type = "fetch_stalled"
    retry = Retry.BACKOFF


class DiskFull(LoadError):
    """The store has no room (ENOSPC, EDQUOT, or less free than the artifact needs)."""

    type = "disk_full"
    retry = Retry.BACKOFF


class SourceNotFound(FetchError):
    """404, no such key, no such file."""

    type = "source_not_found"
    retry = Retry.SLOWLY


class AccessDenied(FetchError):
    """401, 403, 407, sign-in page, EACCES."""

    type = "access_denied"
    retry = Retry.SLOWLY


class DigestMismatch(FetchError):
    """The artifact is not the one that `sha256` names."""

    type = "digest_mismatch"
    retry = Retry.NEVER


class TooLarge(LoadError):
    """Larger than max_artifact_bytes, or its arrays larger than the segment limit."""

    type = "too_large"
    retry = Retry.NEVER


class NotAModel(LoadError):
    """An HTML page, an empty file, a directory: not an artifact at all."""

    type = "not_a_model"
    retry = Retry.NEVER


class UnknownFormat(LoadError):
    """No reader or no family fits; `detail["classes"]` names what was seen."""

    type = "unknown_format"
    retry = Retry.NEVER


class CorruptArtifact(LoadError):
    """Truncated, bit-flipped or forged."""

    type = "corrupt_artifact"
    retry = Retry.NEVER


class MissingKeys(LoadError):
    """A dict of a known shape lacks keys; `detail["missing"]` lists them all."""

    type = "missing_keys"
    retry = Retry.NEVER


class UntrustedType(LoadError):
    """A model must be unpickled to be served, and names classes that are not on the list of known ones; `detail["classes"]` names them."""

    type = "untrusted_type"
    retry = Retry.NEVER


class MemoryCapExceeded(LoadError):
    """The child hit its memory cap; `detail` has cap_bytes and peak_bytes."""

    type = "memory_cap_exceeded"
    retry = Retry.NEVER


class MissingLibrary(LoadError):
    """An optional library is needed; the message has the pip line that brings it."""

    type = "missing_library"
    retry = Retry.NEVER


class NotTrained(LoadError):
    """The artifact says `is_trained: False`, or its model has no factors yet."""

    type = "not_trained"
    retry = Retry.NEVER


class NeverFits(LoadError):
    """Needs more memory than host and container can ever give."""

    type = "never_fits"
    retry = Retry.NEVER


class LoadTimeout(LoadError):
    """The child ran longer than load_timeout, or used more processor time than its limit."""

    type = "load_timeout"
    retry = Retry.BACKOFF


class ChildCrashed(LoadError):
    """The child died without a verdict, broke its wire, or ended by a defect."""

    type = "child_crashed"
    retry = Retry.LIMITED


class InternalError(LoadError):
    """A defect of the server itself; the traceback is in the log, not in the message."""

    type = "internal_error"
    retry = Retry.LIMITED


class SegmentInvalid(LoadError):
    """What the child left behind is not a segment, or somebody may still write to it."""

    type = "segment_invalid"
    retry = Retry.ONCE


class PartUnavailable(LoadError):
    """A model that a hybrid is made of is not configured. For one that is, but cannot serve, the hybrid shows this type too, and it
    ends when that part is ready (`service.lifecycle.parts`)."""

    type = "part_unavailable"
    retry = Retry.NEVER


class TrainingFailed(LoadError):
    """What the model was to fall back to could not be trained; the message says why."""

    type = "training_failed"
    retry = Retry.SLOWLY


class TrainingRefused(LoadError):
    """What was trained for want of anything else to serve is too bad for it: the message has the gate's figures."""

    type = "training_refused"
    retry = Retry.NEVER


class CanaryFailed(LoadError):
    """A new version cannot answer what the version that serves was asked lately."""

    type = "canary_failed"
    retry = Retry.NEVER


def _leaves(cls: type[LoadError]) -> list[type[LoadError]]:
    return [leaf for sub in cls.__subclasses__() for leaf in ([sub] if "type" in vars(sub) else _leaves(sub))]


FAILURES: dict[str, type[LoadError]] = {cls.type: cls for cls in _leaves(LoadError)}


def failure(type: str, message: str, **detail: object) -> LoadError:
    """The error of a public type name. Raises KeyError for a name that is not in FAILURES."""
    return FAILURES[type](message, **detail)
