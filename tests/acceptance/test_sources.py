"""One server, two models from every kind of source at once, through the clients and the environment that people use.

Does not cover: what each source does when it fails (`tests/contracts/test_sources`, `test_failures_sources`).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.acceptance.rankings import differences
from tests.acceptance.running import Beside, Server, serving
from tests.artifacts.recommenders import bare_als, expected_recommend
from tests.artifacts.writing import write
from tests.doubles.drive import DriveDouble, DriveFile
from tests.doubles.files import FileServer, Served
from tests.doubles.s3_server import s3_service

DRIVE_ID = "1A2b3C4d5E6f7G8h9I0jKlMnOpQrSt{:02}"
ITEMS = 45
USERS = [0, 1, 2, 3]
FACTORS = {
    "file-path": 4,
    "file-url": 5,
    "http": 6,
    "https": 7,
    "https-redirected": 8,
    "s3-pickle": 9,
    "s3-joblib": 10,
    "drive-small": 11,
    "drive-confirmed": 12,
    "drive-link": 13,
}
"""Each model has another number of factors, so that none can answer for another."""


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, base_python: Path) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sources")
    ways = {"s3-joblib": "joblib", "https": "joblib_zlib", "drive-confirmed": "joblib_gzip"}
    files = {name: write(bare_als(factors=factors), folder / name, ways.get(name, "pickle4")) for name, factors in FACTORS.items()}
    content = {name: path.read_bytes() for name, path in files.items()}
    drive_files = {name: DRIVE_ID.format(number) for number, name in enumerate(FACTORS)}
    with Beside() as beside:
        drive = beside.enter(
            DriveDouble({id: DriveFile(content[name], "small" if name == "drive-small" else "confirm") for name, id in drive_files.items()})
        )
        authority = trustme.CA()
        plain = beside.enter(FileServer({"/model": Served(content["http"])}))
        secured = {
            "/model": Served(content["https"]),
            "/moved": Served(b"", redirects_to="/here"),
            "/here": Served(content["https-redirected"]),
        }
        secure = beside.enter(FileServer(secured, tls=server_context(authority)))
        s3 = beside.enter(s3_service())
        for name in ("s3-pickle", "s3-joblib"):
            beside.run(s3.put(f"models/{name}", content[name]))
        bundle = folder / "ca.pem"
        bundle.write_bytes(drive.ca_bundle.read_bytes() + authority.cert_pem.bytes())
        sources = {
            "file-path": str(files["file-path"]),
            "file-url": files["file-url"].as_uri(),
            "http": f"{plain.url}/model",
            "https": f"{secure.url}/model",
            "https-redirected": f"{secure.url}/moved",
            "s3-pickle": f"s3://{s3.bucket}/models/s3-pickle",
            "s3-joblib": f"s3://{s3.bucket}/models/s3-joblib",
            "drive-small": f"gdrive://{drive_files['drive-small']}",
            "drive-confirmed": f"gdrive://{drive_files['drive-confirmed']}",
            "drive-link": f"https://drive.google.com/file/d/{drive_files['drive-link']}/view?usp=sharing",
        }
        environ = {**s3.environment, **drive.environment, "REQUESTS_CA_BUNDLE": str(bundle)}
        config = {"models": {name: {"source": source} for name, source in sources.items()}}
        with serving(folder / "run", config, environ=environ, python=base_python) as server:
            for name in sources:  # what goes on in this process meanwhile is nothing that a test leaves behind
                server.wait_model(name, lambda model: model["status"] != "loading", "it has ended, in whatever way")
            yield server


@pytest.mark.parametrize("name", FACTORS)
def test_a_model_from_everywhere_answers_as_its_own(server: Server, name: str) -> None:
    server.wait_ready(name)
    reply = server.predict(name, {"users": USERS, "k": 6})
    assert reply.status == 200
    expected = expected_recommend(bare_als(factors=FACTORS[name]), USERS, ITEMS)
    for result, everything in zip(reply.body["results"], expected, strict=True):
        assert differences(result["items"], everything, list(range(ITEMS)), 6) == []


def test_all_of_them_at_once(server: Server) -> None:
    server.wait_ready(*FACTORS)
    assert server.get("/health").body == {"status": "ok", "models": dict.fromkeys(FACTORS, "ready")}
    assert server.get("/health/ready").status == 200
    assert {model["name"]: model["details"]["factors"] for model in server.get("/models").body["models"]} == FACTORS


def test_nothing_secret_is_shown_or_logged(server: Server) -> None:
    key = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"AWS_SECRET_ACCESS_KEY=")[1].split(b"\0")[0].decode()
    assert len(key) > 10
    assert key not in server.log
    assert key not in str(server.get("/status").body)
