"""What the tests of the protocol share: its addresses, a question for users, its errors."""

from __future__ import annotations

from aiohttp import ClientResponse

TOKEN = "v2-token"
ADMIN = {"X-ADMIN-TOKEN": TOKEN}
INFER = "/v2/models/als/infer"
USERS = {"name": "user_id", "datatype": "INT64", "shape": [2], "data": [1, 2]}


async def error_of(response: ClientResponse, status: int) -> str:
    """What an error says, in the protocol's shape."""
    assert response.status == status, await response.text()
    assert response.content_type == "application/json"
    body = await response.json()
    assert list(body) == ["error"]
    return str(body["error"])
