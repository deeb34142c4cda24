"""What operators watch with: the dashboard and the alerts in deploy/ are held against the metrics that there are.

Covers: each expression is PromQL, of metrics and labels that /metrics has, and of values that those labels can have. Does not
cover: the metrics themselves (tests/unit/service/test_metrics).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import ProcessCollector

from loaders.errors import FAILURES
from service.lifecycle.state import Phase, Status
from service.telemetry.calls import Outcome
from service.telemetry.metrics import METRICS
from tests.support import ROOT
from training.errors import TRAINING_FAILURES
from training.running.runs import RunStatus

DASHBOARD = json.loads((ROOT / "deploy/grafana/holdfast.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())
SCRAPE = yaml.safe_load((ROOT / "deploy/prometheus/scrape.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]

OF_PROMETHEUS = {"up"}
TARGET = {"instance", "job"}
"""What Prometheus itself adds to every sample."""
WORDS: dict[str, set[str]] = {
    "outcome": set(Outcome),
    "status": {*Status, *RunStatus},
    "phase": set(Phase),
    "type": {*FAILURES, *TRAINING_FAILURES},
    "job": {"holdfast"},
}


def exposed() -> dict[str, set[str]]:
    """Name of a sample -> its labels."""
    found: dict[str, set[str]] = {name: set() for name in OF_PROMETHEUS}
    for metric in METRICS:
        labels = set(metric.labels)
        if metric.kind == "histogram":
            found |= {f"{metric.name}_bucket": labels | {"le"}, f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
        else:
            found[metric.name] = labels
    for family in ProcessCollector(registry=None).collect():
        found |= {sample.name: set(sample.labels) for sample in family.samples}
    return found


SAMPLES = exposed()


def parsed(expression: str) -> Any:
    """The tree. Grafana's own variables are put in as it would: an interval, a regular expression. Raises ValueError."""
    timed = re.sub(r"\$__(rate_)?interval", "5m", expression)
    return promql_parser.parse(re.sub(r"\$(instance|model|training)\b", ".*", timed))


def labels_of(selector: promql_parser.VectorSelector) -> set[str]:
    """The labels of a metric, none where there is no such metric."""
    return SAMPLES.get(selector.name or "", set())


def problems_of(expression: str) -> list[str]:
    """What is named in an expression and is not in /metrics."""
    nodes: list[Any] = []
    promql_parser.walk(parsed(expression), nodes.append)
    selectors = [node for node in nodes if isinstance(node, promql_parser.VectorSelector)]
    assert all(node.name for node in selectors), "a metric is named outside the braces"
    known = TARGET.union(*(labels_of(node) for node in selectors))
    return [
        *(f"no metric {node.name}" for node in selectors if node.name not in SAMPLES),
        *(problem for node in selectors for problem in _wrong_matchers(node)),
        *(f"no label {label}" for node in nodes for label in _labels_of(node) if label not in known),
    ]


def _wrong_matchers(selector: promql_parser.VectorSelector) -> Iterator[str]:
    for matcher in selector.matchers.matchers:
        if matcher.name not in labels_of(selector) | TARGET:
            yield f"{selector.name} has no label {matcher.name}"
        for word in matcher.value.split("|"):
            if matcher.name in WORDS and word not in WORDS[matcher.name]:
                yield f"{matcher.name} is never {word}"


def _labels_of(node: Any) -> Iterator[str]:
    """The labels that are summed by, or matched on."""
    modifier = getattr(node, "modifier", None)
    if modifier is None:
        return
    if isinstance(node, promql_parser.AggregateExpr):
        yield from modifier.labels
    elif modifier.matching is not None:
        yield from modifier.matching.labels


def shown() -> list[tuple[str, str]]:
    """(panel, expression) of the dashboard."""
    panels = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return panels + [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]


@pytest.mark.parametrize(("panel", "expression"), shown(), ids=[f"{panel}-{at}" for at, (panel, _) in enumerate(shown())])
def test_a_panel_asks_for_what_there_is(panel: str, expression: str) -> None:
    assert problems_of(expression) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert problems_of(rule["expr"]) == []
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}
    labels = {label for text in rule["annotations"].values() for label in re.findall(r"\$labels\.(\w+)", text)}
    nodes: list[Any] = []
    promql_parser.walk(parsed(rule["expr"]), nodes.append)
    assert labels <= TARGET.union(*(labels_of(node) for node in nodes if isinstance(node, promql_parser.VectorSelector)))


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("holdfast_nothing", "no metric holdfast_nothing"),
        ('holdfast_model_ready{outcome="ok"}', "holdfast_model_ready has no label outcome"),
        ('holdfast_requests_total{outcome=~"ok|fine"}', "outcome is never fine"),
        ("sum by (shard) (holdfast_model_ready)", "no label shard"),
        ("holdfast_model_ready and on (shard) holdfast_model_stale", "no label shard"),
        ("holdfast_request_duration_seconds", "no metric holdfast_request_duration_seconds"),
    ],
)
def test_what_is_not_there_is_found(expression: str, problem: str) -> None:
    assert problem in problems_of(expression)


def test_an_expression_that_is_none_is_found() -> None:
    with pytest.raises(ValueError, match="unclosed"):
        parsed("sum(")


def test_the_dashboard_can_be_taken_in_anywhere() -> None:
    """Panels have ids and places of their own, and name no data source but the variable."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert set(re.findall(r'"uid": ?"([^"]*)"', json.dumps(DASHBOARD))) == {"holdfast", "${datasource}"}
    assert all(panel["title"] and panel["description"] for panel in panels)


def test_the_colours_of_the_dashboard_are_those_of_all_statuses_and_outcomes() -> None:
    by_title = {panel["title"]: panel for panel in DASHBOARD["panels"]}
    states = by_title["State of each model"]
    (mapping,) = states["fieldConfig"]["defaults"]["mappings"]
    told = {int(code): said["text"].replace(" ", "_") for code, said in mapping["options"].items()}
    weighed = dict(re.findall(r'status="(\w+)"} \* (\d)', states["targets"][0]["expr"]))
    assert {status: int(code) for status, code in weighed.items()} == {status: code for code, status in told.items()}
    assert set(weighed) == set(Status)
    overrides = by_title["Calls by how they ended"]["fieldConfig"]["overrides"]
    assert {override["matcher"]["options"] for override in overrides} == set(Outcome)


def test_what_is_scraped_is_the_job_that_alerts_and_dashboard_name() -> None:
    (job,) = SCRAPE["scrape_configs"]
    assert (job["job_name"], job["metrics_path"]) == ("holdfast", "/metrics")
