"""The declaration, shown: flags of `holdfast serve` with their help, and docs/reference/settings.md.

`python -m config.reference` prints the page. Does not cover: loading (`config.load`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from config.declared import DECLARED, FLAGS, NAMED, OTHER_ENV, SECTIONS, Declared
from config.values import show

INTRODUCTION = """\
# Settings

Made from the declaration in `config/schema.py` by `make docs`; do not edit.

A value comes from the first of these that gives it: the command line, the environment, a `.env` file beside the
configuration file, the configuration file, the default. The configuration file is TOML: the one that `--config` or
`HOLDFAST_CONFIG` names, else `holdfast.toml` in the current folder if there is one. Everything that is wrong is reported
at once and ends the program with exit code 2.

- **Command line**: `--set SECTION.KEY=VALUE` sets anything (`--set models.als.memory=2GiB`); some settings have a flag of their own.
- **Environment**: `HOLDFAST_<SECTION>_<KEY>`; a `-` in a model's name is written `_`. An empty variable counts as not set.
- **Durations** are `"30s"`, `"5m"`, `"1h30m"`, `"250ms"` or a number of seconds; **sizes** are `"2GiB"` (1024s), `"300MB"` (1000s)
  or a number of bytes.
- **Relative paths** start at the folder of the file that gives them, or at the current folder if the environment or the command line does.

These names work too:

- `MODEL_<NAME>_URL` adds a model, or gives the source of one; NAME is lower-cased.
- `ALS_MODEL_PATH` adds the model `als` from that path.
- The `AWS_*` names below count only where nothing else sets the key, and credentials are never mixed from two places.
- The admin token is read from the systemd credential `admin-token` where neither it nor its file is set; the password of the database
  from `database-password` where neither its address nor a file holds one.
"""


def env_help(declared: Declared) -> str:
    """The help of a setting with its variable and default, for `--help`."""
    names = [declared.env_name(), *([declared.env] if declared.env else []), *declared.fallback_env]
    shown = "none" if declared.default in ("", {}) else show(declared, declared.default)
    # argparse expands % in help texts.
    return f"{declared.help} [env {', '.join(names)}; default {shown}]".replace("%", "%%")


def add_serve_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config`, `--set` and one flag for each of FLAGS. Their values stay text: `config.load` reads and judges them."""
    parser.add_argument("--config", metavar="FILE", help="The configuration file, TOML. [env HOLDFAST_CONFIG; default ./holdfast.toml]")
    for dotted, flag in FLAGS.items():
        section, _, key = dotted.partition(".")
        declared = DECLARED[section][key]
        parser.add_argument(flag, metavar=key.upper(), dest=_destination(dotted), help=env_help(declared))
    parser.add_argument(
        "--set",
        metavar="SECTION.KEY=VALUE",
        dest="config_set",
        action="append",
        default=[],
        type=_assignment,
        help="any setting (models.NAME.KEY for a model's); may be repeated [env HOLDFAST_<SECTION>_<KEY>]",
    )


def overrides_of(arguments: argparse.Namespace) -> dict[str, str]:
    """What the command line sets, as `config.load.load_settings` takes it; a flag wins over `--set`, the last `--set` over earlier ones."""
    overrides: dict[str, str] = dict(arguments.config_set)
    for dotted in FLAGS:
        value = getattr(arguments, _destination(dotted))
        if value is not None:
            overrides[dotted] = value
    return overrides


def _destination(dotted: str) -> str:
    return "config_" + dotted.replace(".", "_")


def _assignment(text: str) -> tuple[str, str]:
    dotted, sign, value = text.partition("=")
    if not sign or not dotted:
        raise argparse.ArgumentTypeError(f"{text!r} is not SECTION.KEY=VALUE")
    return dotted.strip(), value


def page() -> str:
    """The whole of docs/reference/settings.md."""
    return "\n".join([INTRODUCTION, *_sections(), *_other_variables()])


def _sections() -> Iterator[str]:
    for section, keys in DECLARED.items():
        cls = {**SECTIONS, **NAMED}[section]
        yield f"## {(cls.__doc__ or '').strip()}\n"
        yield "| key | default | environment | what |"
        yield "|---|---|---|---|"
        yield from (_row(declared) for declared in keys.values())
        yield ""


def _row(declared: Declared) -> str:
    empty = declared.default in ("", {})
    names = [declared.env_name(), *([declared.env] if declared.env else []), *declared.fallback_env]
    words = declared.help
    if declared.choices:
        words += f" One of {', '.join(f'`{choice}`' for choice in declared.choices)}."
    flag = FLAGS.get(f"{declared.section}.{declared.key}")
    key = f"`{declared.key}`" + (f", `{flag}`" if flag else "")
    default = "" if empty else f"`{show(declared, declared.default)}`"
    environment = " ".join(f"`{name}`" for name in names)
    return f"| {key} | {default} | {environment} | {words} |"


def _other_variables() -> Iterator[str]:
    yield "## Variables that are no settings\n"
    yield "| environment | what |"
    yield "|---|---|"
    yield from (f"| `{name}` | {words} |" for name, words in OTHER_ENV.items())
    yield ""


if __name__ == "__main__":
    print(page(), end="")
