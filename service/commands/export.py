"""`holdfast export NAME`: a published version as a file that other tools read.

joblib and pickle hold a dict of objects of scikit-learn, implicit, scipy and pandas, of the shapes that Holdfast loads too; they need
the training stack: pip install "holdfast[train]". safetensors is the published file itself. A dict has no similarities of all
pairs (`user_similarities`, `similarity_matrix` are None), and items that nobody had have factors of 0 in it. Making it takes no more
memory than the training may, its `memory`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.commands.configuration import add_config_arguments, settings_of
from service.commands.progress import bytes_in_words, printable

if TYPE_CHECKING:
    from config.schema import Settings

SUFFIXES = {"joblib": ".joblib", "pickle": ".pkl", "safetensors": ".safetensors"}


def add_parser(words: Any) -> None:
    """Declare the word."""
    parser = words.add_parser("export", help="write a published version to a file that other tools read", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="the training, or a model that takes what it publishes")
    parser.add_argument("--version", metavar="VERSION", help="the version (default: the one that is current)")
    parser.add_argument("--format", choices=tuple(SUFFIXES), default="joblib", help="the kind of file (default: %(default)s)")
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="where to (default: NAME-VERSION in this folder); replaced if it is there"
    )
    add_config_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file; 0 written, 1 not."""
    from loaders.plan import BASE_BYTES
    from loaders.published import PublishedFolder

    settings = settings_of(arguments)
    training = _training_of(arguments.name, settings)
    if training is None:
        known = ", ".join(settings.training) or "none is configured"
        return _failed(arguments.name, f"it is no training, nor a model that takes what one publishes: {known}")
    folder = PublishedFolder(settings.store.path, training)
    try:
        names = folder.names()
        version = arguments.version or folder.current()
    except OSError as error:
        return _failed(arguments.name, str(error))
    if version is None:
        return _failed(arguments.name, f"nothing is published yet: holdfast train {training}")
    if version not in names:
        return _failed(arguments.name, f"no version {version} is kept: {', '.join(names)}")
    output: Path = arguments.output or Path(f"{training}-{version}{SUFFIXES[arguments.format]}")
    # Below what the libraries need OpenBLAS tries to start for ever.
    cap_bytes = str(max(BASE_BYTES, settings.training[training].memory_bytes))
    command = [sys.executable, "-I", "-m", "training.versions.export", folder.folder_of(version), arguments.format, output, cap_bytes]
    done = subprocess.run(
        [str(word.absolute()) if isinstance(word, Path) else word for word in command],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return _failed(arguments.name, done.stderr.strip().rpartition("\n")[2] or f"the process ended with {done.returncode}")
    print(printable(f"{training} {version}: {output}, {bytes_in_words(output.stat().st_size)}"))
    return 0


def _training_of(name: str, settings: Settings) -> str | None:
    from loaders.sources.training import PREFIX

    model = settings.models.get(name)
    source = model.source if model is not None else ""
    if source.startswith(PREFIX):
        return source.removeprefix(PREFIX)
    return name if name in settings.training else None


def _failed(name: str, why: str) -> int:
    print(f"holdfast: cannot export {printable(name)}: {printable(why)}", file=sys.stderr)
    return 1
