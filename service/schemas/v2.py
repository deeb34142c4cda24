"""The documents of the Open Inference Protocol, version 2, with those of its extensions.

Covers: what is sent and what is answered. Does not cover: tensors (`service.routes.v2`), errors (`problems`).

Source: kserve/open-inference-protocol, inference_rest; triton-inference-server/server, extension_model_repository,
extension_statistics, extension_model_configuration, extension_binary_data.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from service.schemas.values import Bytes

Datatype = Literal["BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"]
Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Shape = Annotated[list[Size], Meta(max_length=8, description="Size of each dimension")]
Parameters = Annotated[dict[str, str | int | float | bool], Meta(description="Name -> value")]
_UNLOADING = {"properties": {"unload_dependents": {"const": False}}, "propertyNames": {"const": "unload_dependents"}}
Count = Annotated[int, Meta(ge=0)]
Milliseconds = Annotated[int, Meta(ge=0, description="Unix time in milliseconds, 0 before the first")]

# -- the server and its models ------------------------------------------------------------------------------------------


class ServerMetadata(Struct, kw_only=True):
    """Who answers."""

    name: str
    version: str
    extensions: Annotated[list[str], Meta(description="Extensions of the protocol that this server has")]


class ServerLive(Struct, kw_only=True):
    """The process lives."""

    live: bool


class ServerReady(Struct, kw_only=True):
    """Every required model is live."""

    ready: bool


class ModelReady(Struct, kw_only=True):
    """The model can be asked."""

    name: str
    ready: bool


class TensorMetadata(Struct, kw_only=True, omit_defaults=True):
    """A tensor that a model takes or gives; -1 in its shape is any size.

    `parameters`: `optional` (an input that may be left out), `classes` (an output's columns: the labels as a JSON array).
    """

    name: str
    datatype: Datatype
    shape: Annotated[list[Annotated[int, Meta(ge=-1)]], Meta(description="-1: any size")]
    parameters: Parameters | UnsetType = UNSET


class ModelMetadata(Struct, kw_only=True):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: Annotated[str, Meta(description="`holdfast_` and the family of the model", examples=["holdfast_factors"])]
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ConfiguredInput(Struct, kw_only=True):
    """An input as Triton's model configuration has it."""

    name: str
    data_type: Annotated[str, Meta(examples=["TYPE_FP64"])]
    dims: list[int]
    optional: bool


class ConfiguredOutput(Struct, kw_only=True):
    """An output as Triton's model configuration has it."""

    name: str
    data_type: Annotated[str, Meta(examples=["TYPE_FP64"])]
    dims: list[int]


class ModelConfiguration(Struct, kw_only=True):
    """As much of Triton's model configuration as is true of these models. `max_batch_size` 0: a batch is a dimension of each tensor."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[ConfiguredInput]
    output: list[ConfiguredOutput]


# -- inference ----------------------------------------------------------------------------------------------------------

_DATA = "Row-major, nested as `shape` says or flat; null is NaN"


class InputTensor(Struct, kw_only=True, forbid_unknown_fields=True):
    """An input. Its elements are in `data`, or, with the parameter `binary_data_size`, in the bytes after the JSON."""

    name: str
    shape: Shape
    datatype: Datatype
    parameters: Parameters | None = None
    data: Annotated[Raw, Meta(description=_DATA, extra_json_schema={"type": "array"})] = field(default_factory=Raw)


class RequestedOutput(Struct, kw_only=True, forbid_unknown_fields=True):
    """An output that is asked for; the parameter `binary_data` has its elements sent as bytes after the JSON."""

    name: str
    parameters: Parameters | None = None


class InferenceRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A question. Without `outputs` all of them are answered. A member that the protocol does not have is refused, but for
    `model_name`, which KServe's client sends. Members that may be left out may be null.
    """

    inputs: Annotated[list[InputTensor], Meta(min_length=1)]
    id: Annotated[str, Meta(description="Comes back in the answer")] | None = None
    model_name: Annotated[str, Meta(description="The model of the address once more")] | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


class OutputTensor(Struct, kw_only=True, omit_defaults=True):
    """An output. Its elements are in `data`, or, with the parameter `binary_data_size`, in the bytes after the JSON."""

    name: str
    shape: Shape
    datatype: Datatype
    parameters: Parameters | UnsetType = UNSET
    data: Annotated[list[Any], Meta(description="Row-major, flat; null is NaN")] | UnsetType = UNSET


class InferenceResponse(Struct, kw_only=True, omit_defaults=True):
    """The answer of one version of a model."""

    model_name: str
    model_version: str
    id: str | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    outputs: list[OutputTensor]


# -- the repository -----------------------------------------------------------------------------------------------------


class IndexRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which models to list."""

    ready: Annotated[bool, Meta(description="Only those that can be asked")] = False


class IndexEntry(Struct, kw_only=True, omit_defaults=True):
    """A model, also one that is not loaded."""

    name: str
    version: Annotated[str, Meta(description="The one that serves")] | UnsetType = UNSET
    state: Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]
    reason: Annotated[str, Meta(description="Why it is not READY, or why a newer version could not be loaded; else empty")]


class LoadRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A command to load. It takes no parameters: how a model is loaded is said in the configuration of the server."""

    parameters: Annotated[Parameters, Meta(extra_json_schema={"maxProperties": 0})] | UnsetType = UNSET


class UnloadRequest(Struct, kw_only=True, forbid_unknown_fields=True):
    """A command to unload. Of the parameters only `unload_dependents`, which must be false."""

    parameters: Annotated[Parameters, Meta(extra_json_schema=_UNLOADING)] | UnsetType = UNSET


# -- statistics ---------------------------------------------------------------------------------------------------------


class StatisticDuration(Struct, kw_only=True):
    """How often, and for how long together."""

    count: Count
    ns: Annotated[int, Meta(ge=0, description="Nanoseconds")]


class InferStatistics(Struct, kw_only=True):
    """Whole calls (`success`, `fail`), and the parts of those that succeeded."""

    success: StatisticDuration
    fail: StatisticDuration
    queue: Annotated[StatisticDuration, Meta(description="Waiting for a thread, or for the process of a hosted model")]
    compute_input: Annotated[StatisticDuration, Meta(description="Reading the question")]
    compute_infer: Annotated[StatisticDuration, Meta(description="Scoring")]
    compute_output: Annotated[StatisticDuration, Meta(description="Writing the answer")]
    cache_hit: Annotated[StatisticDuration, Meta(description="Always 0: answers are not cached")]
    cache_miss: Annotated[StatisticDuration, Meta(description="Always 0: answers are not cached")]


class MemoryUsage(Struct, kw_only=True):
    """Memory that a version holds."""

    type: Literal["CPU"]
    id: int
    byte_size: Bytes


class ModelStatistics(Struct, kw_only=True):
    """The calls of one version since it began to serve, whatever route they came by."""

    name: str
    version: str
    last_inference: Milliseconds
    inference_count: Annotated[Count, Meta(description="Users, or rows, that were answered")]
    execution_count: Annotated[Count, Meta(description="Times that the model ran")]
    inference_stats: InferStatistics
    response_stats: dict[str, Any]
    batch_stats: list[Any]
    memory_usage: list[MemoryUsage]


class Statistics(Struct, kw_only=True):
    """The versions that serve, or still answer the last calls they got; a model that was never loaded has none."""

    model_stats: list[ModelStatistics]
