"""The documentation, compared with the code: links, paths, names, words, examples and settings.

Covers: README.md, CONTRIBUTING.md, CHANGELOG.md and docs/. Does not cover: docs/reference
(tests/unit/config, tests/unit/service/reference), what happens to who follows docs/howto (tests/acceptance/test_howto), the diagram and the
table of retries in docs/life-of-a-model.md (tests/unit/lifecycle).
"""

from __future__ import annotations

import argparse
import ast
import configparser
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, get_args
from urllib.parse import parse_qs

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator

from config.declared import DECLARED
from config.load import load_settings
from config.schema import ModelSettings
from loaders.errors import FAILURES
from loaders.sources import check_source
from models import FAMILIES
from models.bundle import BadBundle
from models.packing import NO_OPTIONS, PackError
from service import errors, jobs, query_string, questions
from service.app import build_app
from service.cli import build_parser
from service.errors import Problem, not_ready
from service.lifecycle.events import Failed, FetchBegan, Progressed, Started
from service.lifecycle.machine import step
from service.lifecycle.state import Entry, Phase, Status
from service.lifecycle.view import ModelView
from service.openapi import openapi
from service.routes import ROUTES, add_routes
from service.status import HTTP_OF
from tests.architecture import ROOMS
from tests.pages import PAGES, calls_of, fences, prose_of, shell_lines, text_of
from tests.support import ROOT
from tests.unit.service.fakes import FakeRegistry, live, settings_for
from training.errors import TRAINING_FAILURES

HYPOTHETICAL = {
    "loaders/sources/ftp.py",
    *(f"models/scorecard/{name}.py" for name in ("__init__", "pack", "score")),
    "tests/contracts/families/scorecard.py",
    "service/schemas/story.py",
    "service/routes/story.py",
}
HYPOTHETICAL_ROUTES = {("GET", "/models/{model}/story")}
"""What docs/howto tells somebody to write."""
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}

every_page = pytest.mark.parametrize("page", PAGES, ids=str)


def links(page: Path | str) -> Iterator[tuple[str, str]]:
    """(path, anchor) of each relative link, and of each picture."""
    for target in re.findall(r"""(?:\]\(|src(?:set)?=")([^)"\s]+)""", prose_of(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)}


def code_words(page: Path | str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose_of(page))


def test_there_is_something_to_check() -> None:
    assert {Path("README.md"), Path("docs/architecture.md"), Path("docs/glossary.md"), Path("CONTRIBUTING.md")} <= set(PAGES)
    assert len([path for path, _ in links("README.md")]) >= 8
    assert len(list(paths_in("docs/architecture.md"))) >= 30


@every_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for path, anchor in links(page):
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []


def paths_in(page: Path | str) -> Iterator[str]:
    """What is written like a path of this project."""
    for word in code_words(page):
        if re.fullmatch(r"[\w.\-/]+", word) and word.partition("/")[0] in FOLDERS and "/" in word:
            yield word


@every_page
def test_paths_exist(page: Path) -> None:
    assert [path for path in paths_in(page) if not (ROOT / path).exists() and path not in HYPOTHETICAL] == []


@every_page
def test_modules_exist(page: Path) -> None:
    missing = []
    for word in code_words(page):
        if re.fullmatch(r"(config|loaders|models|service|training|tests)(\.[a-z_]+)+", word):
            file = ROOT.joinpath(*word.split("."))
            if not (file.is_dir() or file.with_suffix(".py").exists() or _names_something(word)):
                missing.append(word)
    assert missing == []


def _names_something(word: str) -> bool:
    """`tests.support.wait_until`: a name in a module."""
    module, _, name = word.rpartition(".")
    file = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    return file.exists() and name in top_level_names(file)


