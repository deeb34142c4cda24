"""How do arrays become scores?

FAMILIES is the table: each family is a folder with `pack.py` (runs in the capped child, names what goes into the bundle)
and `score.py` (runs in the server, numpy only). Adding a family is adding a folder and a line.
"""

from __future__ import annotations

FAMILIES: dict[str, str] = {
    "factors": "models.factors",
    "neighbours": "models.neighbours",
    "hybrid": "models.hybrid",
    "trees": "models.trees",
    "linear": "models.linear",
    "hosted": "models.hosted",
}
