"""`python -m training.versions.export FOLDER FORMAT OUTPUT CAP_BYTES`: a published version in a file that other tools read.

Covers: the process that `holdfast export` starts, because it needs the training stack, its memory cap, and writing the file whole. No
other wall stands around it: what it reads was published here, and holds arrays. Does not cover: what is in the file
(`training.versions.shapes`), choosing the version (`service.commands.export`).
"""

from __future__ import annotations

import errno
import pickle
import resource
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
        is_cap = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM)
        cap = resource.getrlimit(resource.RLIMIT_DATA)[0]
        why = f"it needs more than the memory cap of {cap} bytes; raise `memory` of this training" if is_cap else error
        sys.stderr.write(f"{why}\n")
    else:
        return 0
    return 1


def _cap(data_bytes: int) -> None:
    """Limit the private memory of this process, unless it is limited to less."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    cap = data_bytes if hard == resource.RLIM_INFINITY else min(data_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))


if __name__ == "__main__":
    _cap(int(sys.argv.pop()))
    sys.exit(main(sys.argv[1:]))
