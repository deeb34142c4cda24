"""docs/howto, followed to the letter: the configuration of a page is served, its commands are run, its calls are answered.

Covers: the pages for those who serve a model. Does not cover: those for who adds a part to this program (`tests.test_docs`).
The addresses of Drive and S3 lead to doubles; apart from that and from names that only the reader knows, nothing is replaced.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import TOKEN, Beside, Reply, Server, run, serving
from tests.artifacts.recommenders import als_dict
from tests.artifacts.writing import write
from tests.doubles.drive import DriveDouble, DriveFile
from tests.doubles.faults import FaultProxy, Plan
from tests.doubles.files import FileServer, Served
from tests.doubles.postgres import PostgresDatabase
from tests.doubles.s3_server import s3_service
from tests.pages import Call, calls_of, fences, prose_of, shell_lines
from tests.support import ROOT, python_environment, wait_until_sync
from training.made_up.interactions import write_database
from training.made_up.planted import plant

SLOW_BYTES_PER_S = 8 << 10
TOKEN_HEADER = "X-ADMIN-TOKEN"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write(als_dict(), tmp_path_factory.mktemp("artifact") / "als", "pickle4").read_bytes()


def configured(page: str, changes: Mapping[str, str] | None = None, which: int = 0) -> dict[str, Any]:
    """The configuration of a page, with some of its text replaced."""
    text = fences(page, "toml")[which]
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    return tomllib.loads(text)


def sent(server: Server, call: Call) -> Reply:
    headers = {name: value.replace("$ADMIN_LOAD_TOKEN", TOKEN) for name, value in call.headers.items()}
    return server.ask(call.method, call.path, call.body, headers)


def assert_followed(page: str, server: Server) -> None:
    """Every call of the page is answered with 200; what says whether the server is ready may say first that it is not."""
    for call in calls_of(page):
        if call.path == "/health/ready":
            wait_until_sync(lambda: server.get("/health/ready").status == 200, 60.0, what="ready")
        reply = sent(server, call)
        assert reply.status == 200, (call, reply)


def commands_that_look(page: str) -> list[list[str]]:
    """The words after `holdfast` of the lines that end by themselves and change nothing."""
    return [words[1:] for words in shell_lines(page) if words[0].endswith("holdfast") and words[1] in ("check", "status")]


def test_serve_from_s3(beside: Beside, artifact: bytes, tmp_path: Path) -> None:
    page = "docs/howto/serve-from-s3.md"
    s3 = beside.enter(s3_service())
    beside.run(s3.put("als.pkl", artifact))
    config = configured(page, {"my-models": s3.bucket, "eu-central-1": s3.region})
    looked = commands_that_look(page)
    assert looked == [["check", "als"]]
    for words in looked:
        done = run(tmp_path, *words, config=config, environ=s3.environment)
        assert (done.returncode, "verdict: ok" in done.stdout) == (0, True), done
    with serving(tmp_path, config, environ=s3.environment) as server:
        assert_followed(page, server)
        beside.run(s3.put("als.pkl", write(als_dict(users=61), tmp_path / "new", "pickle4").read_bytes()))
        before = server.model("als")["version"]
        assert_followed(page, server)
        assert server.model("als")["version"] != before
    (elsewhere,) = [configured(page, {"my-models": s3.bucket, "https://minio.example:9000": s3.endpoint}, which=1)]
    keys = {name: s3.environment[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    with serving(tmp_path / "elsewhere", elsewhere, environ=keys) as server:
        server.wait_ready("als")


def test_serve_from_drive(beside: Beside, artifact: bytes, tmp_path: Path) -> None:
    page = "docs/howto/serve-from-drive.md"
    config = configured(page)
    (link,) = [model["source"] for model in config["models"].values()]
    (id,) = re.findall(r"/d/([-\w]+)/", link)
    drive = beside.enter(DriveDouble({id: DriveFile(artifact, "confirm")}))
    for words in commands_that_look(page):
        done = run(tmp_path, *words, config=config, environ=drive.environment)
        assert (done.returncode, "verdict: ok" in done.stdout) == (0, True), done
    with serving(tmp_path, config, environ=drive.environment) as server:
        assert_followed(page, server)
    # The other ways to say it: the id alone, and a variable.
    (variable,) = [words for words in shell_lines(page) if words[0] == "export" and words[1].startswith("MODEL_")]
    assert f"gdrive://{id}" in prose_of(page)
    name, _, value = variable[1].partition("=")
    with serving(tmp_path / "variable", {}, environ={**drive.environment, name: value}) as server:
        server.wait_ready("als")


def test_what_drive_refuses_is_told_as_the_page_says(beside: Beside, tmp_path: Path) -> None:
    told = dict(re.findall(r"^\| `(\w+)`(.*?) \|", prose_of("docs/howto/serve-from-drive.md"), re.MULTILINE))
    kinds = {"access_denied": "permission", "source_unavailable": "quota", "source_not_found": "missing", "not_a_model": "html"}
    assert set(told) == set(kinds)
    drive = beside.enter(DriveDouble({f"{kind}-0123456789": DriveFile(b"", kind) for kind in kinds.values()}))
    for failure, kind in kinds.items():
        done = run(tmp_path, "check", f"gdrive://{kind}-0123456789", environ=drive.environment)
        assert done.returncode == 1
        assert f"verdict: {failure}" in done.stdout
    assert "Quota exceeded" in told["source_unavailable"]


def test_migrate_from_fastapi(artifact: bytes, tmp_path: Path) -> None:
    page = "docs/howto/migrate-from-fastapi.md"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "als.pkl").write_bytes(artifact)
    looked = commands_that_look(page)
    assert looked == [["check", "models/als.pkl"]]
    for words in looked:
        assert run(tmp_path, *words).returncode == 0
    with serving(tmp_path, configured(page)) as server:
        assert_followed(page, server)
        answered = {address: address_of(server, address).status for address in old_addresses(page)}
    assert len(answered) == 13
    assert {address for address, status in answered.items() if status not in (200, 202)} == {"POST /api/ml/train-all"}
    assert answered["POST /api/ml/train-all"] == 409


def old_addresses(page: str) -> list[str]:
    """What is called today: the first cells of the table of addresses."""
    return re.findall(r"^\| `([A-Z]+ /[^`]*)` \|", prose_of(page), re.MULTILINE)


def address_of(server: Server, address: str) -> Reply:
    method, _, path = address.partition(" ")
    return server.ask(method, path, {"user_id": 1, "k": 3} if path == "/predict" else None, {TOKEN_HEADER: TOKEN})


def test_the_old_fields_are_refused_and_the_new_ones_answered_as_the_page_says(artifact: bytes, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "als.pkl").write_bytes(artifact)
    with serving(tmp_path, configured("docs/howto/migrate-from-fastapi.md")) as server:
        server.wait_ready("als")
        refused = server.ask("POST", "/predict", {"user_id": 1, "n": 3})
        assert (refused.status, refused.body["field"]) == (422, "n")
        answer = server.ask("POST", "/predict", {"user_id": 1, "k": 3}).body
        assert list(answer) == ["model", "version", "user_id", "items"]
        assert [list(item) for item in answer["items"]] == [["item_id", "score"]] * 3
        assert server.ask("POST", "/predict", {"user_id": 100_000}).status == 404


def test_post_interactions(tmp_path: Path) -> None:
    page = "docs/howto/post-interactions.md"
    (tmp_path / "var").mkdir()
    write_database(tmp_path / "var" / "data.db", plant(users=300, items=200, likes_per_user=20))
    post, ask = calls_of(page)
    (program,) = fences(page, "python")
    with serving(tmp_path, configured(page)) as server:
        server.wait_ready("als", deadline_s=180.0)
        by_client = python_environment({"HOLDFAST_URL": server.url})
        assert sent(server, ask).status == 404
        for is_duplicate in (False, True):
            taken = sent(server, post)
            assert (taken.status, taken.body) == (202, {"accepted": 2, "duplicate": is_duplicate})
            told = subprocess.run([sys.executable, "-c", program], env=by_client, cwd="/", capture_output=True, text=True, check=False)
            assert (told.stdout, told.stderr) == (f"2 {is_duplicate}\n", "")
        answer = sent(server, ask)
        assert (answer.status, answer.body["folded_in"], len(answer.body["items"])) == (200, 2, 5)
        assert "learned_until" in server.model("als")["details"]


def make_purchases(postgres: PostgresDatabase) -> None:
    """The tables that the page reads."""
    planted = plant(users=300, items=200, likes_per_user=20)
    columns = ((planted.users + 1).tolist(), (planted.items + 1).tolist(), planted.weights.tolist(), planted.timestamps.tolist())
    bought = ",".join(f"({user},{item},{weight},to_timestamp({at}))" for user, item, weight, at in zip(*columns, strict=True))
    products = ",".join(f"({row + 1},'{title}','{planted.categories[row]}')" for row, title in enumerate(planted.titles))
    postgres.run(
        "CREATE TABLE purchases (customer int, product int, quantity real, bought_at timestamptz);"
        "CREATE TABLE products (id int, name text, department text);"
        f"INSERT INTO purchases VALUES {bought}; INSERT INTO products VALUES {products};"
    )


def words_of(page: str, word: str) -> list[list[str]]:
    """The words after `holdfast` of each line of the page that begins with this one."""
    return [words[1:] for words in shell_lines(page) if words[0].endswith("holdfast") and words[1] == word]


def test_train_from_postgres(postgres: PostgresDatabase, tmp_path: Path) -> None:
    page = "docs/howto/train-from-postgres.md"
    make_purchases(postgres)
    config = configured(page, {"postgresql://holdfast@db.example/shop": postgres.url})
    first, again = words_of(page, "train")
    done = run(tmp_path, *first, config=config)
    assert (done.returncode, done.stdout.startswith("als: published")) == (0, True), done
    for words in words_of(page, "versions"):
        assert "current" in run(tmp_path, *words).stdout
    with serving(tmp_path, config) as server:
        assert_followed(page, server)
        assert len(server.predict("als", {"user_id": 1, "k": 5}).body["items"]) == 5
        done = run(tmp_path, *again, environ={"ADMIN_LOAD_TOKEN": TOKEN})
        assert (done.returncode, done.stdout.startswith("als: skipped")) == (0, True), done


def test_roll_back(tmp_path: Path) -> None:
    page = "docs/howto/roll-back.md"
    (tmp_path / "var").mkdir()
    write_database(tmp_path / "var" / "data.db", plant(users=300, items=200, likes_per_user=20))
    config, environ = configured(page), {"ADMIN_LOAD_TOKEN": TOKEN}
    for _ in range(2):
        assert run(tmp_path, "train", "als", "--force", config=config).returncode == 0
    with serving(tmp_path, config) as server:
        server.wait_ready("als")
        last = server.model("als")["version"]
        go_back, unpin = words_of(page, "rollback")
        assert run(tmp_path, *go_back, environ=environ).returncode == 0
        before = server.model("als")["version"]
        assert before < last
        told = server.get("/models/als/versions").body
        assert (told["pinned"], [version["version"] for version in told["versions"]]) == (before, [last, before])
        (again,) = calls_of(page)
        refused = sent(server, again)
        assert (refused.status, refused.body["type"].rpartition(":")[2]) == (409, "no-earlier-version")
        assert run(tmp_path, *unpin, environ=environ).returncode == 0
        told = server.get("/models/als/versions").body
        assert (told["pinned"], server.model("als")["version"]) == (None, before)
        assert run(tmp_path, "versions", "als", "--activate", last, environ=environ).returncode == 0
        server.wait_model("als", lambda model: model["version"] == last, "what was activated serves")


def test_fall_back_to_training(beside: Beside, artifact: bytes, tmp_path: Path) -> None:
    page = "docs/howto/fall-back-to-training.md"
    (tmp_path / "var").mkdir()
    write_database(tmp_path / "var" / "data.db", plant(users=300, items=200, likes_per_user=20))
    files = beside.enter(FileServer({}))
    with serving(tmp_path, configured(page, {"s3://models": files.url, '"5m"': '"200ms"'})) as server:
        server.wait_model("als", lambda model: model["phase"] == "training", "it trains")
        server.wait_ready("als", deadline_s=180.0)
        assert_followed(page, server)
        stands_in = server.model("als")["load"]["fallback"]
        assert (stands_in["source"], stands_in["because"]["type"]) == ("training:als_here", "source_not_found")
        files.files["/als.pkl"] = Served(artifact)
        server.wait_model("als", lambda model: "fallback" not in (model["load"] or {"fallback": 0}), "the source is back")
        assert server.predict("als", {"user_id": 1}).status == 200


@pytest.mark.parametrize("which", [0, 1], ids=["client", "rule"])
def test_the_programs_of_the_page_wait_for_a_model_that_takes_its_time(which: int, beside: Beside, artifact: bytes, tmp_path: Path) -> None:
    page = "docs/howto/wait-for-a-model.md"
    files = beside.enter(FileServer({"/als.pkl": Served(artifact)}))
    slow = beside.enter(FaultProxy(files.address, Plan(bytes_per_s=SLOW_BYTES_PER_S)))
    text = fences(page, "python")[which]
    if which == 1:  # the call stands below the function
        (call,) = re.findall(r"^    (ask\(.*\))$", prose_of(page), re.MULTILINE)
        text += f"print({call})\n"
    # It holds a call for a second at most: the program has to come back.
    config = {"models": {"als": {"source": f"{slow.url}/als.pkl", "max_wait_s": 1}}}
    with serving(tmp_path, config) as server:
        wait_until_sync(lambda: server.model("als")["phase"] == "downloading", what="the download has begun")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", text.replace("http://127.0.0.1:8000", server.url)],
            cwd=tmp_path,
            env=python_environment({"PYTHONPATH": str(ROOT)}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        items = server.predict("als", {"user_id": 1, "k": 5}).body["items"]
    assert (done.returncode, done.stderr) == (0, "")
    assert len(items) == 5
    assert all(str(item["item_id"]) in done.stdout for item in items)
