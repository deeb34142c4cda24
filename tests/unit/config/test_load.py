"""config.load: which place wins, the names that teams already have, the admin token, and every problem at once."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from config.errors import ConfigError, Problem
from config.load import load_settings
from config.schema import ModelSettings, ServerSettings, Settings

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """load_settings in an empty folder, with the text of holdfast.toml and .env as arguments."""

    def load(
        overrides: Mapping[str, str] | None = None, *, toml: str = "", dotenv: str = "", known: Any = MappingProxyType({}), **environ: str
    ) -> Settings:
        if toml:
            (tmp_path / "holdfast.toml").write_text(toml)
        if dotenv:
            (tmp_path / ".env").write_text(dotenv)
        return load_settings(overrides or {}, environ=environ, cwd=tmp_path, **known)

    return load


def problems_of(load: Load, *args: object, **kwargs: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(*args, **kwargs)
    return [f"{Path(problem.where).name}: {problem.key}: {problem.message}" for problem in caught.value.problems]


def test_defaults_need_nothing(load: Load, tmp_path: Path) -> None:
    settings = load()
    assert settings.server == ServerSettings()
    assert settings.store.path == tmp_path / "var"
    assert settings.models == {}
    assert settings.origin("server.port") == "default"


def test_the_example_of_the_documentation(load: Load) -> None:
    model = load(
        toml="""
