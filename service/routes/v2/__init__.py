"""How do clients of the Open Inference Protocol, version 2, ask? With the model repository, statistics, model configuration and
binary tensor data extensions.

A question in tensors becomes the question that the native routes ask (`service.asking`), and its answer tensors again.

Source: kserve/open-inference-protocol, inference_rest; triton-inference-server/server, docs/protocol.
"""

from __future__ import annotations

from service.routes.declared import Route
from service.routes.v2 import infer, metadata, repository, server, statistics

ROUTES: tuple[Route, ...] = (
    *server.ROUTES,
    *statistics.ROUTES,  # before metadata: /v2/models/stats is not a model's
    *metadata.ROUTES,
    *infer.ROUTES,
    *repository.ROUTES,
)
