"""The Open Inference Protocol, version 2, with the model repository and statistics extensions.

Source: kserve/open-inference-protocol, inference_rest; triton-inference-server/server, extension_model_repository,
extension_statistics, extension_binary_data.
"""

from __future__ import annotations

from service.routes.declared import Route

ROUTES: tuple[Route, ...] = ()
