"""`holdfast predict [MODEL]`: ask a running server, waiting for the model if it still loads.

Covers: the question from the words, the answer as tables or JSON. Does not cover: waiting and retrying (`service.client`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.client import Holdfast
from service.client.wire import query, segment
from service.commands.configuration import EXIT_CONFIGURATION
from service.commands.progress import ModelProgress, printable
from service.commands.server import add_server_arguments, carried_out, client_of, find_server, seconds_in
from service.commands.tables import table_lines

DEADLINE_S = 300.0
_DESCRIPTION = "Ask a model of a running server, waiting for it if it still loads."
_EPILOG = """\
Name the MODEL first: after --users and its like it would be one of them.
A whole number is sent as a number; write '"1"' for the text 1. Exit codes: 0 answered; 1 not answered, the reason is on stderr;
2 wrong usage or configuration; 3 no server runs on the store."""


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("predict", help="ask a model of a running server", description=_DESCRIPTION, epilog=_EPILOG)
    parser.add_argument("model", metavar="MODEL", nargs="?", help="the model to ask (default: the server's default model)")
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--user", metavar="ID", type=_id, help="recommend items to this user")
    whom.add_argument("--users", metavar="ID", type=_id, nargs="+", help="recommend items to several users")
    whom.add_argument("--similar", metavar="ID", type=_id, help="items like this one")
    whom.add_argument("--instances", metavar="FILE", help="predict the rows of a file: a JSON array, or one JSON row a line; - is stdin")
    parser.add_argument("--liked", metavar="ID", type=_id, nargs="+", help="recommend to somebody who likes these items")
    parser.add_argument("-k", metavar="N", type=int, help="how many items (default: 10)")
    parser.add_argument("--exclude", metavar="ID", type=_id, nargs="+", help="items that are not wanted")
    parser.add_argument("--only", metavar="ID", type=_id, nargs="+", help="recommend none but these items")
    parser.add_argument("--exclude-seen", action=argparse.BooleanOptionalAction, help="leave out what the user has seen")
    parser.add_argument("--categories", metavar="NAME", nargs="+", help="none but items of these categories")
    parser.add_argument("--fields", metavar="NAME", nargs="+", help="columns of the items to show")
    parser.add_argument("--explain", action="store_true", default=None, help="show which seen items speak for each one")
    parser.add_argument("--diversity", metavar="SHARE", type=float, help="0 to 1: how much the items should differ")
    parser.add_argument("--deadline", metavar="SECONDS", type=seconds_in, default=DEADLINE_S, help="wait at most so long (default: 300)")
    parser.add_argument("--no-wait", action="store_true", help="ask once: a model that still loads is a failure")
    add_server_arguments(parser)
    parser.set_defaults(run=run, parser=parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask, and print the answer; 0 answered, 1 not. Leaves by SystemExit: 2 for wrong usage or configuration, 3 without a server."""
    question = _question_of(arguments)
    client = client_of(find_server(arguments), deadline_s=0 if arguments.no_wait else arguments.deadline)
    return carried_out(client, lambda client: _show(arguments, _answer(client, arguments, question)))


def _question_of(arguments: argparse.Namespace) -> dict[str, Any]:
    names = ("users", "liked", "k", "exclude", "only", "exclude_seen", "categories", "fields", "explain", "diversity")
    given = {name: getattr(arguments, name) for name in names} | {"user_id": arguments.user}
    if arguments.instances is not None:
        given["instances"] = _rows_of(arguments.instances)
    question = {name: value for name, value in given.items() if value is not None}
    if arguments.similar is not None:
        if arguments.model is None:
            arguments.parser.error("--similar needs the MODEL")
    elif not {"user_id", "users", "liked", "instances"} & question.keys():
        arguments.parser.error("give one of --user, --users, --liked, --similar and --instances")
    return question


def _answer(client: Holdfast, arguments: argparse.Namespace, question: dict[str, Any]) -> dict[str, Any]:
    """The answer as the server gave it. Raises HoldfastError."""
    progress = ModelProgress(sys.stderr)
    try:
        if arguments.similar is not None:
            path = f"/models/{segment(arguments.model)}/similar/{segment(arguments.similar)}{query(question)}"
            answer = client.ask("GET", path, on_progress=progress.tell)
        else:
            path = "/predict" if arguments.model is None else f"/models/{segment(arguments.model)}/predict"
            answer = client.ask("POST", path, question, is_idempotent=True, on_progress=progress.tell)
    finally:
        progress.end()
    told: dict[str, Any] = answer
    return told


def _show(arguments: argparse.Namespace, answer: dict[str, Any]) -> int:
    print(json.dumps(answer, indent=2) if arguments.json else "\n".join(answer_lines(answer)))
    return 0


def answer_lines(answer: Mapping[str, Any]) -> list[str]:
    """An answer for people: who answered, then a table of items, of predictions, or of items for each user."""
    who = printable(f"{answer['model']} {answer['version']}")
    if "predictions" in answer:
        return [who, *_prediction_lines(answer)]
    lines = []
    for result in answer.get("results", [answer]):
        whom = [f" for user {result['user_id']}"] if "user_id" in result else [f" like {result['item_id']}"] if "item_id" in result else []
        if "error" in result:
            lines.append(printable(f"{who}{''.join(whom)}: {result['error']['detail']}"))
        else:
            lines += [printable(who + "".join(whom)), *_item_lines(result["items"])]
    return lines


def _item_lines(items: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(items[0]) if items else ["item_id", "score"]
    return table_lines(names, [[_cell(item[name]) for name in names] for item in items])


def _prediction_lines(answer: Mapping[str, Any]) -> list[str]:
    predictions, probabilities = answer["predictions"], answer.get("probabilities")
    if not probabilities:
        return table_lines(["row", "prediction"], [[at, _cell(each)] for at, each in enumerate(predictions)])
    classes = [f"p({each})" for each in answer.get("classes") or range(len(probabilities[0]))]
    if any(isinstance(each, list) for each in probabilities[0]):  # several outputs, each with classes of its own
        classes = [f"output {at}" for at in range(len(probabilities[0]))]
    rows = zip(predictions, probabilities, strict=True)
    return table_lines(["row", "prediction", *classes], [[at, _cell(each), *map(_cell, shares)] for at, (each, shares) in enumerate(rows)])


def _cell(value: object) -> object:
    """What one cell shows: reasons of an item as "102 (+0.5)", other lists by their elements."""
    if isinstance(value, list):
        return ", ".join(
            f"{each['item_id']} ({each['contribution']:+.3g})" if isinstance(each, dict) else str(_cell(each)) for each in value
        )
    return value


def _id(text: str) -> int | str:
    """An ID as it was meant: whole numbers are numbers, a JSON string is its text, everything else is itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | str) and not isinstance(value, bool) else text


def _rows_of(name: str) -> list[Any]:
    """The rows of a file. Leaves by SystemExit(2) for one that cannot be read or is no JSON."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
        return rows_in(text)
    except (OSError, ValueError, RecursionError) as error:
        print(printable(f"holdfast: --instances {name}: {error}"), file=sys.stderr)
        raise SystemExit(EXIT_CONFIGURATION) from error


def rows_in(text: str) -> list[Any]:
    """Rows out of a JSON array of rows, one row, an object with `instances`, or a JSON row a line. Raises ValueError."""
    try:
        told = json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(told, dict) and isinstance(told.get("instances"), list):
        told = told["instances"]
    is_rows = isinstance(told, list) and any(isinstance(each, list | dict) for each in told)
    return told if is_rows else [told]
