"""Hosted: its answers come from a child of its own, so that its promises are tested through one."""

from __future__ import annotations

OWN_SUITE = "tests/integration/hosting/test_answers.py"
