"""Counting wrong tokens: how many are free, how the wait grows, what is forgotten."""

from __future__ import annotations

import pytest

from service.wrong_tokens import FORGOTTEN_AFTER_S, FREE, LONGEST_WAIT_S, WrongTokens

NOW = 1000.0


def counted(tokens: WrongTokens, times: int, remote: str | None = "192.0.2.1", now: float = NOW) -> list[int | None]:
    return [tokens.count(remote, now) for _ in range(times)]


def test_the_first_are_just_wrong_and_the_wait_doubles_up_to_a_bound() -> None:
    tokens = WrongTokens()
    assert counted(tokens, FREE) == [None] * FREE
    assert counted(tokens, 9) == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert counted(tokens, 2000)[-1] == LONGEST_WAIT_S


def test_who_waited_as_told_is_just_wrong_again_and_waits_longer_next_time() -> None:
    tokens = WrongTokens()
    waited = counted(tokens, FREE + 1)[-1]
    assert waited == 2
    assert tokens.count("192.0.2.1", NOW + waited - 0.1) == 4
    assert tokens.count("192.0.2.1", NOW + waited - 0.1 + 4) is None
    assert tokens.count("192.0.2.1", NOW + waited - 0.1 + 4) == 16


def test_a_quiet_time_makes_it_begin_anew() -> None:
    tokens = WrongTokens()
    counted(tokens, FREE + 5)
    assert counted(tokens, FREE, now=NOW + FORGOTTEN_AFTER_S + 1) == [None] * FREE


def test_one_address_does_not_count_for_another() -> None:
    tokens = WrongTokens()
    counted(tokens, FREE + 5)
    assert counted(tokens, FREE, "192.0.2.2") == [None] * FREE
    assert counted(tokens, FREE, None) == [None] * FREE
    assert counted(tokens, FREE, "no address") == [None] * FREE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth0"),
    ],
)
def test_addresses_that_one_client_has(one: str, other: str) -> None:
    tokens = WrongTokens()
    counted(tokens, FREE, one)
    assert tokens.count(other, NOW) == 2


def test_another_network_of_ipv6_is_another_client() -> None:
    tokens = WrongTokens()
    counted(tokens, FREE + 1, "2001:db8:1:2::1")
    assert tokens.count("2001:db8:1:3::1", NOW) is None


def test_it_remembers_a_bounded_number_of_addresses_and_forgets_the_quietest() -> None:
    tokens = WrongTokens(addresses=3)
    for remote in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        counted(tokens, FREE, remote)
    assert tokens.count("10.0.0.1", NOW) == 2  # heard of again, so 10.0.0.2 was quiet for longest
    assert tokens.count("10.0.0.4", NOW) is None
    assert tokens.count("10.0.0.3", NOW) == 2
    assert tokens.count("10.0.0.2", NOW) is None
    assert repr(tokens) == "<WrongTokens addresses=3>"