[server]
host = "127.0.0.1"
port = 8000
workers = 1
default_model = "als"
[store]
path = "var"
keep_versions = 5
max_bytes = "20GiB"
[loading]
concurrency = 2
memory_reserve = "256MiB"
trust = "known"
[models.als]
source = "s3://bucket/models/als.pkl"
family = "auto"
memory = "2GiB"
sha256 = ""
poll = "5m"
watch = false
required = true
load = "eager"
segment = "disk"
fallback = ""
fetch_timeout = "30m"
stall_timeout = "30s"
load_timeout = "10m"
max_artifact_bytes = "16GiB"
request_timeout = "5s"
max_in_flight = 256
max_wait_s = 60
[s3]
endpoint = "http://127.0.0.1:9000"
"""
    ).models["als"]
    assert model == ModelSettings(name="als", source="s3://bucket/models/als.pkl", memory_bytes=2 << 30, poll_s=300.0)


PLACES = ["default", "holdfast.toml", ".env", "environment", "command line"]


@pytest.mark.parametrize("strongest", range(len(PLACES)))
def test_precedence(load: Load, strongest: int) -> None:
    settings = load(
        {"server.port": "4"} if strongest >= 4 else {},
        toml="[server]\nport = 1\n" if strongest >= 1 else "",
        dotenv="HOLDFAST_SERVER_PORT=2\n" if strongest >= 2 else "",
        **({"HOLDFAST_SERVER_PORT": "3"} if strongest >= 3 else {}),
    )
    assert settings.server.port == (8000, 1, 2, 3, 4)[strongest]
    assert PLACES[strongest] in settings.origin("server.port")


def test_relative_paths_start_where_they_are_written(load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "house.toml").write_text('[models.a]\nsource = "a.pkl"\n[models.c]\nsource = "x"')
    (folder / ".env").write_text("MODEL_B_URL=b.pkl\n")
    settings = load(HOLDFAST_CONFIG="etc/house.toml", HOLDFAST_MODELS_C_SOURCE="c.pkl")
    assert [model.source for model in settings.models.values()] == [f"{folder}/a.pkl", f"{tmp_path}/c.pkl", f"{folder}/b.pkl"]
    assert settings.store.path == folder / "var"


def test_the_environment_is_read_not_changed(load: Load) -> None:
    before = dict(os.environ)
    load(dotenv="HOLDFAST_SERVER_PORT=2\nOTHER=${HOME}\nexport HOLDFAST_SERVER_HOST='0.0.0.0' # public\n")
    assert dict(os.environ) == before


def test_empty_variables_count_as_not_set(load: Load) -> None:
    settings = load(toml="[server]\nport = 1\n", HOLDFAST_SERVER_PORT="", ALS_MODEL_PATH="", MODEL_X_URL="", ADMIN_LOAD_TOKEN="")
    assert settings.server.port == 1
    assert settings.models == {}
    assert settings.server.admin_token == ""


def test_names_that_teams_already_have(load: Load) -> None:
    settings = load(ALS_MODEL_PATH="/m/als.pkl", MODEL_MY_NMF_URL="https://example.org/nmf.joblib", ADMIN_LOAD_TOKEN="secret")
    assert {name: model.source for name, model in settings.models.items()} == {
        "als": "/m/als.pkl",
        "my_nmf": "https://example.org/nmf.joblib",
    }
    assert settings.server.admin_token == "secret"


def test_the_more_specific_name_wins_in_one_environment(load: Load) -> None:
    assert load(ALS_MODEL_PATH="/1", MODEL_ALS_URL="/2").models["als"].source == "/2"
    assert load(ALS_MODEL_PATH="/1", MODEL_ALS_URL="/2", HOLDFAST_MODELS_ALS_SOURCE="/3").models["als"].source == "/3"
    assert load(ADMIN_LOAD_TOKEN="a", HOLDFAST_SERVER_ADMIN_TOKEN="b").server.admin_token == "b"


def test_a_hyphen_is_an_underscore_in_a_variable(load: Load) -> None:
    settings = load(toml='[models.my-als]\nsource = "/a"\n', HOLDFAST_MODELS_MY_ALS_LOAD_TIMEOUT="7s", MODEL_MY_ALS_URL="/b")
    assert list(settings.models) == ["my-als"]
    assert (settings.models["my-als"].load_timeout_s, settings.models["my-als"].source) == (7.0, "/b")


def test_a_name_that_ends_like_a_key_is_still_found(load: Load) -> None:
    toml = '[models.als_load]\nsource = "/a"\n[models.als]\nsource = "/b"\n'
    settings = load(toml=toml, HOLDFAST_MODELS_ALS_LOAD_TIMEOUT="7s", HOLDFAST_MODELS_ALS_LOAD_LOAD_TIMEOUT="8s")
    assert [(name, model.load_timeout_s) for name, model in settings.models.items()] == [("als_load", 8.0), ("als", 7.0)]


def test_a_variable_that_could_mean_two_models_is_a_problem(load: Load) -> None:
    toml = '[models.a-b]\nsource = "/a"\n[models.a_b]\nsource = "/b"\n'
    assert problems_of(load, toml=toml, HOLDFAST_MODELS_A_B_POLL="5m") == [
        "environment: HOLDFAST_MODELS_A_B_POLL: could mean any of the models a-b, a_b: set it in the file"
    ]


def test_what_kubernetes_puts_into_a_pod_is_not_ours(load: Load) -> None:
    load(
        HOLDFAST_SERVICE_HOST="10.0.0.1",
        HOLDFAST_SERVICE_PORT="8000",
        HOLDFAST_SERVICE_PORT_HTTP="8000",
        HOLDFAST_PORT="tcp://10.0.0.1:8000",
        HOLDFAST_PORT_8000_TCP="tcp://10.0.0.1:8000",
        HOLDFAST_PORT_8000_TCP_ADDR="10.0.0.1",
        HOLDFAST_SERVER_PORT="tcp://10.0.0.1:8000",
        HOLDFAST_SERVER_SERVICE_HOST="10.0.0.1",
    )


def test_aws_names_count_only_where_nothing_else_sets_the_key(load: Load) -> None:
    aws = {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "env-secret", "AWS_SESSION_TOKEN": "env-session", "AWS_DEFAULT_REGION": "r"}
    s3 = load(**aws).s3
    assert (s3.access_key_id, s3.secret_access_key, s3.session_token, s3.region) == ("env", "env-secret", "env-session", "r")
    s3 = load(toml='[s3]\naccess_key_id = "file"\nsecret_access_key = "file-secret"\n', **aws).s3
    assert (s3.access_key_id, s3.secret_access_key, s3.session_token, s3.region) == ("file", "file-secret", "", "r")


def test_aws_credentials_are_not_mixed_from_two_places(load: Load) -> None:
    dotenv = "AWS_ACCESS_KEY_ID=d\nAWS_SECRET_ACCESS_KEY=d-secret\nAWS_SESSION_TOKEN=d-session\n"
    s3 = load(dotenv=dotenv, AWS_ACCESS_KEY_ID="e", AWS_SECRET_ACCESS_KEY="e-secret").s3
    assert (s3.access_key_id, s3.secret_access_key, s3.session_token) == ("e", "e-secret", "")


def test_the_token_file_of_the_stronger_place_wins(load: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  from-file\n")
    assert load(ADMIN_LOAD_TOKEN_FILE="token").server.admin_token == "from-file"
    assert load(ADMIN_LOAD_TOKEN_FILE="token", ADMIN_LOAD_TOKEN="direct").server.admin_token == "direct"
    assert load(toml='[server]\nadmin_token = "weak"\n', ADMIN_LOAD_TOKEN_FILE="token").server.admin_token == "from-file"


def test_the_systemd_credential_is_the_last_resort(load: Load, tmp_path: Path) -> None:
    assert load(CREDENTIALS_DIRECTORY=str(tmp_path)).server.admin_token == ""
    (tmp_path / "admin-token").write_text("credential\n")
    assert load(CREDENTIALS_DIRECTORY=str(tmp_path)).server.admin_token == "credential"
    assert load(CREDENTIALS_DIRECTORY=str(tmp_path), ADMIN_LOAD_TOKEN="direct").server.admin_token == "direct"


POSTGRES = "postgresql://ada@db/shop?sslmode=require"


def test_the_password_of_the_database_comes_from_a_file(load: Load, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(" p@ss/w:rd\n")
    data = load(HOLDFAST_DATA_URL=POSTGRES, HOLDFAST_DATA_PASSWORD_FILE="password").data
    assert data.url == "postgresql://ada:p%40ss%2Fw%3Ard@db/shop?sslmode=require"
    nobody = load(HOLDFAST_DATA_URL="postgresql:///shop?host=/run/pg", HOLDFAST_DATA_PASSWORD_FILE="password").data
    assert nobody.url == "postgresql://:p%40ss%2Fw%3Ard@/shop?host=/run/pg"
    assert "p%40ss" not in repr(data)


def test_the_systemd_credential_is_the_password_of_who_has_none(load: Load, tmp_path: Path) -> None:
    assert load(HOLDFAST_DATA_URL=POSTGRES, CREDENTIALS_DIRECTORY=str(tmp_path)).data.url == POSTGRES
    (tmp_path / "database-password").write_text("credential\n")
    found = load(HOLDFAST_DATA_URL=POSTGRES, CREDENTIALS_DIRECTORY=str(tmp_path)).data.url
    assert found == "postgresql://ada:credential@db/shop?sslmode=require"
    for other in ("postgresql://ada:own@db/shop", "postgresql:///shop?user=ada&password=own", "sqlite:////d.db"):
        assert load(HOLDFAST_DATA_URL=other, CREDENTIALS_DIRECTORY=str(tmp_path)).data.url == other


@pytest.mark.parametrize(
    ("url", "file", "problem"),
    [
        ("postgresql://ada:own@db/shop", "password", "the url holds a password already"),
        ("postgresql://ada@db/shop?sslmode=require&password=own", "password", "the url holds a password already"),
        ("sqlite:////d.db", "password", "only a postgresql:// url takes a password"),
        (POSTGRES, "nowhere", "nowhere cannot be read"),
        (POSTGRES, "long", "longer than 4096 bytes"),
    ],
)
def test_a_password_file_that_does_not_do(load: Load, tmp_path: Path, url: str, file: str, problem: str) -> None:
    (tmp_path / "password").write_text("hush")
    (tmp_path / "long").write_text("hush" * 2000)
    (told,) = problems_of(load, HOLDFAST_DATA_URL=url, HOLDFAST_DATA_PASSWORD_FILE=file)
    assert problem in told
    assert "HOLDFAST_DATA_PASSWORD_FILE" in told
    assert "hush" not in told


@pytest.mark.parametrize("prefix", ["s3://bucket/shop", "s3://my.bucket-1/a/b_c", "s3://bucket/a/"])
def test_where_versions_are_copied_to(load: Load, prefix: str) -> None:
    assert load(toml=f'{TRAINED}[training.far]\nalgorithm = "als"\npublish_to = "{prefix}"\n').training["far"].publish_to == prefix


@pytest.mark.parametrize(
    "prefix", ["s3://bucket", "s3://bucket/", "bucket/shop", "https://h/b", "s3:///shop", "s3://b k/shop", "s3://bucket/a//b"]
)
def test_where_versions_cannot_be_copied_to(load: Load, prefix: str) -> None:
    (told,) = problems_of(load, toml=f'{TRAINED}[training.far]\nalgorithm = "als"\npublish_to = "{prefix}"\n')
    assert f"training.far.publish_to: {prefix!r} is not s3://BUCKET/PREFIX" in told


def test_secrets_are_not_shown(load: Load) -> None:
    settings = load(ADMIN_LOAD_TOKEN="hush-1", AWS_ACCESS_KEY_ID="id", AWS_SECRET_ACCESS_KEY="hush-2")
    assert "hush" not in repr(settings)
    assert "hush" not in "".join(problems_of(load, ADMIN_LOAD_TOKEN="hush hush"))


TRAINED = """
[data]
url = "sqlite:///var/shop.db"
[training.als]
algorithm = "als"
schedule = "0 */6 * * *"
memory = "1GiB"
gate = {metric = "ndcg@10", minimum = 0.05, tolerance = 0.02}
parameters = {factors = 64, alpha = 8.0, use_cg = false}
[training.content]
algorithm = "content"
[training.mix]
algorithm = "hybrid"
parts = {content = "content", collaborative = "als"}
[models.best]
source = "s3://b/k"
fallback = "training:als"
"""


def test_what_a_training_publishes_is_served_under_its_name_unless_a_model_takes_it(load: Load) -> None:
    settings = load(toml=TRAINED)
    assert list(settings.models) == ["best", "content", "mix"]
    content = settings.models["content"]
    assert (content.source, content.fallback, content.watch) == ("training:content", "training:content", True)
    assert settings.models["best"].watch is False
    named = load({"models.first.source": "training:als"}, toml=TRAINED)
    assert named.models["first"].watch is True
    assert list(named.models) == ["best", "first", "content", "mix"]


def test_a_training_is_what_its_table_says(load: Load, tmp_path: Path) -> None:
    settings = load(toml=TRAINED, HOLDFAST_TRAINING_ALS_JITTER="5m", HOLDFAST_TRAINING_MIX_GATE='metric="map@5"')
    als = settings.training["als"]
    assert (als.name, als.algorithm, als.schedule, als.memory_bytes, als.jitter_s) == ("als", "als", "0 */6 * * *", 1 << 30, 300.0)
    assert dict(als.gate) == {"metric": "ndcg@10", "minimum": 0.05, "tolerance": 0.02}
    assert dict(als.parameters) == {"factors": 64, "alpha": 8.0, "use_cg": False}
    assert dict(settings.training["mix"].gate) == {"metric": "map@5"}
    assert dict(settings.training["mix"].parts) == {"content": "content", "collaborative": "als"}
    assert settings.data.url == f"sqlite:///{tmp_path}/var/shop.db"


def test_a_database_is_not_shown(load: Load) -> None:
    settings = load(toml=TRAINED, HOLDFAST_DATA_URL="postgresql://shop:hush@db/shop", HOLDFAST_DATA_INGEST_TOKEN="hush-too")
    assert settings.data.url == "postgresql://shop:hush@db/shop"
    assert "hush" not in repr(settings)
    assert "hush" not in "".join(problems_of(load, toml=TRAINED, HOLDFAST_DATA_URL="mysql://shop:hush@db/shop"))


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('[training.a]\nalgorithm="als"\n', "training.a: has nothing to train from: set [data] url"),
        ('[data]\nurl="csv://d"\n[training.a]\nalgorithm="als"\nafter_interactions=5\n', "a folder of CSV files takes no interactions"),
        ('[data]\nurl="csv://d"\n[training.a]\nalgorithm="als"\n[models.m]\nsource="training:a"\nfallback="training:a2"\n', "leave it out"),
        ('[data]\nurl="csv://d"\n[training.segments]\nalgorithm="als"\n', "'segments' cannot name a training"),
        ('[data]\nurl="csv://d"\n[training.a]\nalgorithm="als"\ngate={minimum="x"}\n', "minimum is 'x', which is no number"),
        ('[data]\nurl="csv://d"\n[training.a]\nalgorithm="als"\ngate={minimum=[1]}\n', "a table of strings, numbers and switches"),
        (
            '[data]\nurl="csv://d"\n[training.h]\nalgorithm="hybrid"\nparts={content="h2"}\n[training.h2]\nalgorithm="hybrid"\n',
            "content names 'h2', which is a hybrid itself",
        ),
        ('[data]\nurl="sqlite:///d"\ningest_table="a b; DROP"\n', "data.ingest_table: 'a b; DROP' is no name of a table"),
        ("training = 1\n", "training: is a section: write [training.<name>]"),
    ],
)
def test_trainings_that_cannot_be(load: Load, toml: str, complaint: str) -> None:
    assert complaint in "\n".join(problems_of(load, toml=toml))


def test_every_problem_at_once(load: Load) -> None:
    toml = """
