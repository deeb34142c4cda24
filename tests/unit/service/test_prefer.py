"""The Prefer header of RFC 7240, and the query parameters of commands."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from service.errors import InvalidField
from service.prefer import preferred_wait_s, query_flag, query_wait_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=10"], 10),
        (["WAIT=10"], 10),
        (['wait="10"'], 10),
        (["wait = 10"], 10),
        (["respond-async, wait=10"], 10),
        (["respond-async", "wait=7"], 7),
        (['foo; a=b; c="d,e", wait=3'], 3),
        (["wait=3; strict"], 3),
        (["wait=3, wait=9"], 3),
        (["wait=3", "wait=9"], 3),
        (['return="a, wait=5"'], None),
        (["wait"], None),
        (["wait=soon"], None),
        (["wait=-1"], None),
        (["wait=1.5"], None),
        (["wait=99999999999999"], None),
        ([""], None),
        ([",,;="], None),
    ],
)
def test_the_wait_preference(headers: list[str], seconds: int | None) -> None:
    assert preferred_wait_s(headers) == seconds


@pytest.mark.parametrize(("query", "seconds"), [("", None), ("?wait=2", 2.0), ("?wait=0.5", 0.5), ("?wait=1e9", 60.0)])
def test_the_wait_of_a_command(query: str, seconds: float | None) -> None:
    assert query_wait_s(make_mocked_request("POST", "/x" + query), 60.0) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf", "1_0", "%D9%A3", "%202"])
def test_a_wait_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        query_wait_s(make_mocked_request("POST", f"/x?wait={text}"))
    assert caught.value.members["field"] == "wait"


def test_flags() -> None:
    def flag(query: str) -> bool:
        return query_flag(make_mocked_request("POST", "/x" + query), "force")

    assert [flag(q) for q in ("", "?force", "?force=true", "?force=0", "?force=No")] == [False, True, True, False, False]
    with pytest.raises(InvalidField):
        flag("?force=perhaps")
