"""The metrics as a page: docs/reference/metrics.md, made from the table that /metrics is written from.

Covers: names, types, labels, and the closed sets that labels are of. Does not cover: dashboard and alerts, which stand in deploy/.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import ProcessCollector

from loaders.errors import FAILURES
from service.lifecycle.state import Phase, Status
from service.reference.markdown_text import cell
from service.telemetry.calls import Outcome
from service.telemetry.metric import Metric
from service.telemetry.metrics import METRICS
from training.errors import TRAINING_FAILURES
from training.running.runs import RunStatus

INTRODUCTION = """\
# Metrics

Made from the table in `service/telemetry/metrics.py` by `make docs`; do not edit.

`GET /metrics` answers in Prometheus' text format, or in OpenMetrics to a client whose `Accept` header names it.
`deploy/prometheus` has a scrape configuration and alerts, `deploy/grafana` a dashboard. Counters begin at 0 with each start of the
server, but for those of trainings, which the store keeps; times are seconds, sizes bytes. A model has no sample of what it has no
number for: none of a version while none serves, none of an attempt while none runs. The same holds for a training.
"""

_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.OK: "answered: 200",
    Outcome.REFUSED: "the question was wrong: 404, 422",
    Outcome.LOADING: "the model is on its way: 202; under `/v2` 503",
    Outcome.UNAVAILABLE: "the model failed to load, or was unloaded: 503",
    Outcome.OVERLOADED: "too many calls at the same time: 429",
    Outcome.DEADLINE: "no answer within `request_timeout`: 504",
    Outcome.FAILED: "the model could not answer, or the server has a defect: 503, 500",
    Outcome.ABANDONED: "the client went away first",
}


def page() -> str:
    """The whole of docs/reference/metrics.md."""
    return "\n".join([INTRODUCTION, *_metrics(), *_labels(), *_process()]) + "\n"


def _metrics() -> Iterator[str]:
    yield "| metric | type | labels | what it says |"
    yield "|---|---|---|---|"
    yield from map(_row, METRICS)
    yield ""


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {cell(metric.help)} |"


def _labels() -> Iterator[str]:
    yield "## Labels"
    yield ""
    yield "| label | values |"
    yield "|---|---|"
    yield "| `model` | the configured models |"
    yield "| `training` | the configured trainings |"
    sets: Mapping[str, Iterable[str]] = {"status": Status, "phase": Phase, "type": (*FAILURES, *TRAINING_FAILURES)}
    for name, words in sets.items():
        yield f"| `{name}` | {', '.join(f'`{word}`' for word in words)} |"
    ended = ", ".join(f"`{status}`" for status in RunStatus if status.is_over)
    yield f"| `status` of a run | {ended} |"
    yield "| `metric` | what versions are measured with: `ndcg@10` and others |"
    yield "| `version`, `family` | those that serve now |"
    yield ""
    yield "| `outcome` | how the call ended |"
    yield "|---|---|"
    yield from (f"| `{outcome}` | {cell(_OUTCOMES[outcome])} |" for outcome in Outcome)
    yield ""


def _process() -> Iterator[str]:
    yield "## The process"
    yield ""
    yield "As every client library of Prometheus has them:"
    yield ""
    yield "| metric | type | what it says |"
    yield "|---|---|---|"
    for family in sorted(ProcessCollector(registry=None).collect(), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield f"| `{name}` | {family.type} | {cell(family.documentation)} |"