def top_level_names(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            names.update(target.id for target in ast.walk(node) if isinstance(target, ast.Name))
    return names


@every_page
def test_names_are_in_the_file_that_is_named_for_them(page: Path) -> None:
    named = re.findall(r"`(\w+)`\s+(?:of|in)\s+`([\w/]+\.py)`", prose_of(page))
    assert [f"{name} in {file}" for name, file in named if name not in text_names(file)] == []


def text_names(file: str) -> set[str]:
    return set(re.findall(r"\w+", text_of(file)))


def words_of_the_command_line() -> dict[str, argparse.ArgumentParser]:
    (action,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    return dict(action.choices)


@every_page
def test_commands_exist(page: Path) -> None:
    told = set(re.findall(r"`holdfast ([a-z]+)", prose_of(page)))
    assert told - set(words_of_the_command_line()) == set()


def test_the_readme_names_every_command() -> None:
    assert set(re.findall(r"^\| `holdfast ([a-z]+)` \|", text_of("README.md"), re.MULTILINE)) == set(words_of_the_command_line())


@every_page
def test_command_lines_are_taken(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = []
    for words in shell_lines(page):
        if words[0].rpartition("/")[2] == "holdfast":
            try:
                build_parser().parse_args(words[1:])
            except SystemExit:
                refused.append(f"{' '.join(words)}: {capsys.readouterr().err}")
    assert refused == []


@every_page
def test_calls_are_of_routes_and_of_fields_that_exist(page: Path) -> None:
    patterns = [(route, re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route.path))) for route in ROUTES]
    unknown = []
    for call in calls_of(page):
        path, _, query = call.path.partition("?")
        found = [route for route, pattern in patterns if route.method == call.method and re.fullmatch(pattern, path)]
        if not found or not set(parse_qs(query)) <= found[0].queried:
            unknown.append(call)
        elif found[0].body is not None:
            decoded_as_any(json.dumps(call.body), found[0].body.type)
    assert unknown == []


def decoded_as_any(text: str, type: Any) -> None:
    """As one of the members of a union, which msgspec does not tell apart. Raises msgspec.ValidationError."""
    *others, last = get_args(type) if isinstance(type, UnionType) else (type,)
    for member in others:
        with suppress(msgspec.ValidationError):
            msgspec.json.decode(text, type=member)
            return
    msgspec.json.decode(text, type=last)


@every_page
def test_python_is_python(page: Path) -> None:
    for fence in fences(page, "python"):
        ast.parse(fence)


@every_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    told = re.findall(r"`make ([a-z]+)", prose_of(page)) + [
        word for fence in fences(page, "sh") for word in re.findall(r"^make ([a-z]+)", fence, re.MULTILINE)
    ]
    assert set(told) - targets == set()


@every_page
def test_toml_is_a_configuration_without_problems(page: Path, tmp_path: Path) -> None:
    for number, fence in enumerate(fences(page, "toml")):
        file = tmp_path / f"{number}.toml"
        file.write_text(fence)
        settings = load_settings(config_file=file, environ={}, cwd=tmp_path, check_source=check_source, families=FAMILIES)
        assert settings.models


def example(name: str) -> dict[str, Any]:
    """The JSON of a page behind the comment that names it."""
    found = [text for page in PAGES for text in re.findall(rf"<!-- example: {name} -->\n```json\n(.*?)^```$", text_of(page), re.M | re.S)]
    assert len(found) == 1, name
    told: dict[str, Any] = json.loads(found[0])
    return told


def view_of(entry: Entry) -> ModelView:
    return ModelView(ModelSettings(name="als", source="/srv/models/als.pkl"), entry, None)


def downloading() -> Entry:
    entry, _ = step(Entry("als"), Started(), 1.0)
    entry, _ = step(entry, FetchBegan(1), 2.0)
    return step(entry, Progressed(1, 1_000_000, 1_289_527), 3.0)[0]


def failed() -> Entry:
    return step(downloading(), Failed(1, "not_a_model", "a web page (HTML), not a model", None, 0.0), 4.0)[0]


def body_of(entry: Entry) -> dict[str, Any]:
    response = not_ready(view_of(entry), 5.0)
    assert isinstance(response.body, bytes)
    told: dict[str, Any] = json.loads(response.body)
    return told


def test_the_examples_have_the_fields_of_the_answers() -> None:
    assert list(example("loading")) == list(body_of(downloading()))
    assert list(example("failed")) == list(body_of(failed()))
    assert list(example("failed")["failure"]) == list(body_of(failed())["failure"])
    told = view_of(failed()).to_json(5.0)
    assert list(example("model")) == list(told)
    assert set(example("model")["story"][0]) == set(told["story"][0])


def test_the_examples_say_what_can_be() -> None:
    model = example("model")
    assert example("loading")["phase"] in set(Phase)
    assert model["status"] in set(Status)
    assert model["family"] in FAMILIES
    assert example("failed")["failure"]["type"] in FAILURES
    walls = set(re.findall(r"^\| `(\w+)` \|", text_of("docs/architecture.md"), re.MULTILINE)) & set(model["load"]["walls"])
    assert walls == set(model["load"]["walls"])


def module_of(text: str) -> Any:
    module = ModuleType("scorecard")
    exec(compile(text, "docs/howto/add-a-family.md", "exec"), vars(module))
    return module


def test_the_family_of_the_howto_answers_as_its_example_says() -> None:
    _, pack, score, families = map(module_of, fences("docs/howto/add-a-family.md", "python"))
    (make,) = families.ESTIMATORS.values()
    example = make()
    assert pack.matches(example.artifact) and pack.matches({"model": 1}) is None
    bundle = pack.pack(example.artifact, NO_OPTIONS)
    scorer = score.open_scorer(bundle)
    assert (score.warm(scorer), scorer.family, scorer.kind) == ({}, bundle.family, "estimator")
    assert scorer.predict(example.rows).predictions == example.predictions
    assert scorer.predict([{"debts": 3, "age": 20}]).predictions == example.predictions[1:]
    for artifact, type in (({"scorecard": {"age": 0.5}}, "missing_keys"), ({"scorecard": {}, "offset": 1.0}, "corrupt_artifact")):
        with pytest.raises(PackError) as caught:
            pack.pack(artifact, NO_OPTIONS)
        assert caught.value.type == type
    with pytest.raises(BadBundle):
        score.open_scorer(replace(bundle, arrays={"points": bundle.arrays["points"][:-1]}))


async def test_the_endpoint_of_the_howto_answers_as_it_declares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas, routes = fences("docs/howto/add-an-endpoint.md", "python")
    for name, text in (("service.schemas.story", schemas), ("service.routes.story", routes)):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))  # where annotations are looked up
        exec(compile(text, "docs/howto/add-an-endpoint.md", "exec"), vars(sys.modules[name]))
    (route,) = sys.modules["service.routes.story"].ROUTES
    registry = FakeRegistry(live())
    app = build_app(settings_for(registry, tmp_path), supervisor=registry, environ={})
    add_routes(app, (route,))
    document = openapi((route,))
    said = document["paths"][route.path]["get"]
    assert set(said["responses"]) >= {"200", "404", "422"}
    schema = {**said["responses"]["200"]["content"]["application/json"]["schema"], "components": document["components"]}
    async with TestClient(TestServer(app)) as client:
        for path, status in (("", 200), ("?last=1", 200), ("?last=0", 422), ("?last=x", 422), ("?last=²", 422), ("?first=1", 422)):
            async with client.get(f"/models/als/story{path}") as response:
                assert response.status == status, path
                body = await response.json(content_type=None)
            if status == 200:
                Draft202012Validator(schema).validate(body)
        async with client.get("/models/nobody/story") as response:
            assert response.status == 404


