"""A model in tensors: what it takes and gives, a question to it, its answer, whichever kind of model it is.

Covers: telling rows (`rows`) from rankings (`rankings`), the form of the version that serves. Does not cover: HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from aiohttp import web

from models.base import EstimatorScorer, HostedScorer, Predictions, Ranking, RecommenderScorer, RequestError, UnknownEntity
from models.forms import Form, ItemForm
from service.binding import bound
from service.jobs import Answer
from service.keys import REGISTRY
from service.questions import Asked
from service.routes.v2.datatypes import Tensor
from service.routes.v2.message import Inference, read_request
from service.routes.v2.rankings import ranking_field, ranking_inputs, ranking_outputs, ranking_tensors, read_question
from service.routes.v2.rows import prediction_tensors, read_rows, row_field, row_inputs, row_outputs
from service.schemas.v2 import TensorMetadata

Rankings = Sequence[Ranking | UnknownEntity]


class Serving(NamedTuple):
    """The version that serves, and what it takes and gives."""

    version: str
    family: str
    form: Form


def serving(app: web.Application, name: str, *, demand: bool = False) -> Serving:
    """What serves now; `demand` starts a load on demand. Raises UnknownModel, NotReady."""
    with app[REGISTRY].acquire(name, demand=demand) as lease:
        scorer = cast(RecommenderScorer | EstimatorScorer | HostedScorer, bound(lease))
        return Serving(lease.version, lease.family, scorer.form())


def metadata_of(form: Form) -> tuple[list[TensorMetadata], list[TensorMetadata]]:
    """Inputs and outputs, in order."""
    if isinstance(form, ItemForm):
        return ranking_inputs(form), ranking_outputs(form)
    return row_inputs(form), row_outputs(form)


def read_inference(form: Form, header_length: str | None, raw: bytes) -> tuple[Inference, Asked]:
    """A request as it is, and as what it asks the model. Raises MalformedBody, InvalidField."""
    inference = read_request(raw, header_length)
    return inference, read_question(form, inference) if isinstance(form, ItemForm) else read_rows(form, inference)


def tensors_of(form: Form, answer: Answer) -> Sequence[Tensor]:
    """The outputs of an answer, in order. Raises models.base.UnknownEntity where it is about nobody who is known."""
    if isinstance(form, ItemForm):
        return ranking_tensors(form, cast(Rankings, answer))
    return prediction_tensors(form, cast(Predictions, answer))


def as_written(form: Form, inference: Inference, error: RequestError) -> RequestError:
    """The error with its field as it is called in tensors."""
    field = ranking_field(error.field) if isinstance(form, ItemForm) else row_field(form, inference, error.field)
    return type(error)(field, error.message)