stray = 1
[server]
port = "x"
wrokers = 2
default_model = "asl"
[stroe]
[data]
url = "sqlite://"
[training.als]
algorithm = "asl"
schedule = "never"
parts = {content = "als"}
gate = {metric = "auc", minimun = 1, tolerance = -1}
[training.demo]
[models.als]
source = "als.pkl"
memory = "2G"
fallback = "als"
[models.late]
source = "training:asl"
[models.status]
source = "s3://b/k"
sha256 = "zz"
[models.Bad]
[models.hybrid]
source = "h"
parts = {content = "cnotent", colaborative = "als"}
"""
    found = problems_of(
        load,
        {"server.port": "70000", "server.workers": "3", "serve.port": "1", "models.als": "x", "store.pth": "y"},
        toml=toml,
        known={"algorithms": ("als", "hybrid"), "check_schedule": lambda text: f"{text!r} is no time"},
        dotenv="HOLDFAST_LOADING_CONCURRENCY=0\n= broken\n",
        HOLDFAST_SERVER_PROT="1",
        HOLDFAST_MODELS_ALS_MEMROY="1",
        HOLDFAST_MODELS_NEW_POLL="5m",
        ADMIN_LOAD_TOKEN_FILE="/nowhere/token",
        AWS_ACCESS_KEY_ID="only",
    )
    expected = [
        "holdfast.toml: stray: unknown section; did you mean store?",
        "holdfast.toml: server.port: a string given where a whole number is expected",
        "holdfast.toml: server.wrokers: unknown key; did you mean workers?",
        "holdfast.toml: stroe: unknown section; did you mean store?",
        "holdfast.toml: data.url: names no file",
        "holdfast.toml: training.als.algorithm: 'asl' is none of: als, hybrid; did you mean als?",
        "holdfast.toml: training.als.schedule: 'never' is no time",
        "holdfast.toml: training.als.gate: metric 'auc' is none of precision@K, recall@K, ndcg@K, map@K with K from 1 to 999",
        "holdfast.toml: training.als.gate: unknown key 'minimun'; did you mean minimum?",
        "holdfast.toml: training.als.gate: tolerance is -1, which is no number from 0 on",
        "holdfast.toml: training.als.parts: only a hybrid has parts, not asl",
        "holdfast.toml: training.als.parts: content names 'als', which is not another configured training; did you mean als?",
        "holdfast.toml: training.demo: 'demo' cannot name a training: partial, artifacts, segments, kept, lock, demo are something else"
        " in the store",
        "configuration: training.demo.algorithm: is not set: every training needs one: als, hybrid",
        'holdfast.toml: models.als.memory: \'2G\' is not a size: write "2GiB", "300MB" or a number of bytes; G is ambiguous',
        "holdfast.toml: models.als.fallback: 'als' is not training:NAME, the name of a [training.NAME]",
        "holdfast.toml: models.late.source: no [training.asl] is configured; did you mean als?",
        "holdfast.toml: models.status: 'status' cannot name a model: status, reload, clear are routes",
        "holdfast.toml: models.status.sha256: 'zz' is not a SHA-256: 64 hexadecimal digits",
        "holdfast.toml: models.Bad: 'Bad' cannot name a model: 1 to 63 of a-z, 0-9, - and _, the first a letter or digit",
        "holdfast.toml: models.Bad: has no source: every model needs one",
        "holdfast.toml: models.hybrid.parts: content names 'cnotent', which is not another configured model",
        "holdfast.toml: models.hybrid.parts: 'colaborative' is no part of a hybrid: those are content and collaborative;"
        " did you mean collaborative?",
        "holdfast.toml: server.default_model: no model 'asl' is configured; did you mean als?",
        ".env: HOLDFAST_LOADING_CONCURRENCY: 0 is too small: at least 1",
        ".env: line 2: is not NAME=value",
        "environment: HOLDFAST_SERVER_PROT: unknown variable; did you mean HOLDFAST_SERVER_PORT?",
        "environment: HOLDFAST_MODELS_ALS_MEMROY: unknown key of a model: HOLDFAST_MODELS_<NAME>_<KEY>; did you mean memory?",
        "environment: models.new: has no source: every model needs one",
        "environment: ADMIN_LOAD_TOKEN_FILE: /nowhere/token cannot be read: No such file or directory",
        "environment: AWS_ACCESS_KEY_ID: is set without secret_access_key",
        "command line: --port: 70000 is too large: at most 65535",
        "command line: --workers: more than one serving process is not supported yet: set 1",
        "command line: --set serve.port: unknown section; did you mean server?",
        "command line: --set models.als: is not a setting: write --set models.<name>.<key>=<value>",
        "command line: --set store.pth: unknown key; did you mean path?",
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[server\n", "is not TOML: "),
        ("server = 1\n", "server: is a section: write [server]"),
        ("models = 1\n", "models: is a section: write [models.<name>]"),
        ("[models]\nals = 1\n", "models.als: is a table: write [models.als]"),
    ],
)
def test_files_of_the_wrong_shape(load: Load, toml: str, complaint: str) -> None:
    (problem,) = problems_of(load, toml=toml)
    assert complaint in problem


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(config_file=tmp_path / "no.toml", environ={}, cwd=tmp_path)
    assert caught.value.problems == (Problem(str(tmp_path / "no.toml"), "", "cannot be read: No such file or directory"),)


def test_what_other_rooms_know_can_be_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(
            {"models.a.source": "ftp://x", "models.a.family": "factor"},
            environ={},
            cwd=tmp_path,
            check_source=lambda uri: f"cannot open {uri}",
            families=("factors",),
        )
    assert [str(problem) for problem in caught.value.problems] == [
        "command line: --set models.a.source: cannot open ftp://x",
        "command line: --set models.a.family: 'factor' is none of: auto, factors; did you mean factors?",
    ]


def test_a_config_error_survives_pickling() -> None:
    error = ConfigError([Problem("f", "k", "m")])
    assert pickle.loads(pickle.dumps(error)).problems == error.problems
    assert str(error) == "f: k: m"