def test_json_is_json() -> None:
    for page in PAGES:
        for fence in fences(page, "json"):
            json.loads(fence)


def test_the_status_codes_are_those_that_are_answered() -> None:
    table = text_of("README.md").partition("## What a request gets")[2].partition("\n\n20")[0]
    told = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(",")}
    problems = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Problem) and each is not Problem]
    # 404 and 409 are the lifecycle's, 413 is aiohttp's.
    assert told == {404, 409, 413, *HTTP_OF.values(), *(each.status for each in problems)}


@every_page
def test_routes_exist(page: Path) -> None:
    known = {(route.method, route.path) for route in ROUTES} | HYPOTHETICAL_ROUTES
    patterns = [(method, re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(path))) for method, path in known]
    missing = []
    for method, path in re.findall(r"`(GET|POST|DELETE) (/[^`?\s]*)", prose_of(page)):
        if not any(method == each and re.fullmatch(pattern, path) for each, pattern in patterns):
            missing.append(f"{method} {path}")
    assert missing == []


def test_the_page_on_asking_has_every_field_and_bound() -> None:
    page = text_of("docs/reference/asking.md")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("## The answer")[0], re.MULTILINE))
    assert list(rows) == list(questions.Question.__struct_fields__)
    bounds = {
        "users": questions.MAX_USERS,
        "liked": questions.MAX_LIKED,
        "instances": questions.MAX_INSTANCES,
        "exclude": questions.MAX_IDS,
        "only": questions.MAX_IDS,
        "categories": questions.MAX_WORDS,
        "fields": questions.MAX_WORDS,
        "explain": jobs.MAX_EXPLAINED,
    }
    assert [name for name, most in bounds.items() if f"at most {most:,}" not in rows[name]] == []
    assert f"at most {jobs.MAX_ITEMS:,} items" in page
    assert rows["k"].endswith(f"| {questions.DEFAULT_K}")
    similar = page.partition("## Similar items")[2].partition("parameters")[0]
    assert set(re.findall(r"`(\w+)`", similar)) == set(query_string.SimilarQuestion.__struct_fields__)


