"""A small OpenAPI document with everything that the pages have to lay out, and text that is dangerous in each of them."""

from __future__ import annotations

from typing import Any

DANGEROUS = '<img src=x onerror="alert(1)"> & "q" \'s\' a|b *c* [d]'

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Small", "version": "1.2.3", "description": "First.\n\nThen `code`."},
    "tags": [{"name": "models", "description": "What is served."}, {"name": "unused"}],
    "paths": {
        "/models/{model}/predict": {
            "post": {
                "operationId": "predict",
                "tags": ["models"],
                "summary": "Ask one model",
                "description": f"Waits where told to. {DANGEROUS}",
                "parameters": [
                    {"$ref": "#/components/parameters/model"},
                    {"name": "wait", "in": "query", "schema": {"type": "number", "minimum": 0, "maximum": 60}, "description": "Seconds"},
                ],
                "requestBody": {
                    "content": {
                        "application/json": {
                            "schema": {"$ref": "#/components/schemas/Question"},
                            "examples": {
                                "one_user": {"value": {"user_id": 1}},
                                "a_name": {"value": {"user_id": "it's <b>"}},
                            },
                        }
                    }
                },
                "responses": {
                    "200": {
                        "description": "Ranked",
                        "headers": {"X-Seen": {"description": "What `it` saw", "schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Items"}, "example": {"items": ["<i>"]}}},
                    },
                    "404": {"$ref": "#/components/responses/NotFound"},
                    "default": {"description": "Anything else"},
                },
            },
        },
        "/events": {
            "get": {
                "operationId": "events",
                "tags": ["streams"],
                "summary": "What happens",
                "parameters": [{"name": "since", "in": "query", "required": True, "schema": {"type": "string"}, "example": "a b"}],
                "responses": {"200": {"description": "A stream", "content": {"text/event-stream": {"example": "event: x\n\n"}}}},
            },
        },
        "/models/clear": {
            "summary": "no method",
            "delete": {
                "operationId": "clear",
                "tags": ["models"],
                "summary": "Forget",
                "security": [{"token": []}],
                "responses": {"202": {"description": "Begun"}},
            },
        },
        "/models/reload": {
            "post": {
                "operationId": "reload",
                "tags": ["models"],
                "summary": "Again",
                "security": [{"token": []}],
                "responses": {"202": {"description": "Begun"}},
            }
        },
    },
    "components": {
        "parameters": {
            "model": {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "examples": {"als": {"value": "als/1"}},
            }
        },
        "responses": {
            "NotFound": {
                "description": "No such model",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
        },
        "schemas": {
            "Question": {
                "description": "What is asked",
                "type": "object",
                "required": ["user_id"],
                "properties": {
                    "user_id": {"anyOf": [{"type": "null"}, {"type": "string"}, {"type": "integer"}], "description": DANGEROUS},
                    "k": {"type": "integer", "minimum": 1, "maximum": 100000, "default": 10, "description": "How many."},
                    "only": {"type": "array", "items": {"type": "integer"}, "maxItems": 5, "default": None},
                },
            },
            "Items": {"type": "object", "properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Name"}}}},
            "Name": {"type": "string", "minLength": 1},
            "Problem": {"type": "object", "properties": {"type": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
        },
    },
}
