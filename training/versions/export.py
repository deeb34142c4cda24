"""`python -m training.versions.export FOLDER FORMAT OUTPUT`: a published version in a file that other tools read.

Covers: the process that `holdfast export` starts, because it needs the training stack, and writing the file whole. Does not cover:
what is in it (`training.versions.shapes`), choosing the version (`service.commands.export`).
"""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

from loaders.bundle_file import open_bundle_file
from loaders.errors import LoadError
from loaders.published import MODEL_FILE, BadRecord, record_in
from models.bundle import BadBundle
from training.versions.shapes import shape_of
from training.whole_files import whole_file


def export(folder: Path, format: str, output: Path) -> None:
    """Write the version in `folder` to `output`, replacing it. Raises BadRecord, LoadError, BadBundle, ImportError, OSError."""
    if format == "safetensors":
        with whole_file(output) as partial:
            shutil.copyfile(folder / MODEL_FILE, partial)
        return
    shape = shape_of(open_bundle_file(folder / MODEL_FILE), record_in(folder).parameters)
    with whole_file(output) as partial, partial.open("wb") as file:
        if format == "joblib":
            from joblib import dump

            dump(shape, file)
        else:
            pickle.dump(shape, file, protocol=5)


def main(arguments: list[str]) -> int:
    """0 written; 1 not, and one line on stderr says why."""
    folder, format, output = arguments
    try:
        export(Path(folder), format, Path(output))
    except ImportError as error:
        sys.stderr.write(f'{error.name or error} is not installed: pip install "holdfast[train]"\n')
    except (BadRecord, LoadError, BadBundle, OSError, MemoryError) as error:
        sys.stderr.write(f"{error}\n")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
