"""What stands in deploy/ to run the program by: units for systemd, and the compose file, held against the program itself.

Covers: systemd reads the units, both share their user and their store, commands, settings and exit codes are those that there are, no
secret stands in a file. Does not cover: starting them, which needs systemd or a container engine; alerts and dashboard
(tests/test_monitoring).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.declared import DECLARED, OTHER_ENV
from config.secret_files import PASSWORD_CREDENTIAL, TOKEN_CREDENTIAL
from service.cli import build_parser
from service.commands.train import EXIT_BUSY, EXIT_REFUSED
from tests.support import ROOT

UNITS = ROOT / "deploy/systemd"
SERVER, TRAIN, TIMER = "holdfast.service", "holdfast-train.service", "holdfast-train.timer"
COMPOSE = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
PROGRAM = "/opt/holdfast/bin/holdfast"
VARIABLES = {each.env_name() for keys in DECLARED.values() for each in keys.values()} | set(OTHER_ENV) | {"ADMIN_LOAD_TOKEN_FILE"}

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def unit(name: str) -> dict[str, list[str]]:
    """Key -> its values, of all sections."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@needs_systemd
def test_systemd_reads_the_units_without_a_complaint(tmp_path: Path) -> None:
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, "/bin/true"))
    command = ["systemd-analyze", "verify", "--recursive-errors=yes", *sorted(map(str, tmp_path.iterdir()))]
    done = subprocess.run(command, env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_timer_comes() -> None:
    (when,) = unit(TIMER)["OnCalendar"]
    done = subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Next elapse" in done.stdout


def test_training_has_the_user_the_store_and_the_walls_of_the_server() -> None:
    server, train = unit(SERVER), unit(TRAIN)
    shared = ("DynamicUser", "User", "StateDirectory", "StateDirectoryMode", "UMask", "Environment", "Delegate", "OOMPolicy")
    walls = [
        key for key in server if key.startswith(("Protect", "Private", "Restrict", "SystemCall", "NoNew", "Capability", "Ambient", "Lock"))
    ]
    assert len(walls) > 10
    for key in (*shared, *walls):
        assert train.get(key) == server[key], key
    assert (train["Type"], train["User"]) == (["oneshot"], ["holdfast"])
    assert {"MemoryMax", "Nice", "IOSchedulingClass"} <= set(train)


def test_what_is_no_failure_of_a_training_is_none_of_its_unit() -> None:
    assert unit(TRAIN)["SuccessExitStatus"] == [f"{EXIT_REFUSED} {EXIT_BUSY} {128 + 15}"]


@pytest.mark.parametrize("name", [SERVER, TRAIN])
def test_the_units_run_words_of_the_program_with_secrets_that_it_reads(name: str) -> None:
    found = unit(name)
    program, *words = found["ExecStart"][0].split()
    assert program == PROGRAM
    assert build_parser().parse_args(words).config == "/etc/holdfast/holdfast.toml"
    variables = {word.partition("=")[0] for value in found["Environment"] for word in value.split()}
    assert variables - {"PYTHONUNBUFFERED"} <= VARIABLES
    credentials = {value.partition(":")[0] for value in found["LoadCredential"]}
    assert credentials == ({TOKEN_CREDENTIAL, PASSWORD_CREDENTIAL} if name == SERVER else {PASSWORD_CREDENTIAL})


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = COMPOSE["services"]
    return found


def test_what_compose_names_is_declared() -> None:
    assert set(COMPOSE) == {"name", "services", "secrets", "volumes"}
    used = {secret for each in services().values() for secret in each["secrets"]}
    assert used == set(COMPOSE["secrets"])
    mounted = {volume.partition(":")[0] for each in services().values() for volume in each["volumes"]}
    assert mounted == {*COMPOSE["volumes"], "./holdfast.toml"}
    for each in services().values():
        assert set(each.get("depends_on", {})) <= set(services())
        for variable, value in each["environment"].items():
            if variable.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in each["secrets"], variable


@pytest.mark.parametrize("name", ["server", "loader"])
def test_compose_builds_what_trains_and_sets_what_there_is(name: str) -> None:
    each = services()[name]
    assert each["build"]["args"] == {"EXTRAS": "train"}
    assert (ROOT / "deploy" / each["build"]["context"] / "Dockerfile").resolve() == ROOT / "Dockerfile"
    assert set(each["environment"]) <= VARIABLES
    assert each["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert "pg_isready" in services()["database"]["healthcheck"]["test"]


def test_the_loader_shares_the_store_and_none_of_the_memory() -> None:
    server, loader = services()["server"], services()["loader"]
    store = "store:/var/lib/holdfast"
    assert store in server["volumes"] and store in loader["volumes"]
    assert f"HOLDFAST_STORE_PATH={store.partition(':')[2]}" in (ROOT / "Dockerfile").read_text()
    assert loader["profiles"] == ["loader"] and "profiles" not in server
    assert loader["mem_limit"] == loader["memswap_limit"] and server["mem_limit"]
    assert (loader["restart"], loader["ports"]) == ("no", [])  # YAML's no would be false
    parsed = build_parser().parse_args(loader["command"])
    assert parsed.all and parsed.local, "only so the lock of the server on its store is in nobody's way"


def test_no_secret_stands_in_a_file() -> None:
    for path in (ROOT / "deploy").rglob("*.*"):
        text = path.read_text()
        assert not re.search(r"://[^/\s:@]+:[^@\s/]+@", text), path
        given = re.findall(r"(?i)(?<![-\w])(\w*(?:PASSWORD|TOKEN|SECRET)\w*)[ \t]*[:=][ \t]*[^\s:]+[ \t]*$", text, re.MULTILINE)
        assert [name for name in given if not name.endswith("_FILE")] == [], path
