"""Hybrid: its scorer is made of two others, so it brings no example. See OWN_SUITE."""

from __future__ import annotations

OWN_SUITE = "tests/unit/models/test_hybrid.py"