def words_under(title: str) -> set[str]:
    section = text_of("docs/glossary.md").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^- `(\w+)`", section, re.MULTILINE))


def test_the_glossary_has_every_status_and_phase() -> None:
    assert words_under("Statuses") == {status.value for status in Status}
    assert words_under("Phases") == {phase.value for phase in Phase}


@cache
def every_function() -> set[str]:
    return set().union(*(top_level_names(file) for room in ROOMS for file in (ROOT / room).rglob("*.py")))


@every_page
def test_failure_types_exist(page: Path) -> None:
    """Every word that ends like a failure type is one, or a setting, or a function."""
    endings = "|".join(sorted({name.rpartition("_")[2] for name in FAILURES}))
    settings = {key for keys in DECLARED.values() for key in keys}
    told = {word for word in code_words(page) if re.fullmatch(rf"[a-z_]+_(?:{endings})", word)}
    assert told - {*FAILURES, *TRAINING_FAILURES} - settings - every_function() == set()


def test_every_failure_type_is_in_the_life_of_a_model() -> None:
    assert set(FAILURES) <= set(code_words("docs/life-of-a-model.md"))


def test_decisions_are_numbered_without_a_gap_and_have_the_three_parts() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert re.match(rf"# {int(page.name[:4])}\. ", text), page
        assert [part for part in ("**Context.**", "**Choice.**", "**Price.**") if part not in text] == [], page


@every_page
def test_the_project_speaks_only_of_itself(page: Path) -> None:
    assert re.findall(r"DESIGN\.md|FACTS\.md|ANCHORS\.md|/root\b|/work\b|\bissue #?\d+", text_of(page)) == []


def test_every_extra_that_is_named_is_declared() -> None:
    declared = configparser.ConfigParser()
    declared.read(ROOT / "setup.cfg")
    named = {extra for page in PAGES for extra in re.findall(r"holdfast\[(\w+)\]", text_of(page))}
    named |= set(re.findall(r"EXTRAS=(\w+)", "".join([*map(text_of, PAGES), text_of("Dockerfile")])))
    assert {"train", "sklearn"} <= named <= set(declared["options.extras_require"])


@pytest.mark.parametrize("path", ["README.md", "docs/architecture.md"])
def test_the_tables_of_families_name_them_all_in_their_order(path: str) -> None:
    rows = [name for name in re.findall(r"^\| `(\w+)` \|", text_of(path), re.MULTILINE) if name in FAMILIES]
    assert rows == list(FAMILIES)
