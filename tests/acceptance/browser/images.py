"""The pictures of the dashboard in docs/images: `python -m tests.acceptance.browser.images`, or `make images`.

Covers: a server with a model in each state, asked for a while, seen at two widths in both themes; one that trains, whose data grew
from day to day, and once was spoilt. Does not cover: what must
hold of the page (the tests beside this). No test runs it: pictures change with every second that they show.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect

from tests.acceptance.browser import fleet
from tests.acceptance.browser.pages import NARROW, WIDE, Scheme, dashboard
from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.chromium import keep_settings, launched
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.s3_server import s3_service
from tests.integration.training.drawing import planted_data, shuffled, write_sqlite
from tests.support import ROOT

FOLDER = ROOT / "docs" / "images"
HEIGHT = {WIDE: 1040, NARROW: 1560}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
ASKED_S = 25.0
"""How long models are asked before, so that there is something to draw."""


def main() -> int:
    """Write them all; 0."""
    keep_settings()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, Beside() as beside, launched() as browser:
        folder = Path(scratch)
        bucket = beside.enter(s3_service())
        way = beside.enter(FaultProxy(bucket.address, Plan(bytes_per_s=fleet.FAST)))

        def stored(path: str | Path) -> str:
            """In the bucket, so that no picture shows a folder of the machine that it was made on."""
            beside.run(bucket.put(Path(path).name, Path(path).read_bytes()))
            return f"s3://{bucket.bucket}/{Path(path).name}"

        trending = write(als_dict("str", users=4000, items=200), folder / "trending.pkl", "pickle4")
        models: dict[str, dict[str, Any]] = {
            "recommendations": {"source": stored(fleet.als(folder))},
            "trending": {"source": stored(trending), "load": "on_demand"},
            "similar-places": {"source": stored(fleet.content(folder))},
            "churn": {"source": stored(fleet.sign_in_page(folder, "churn.joblib")), "required": False},
            "species": {"source": stored(fleet.iris(folder))},
            "archive": {"source": stored(fleet.als(folder)), "load": "on_demand", "required": False},
        }
        environ = {**bucket.environment, "AWS_ENDPOINT_URL": way.url}
        with serving(folder / "server", fleet.config(models, default_model="recommendations"), environ=environ) as server:
            server.wait_ready("recommendations", "similar-places", "species")
            way.plan.bytes_per_s = 12 << 10
            server.command("POST", "/models/trending/load")
            ask(server)
            for width in (WIDE, NARROW):
                for scheme in SCHEMES:
                    picture(browser, server, width, scheme, FOLDER / f"dashboard-{width}-{scheme}.png")
        with serving(folder / "training", training_config(folder)) as server:
            train_for_days(server, folder)
            for scheme in SCHEMES:
                pictures_of_training(browser, server, scheme)
    for path in sorted(FOLDER.glob("*.png")):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size >> 10} KiB", file=sys.stderr)
    return 0


def training_config(folder: Path) -> dict[str, Any]:
    """Two models that are trained here, and one whose training takes long."""
    models = {"nightly": {"source": "training:nightly", "load": "on_demand", "required": False}}
    trainings: dict[str, dict[str, Any]] = {
        "recommendations": {},
        "trending": {"algorithm": "popular"},
        "nightly": {"parameters": fleet.LONG},
    }
    config = fleet.trainings(folder, models=models, **trainings)
    write_sqlite(folder / "data.db", planted_data(share=0.5))
    return {"server": {"default_model": "recommendations"}, **config}


def train_for_days(server: Server, folder: Path) -> None:
    """More data, more runs; then data that says nothing, a step back, and a run that is still running."""
    server.wait_ready("recommendations", "trending")
    for share in (0.6, 0.7, 0.85, 1.0):
        write_sqlite(folder / "data.db", planted_data(share=share))
        server.command("POST", "/models/recommendations/train?wait=60&by=ada@laptop")
    write_sqlite(folder / "data.db", shuffled(planted_data()))
    server.command("POST", "/models/recommendations/train?wait=60&by=ada@laptop")
    server.command("POST", "/models/recommendations/rollback?wait=60")
    server.command("POST", "/models/nightly/train?by=ada@laptop")


def pictures_of_training(browser: Browser, server: Server, scheme: Scheme) -> None:
    with dashboard(browser, server, height=1400, scheme=scheme) as page:
        page.wait_state("recommendations", "ready")
        page.open_details("recommendations")
        expect(page.slot("recommendations", "quality")).to_be_visible()
        expect(page.page.locator("li.trained[data-training='nightly'] [data-slot='live-words']")).to_contain_text(re.compile("[1-9]%"))
        page.page.locator("#training").screenshot(path=FOLDER / f"training-{scheme}.png")
        page.slot("recommendations", "versions").locator("summary").first.click()
        page.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        sections = [page.slot("recommendations", name).bounding_box() for name in ("quality-section", "versions-section")]
        top, bottom = (box for box in sections if box is not None)
        page.page.screenshot(
            full_page=True,
            path=FOLDER / f"versions-{scheme}.png",
            clip={
                "x": top["x"] - 16,
                "y": top["y"] - 12,
                "width": top["width"] + 32,
                "height": bottom["y"] + bottom["height"] - top["y"] + 24,
            },
        )


def ask(server: Server) -> None:
    """Calls of several sizes, as they come to a server."""
    user_ids = range(1, 60)
    ends_at = time.monotonic() + ASKED_S
    turn = 0
    while time.monotonic() < ends_at:
        turn += 1
        server.predict("recommendations", {"user_id": user_ids[turn % 59], "k": 5 + turn % 40})
        if turn % 3 == 0:
            server.predict("species", {"instances": [[5.1, 3.5, 1.4, 0.2]] * (1 + turn % 50)})
        if turn % 7 == 0:
            server.predict("similar-places", {"liked": [503, 504], "k": 5})
        time.sleep(0.02 + 0.06 * (turn % 5 == 0))  # the pace of the traffic in the picture; nothing is waited for


def picture(browser: Browser, server: Server, width: int, scheme: Scheme, path: Path) -> None:
    with dashboard(browser, server, width=width, height=HEIGHT[width], scheme=scheme) as page:
        for model, state in (("recommendations", "ready"), ("trending", "loading"), ("churn", "error"), ("species", "ready")):
            page.wait_state(model, state)
        expect(page.slot("recommendations", "calls-words")).to_contain_text("typically")
        expect(page.slot("trending", "attempt-words")).to_contain_text("left")
        page.page.locator("#ask-send").click()
        expect(page.page.locator("#answer-status")).to_have_text("200")
        page.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        page.page.screenshot(path=path)


if __name__ == "__main__":
    sys.exit(main())
