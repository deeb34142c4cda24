"""Hostile and damaged files end in their documented failure, run nothing, and leave nothing.

Every file of the table is read, packed and placed by the child's own code, many in one process. Those whose harm is what
they do to a process (memory, stack) and one or more of each kind go through a real capped child.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loaders.errors import LoadError
from loaders.loader import Loader
from tests.artifacts.hostile import HOSTILE, names
from tests.support import run_python

from .bench_of_one import bring, left_behind, open_loader

KINDS = ("code_", "length_", "dtype_", "wrapper_", "content_", "safetensors_", "npz_", "flip_", "cut_", "stranger_")
ALONE = [*names("bomb_"), "code_os_system", "code_eval", "code_object_array_joblib", *(names(kind)[0] for kind in KINDS)]


@pytest.mark.parametrize("name", sorted(set(ALONE)))
async def test_hostile_file_in_a_capped_child(name: str, tmp_path: Path) -> None:
    entry = HOSTILE[name]
    path = entry.write(tmp_path)
    async with open_loader(tmp_path) as loader:
        verdict = await _verdict(loader, path)
        assert verdict in entry.expected or (entry.may_load and verdict == "ready")
        loader.store.clear(None)
        assert left_behind(loader) == []
    assert not (tmp_path / "ran").exists()


async def _verdict(loader: Loader, path: Path) -> str:
    try:
        version = await bring(loader, path, memory_bytes=200 << 20)
    except LoadError as error:
        return error.type
    await version.close()
    return "ready"


READ_MANY = """
import json, os, resource, sys
from pathlib import Path
from loaders.errors import LoadError
from loaders.formats import read_artifact
from loaders.formats.safetensors import BadHeader
from loaders.reading import _warm
from loaders.segment_writer import ArtifactMap, SegmentWriter, write_bundle
from models.packing import PackError, pack
from tests.artifacts.hostile import HOSTILE

def read(fd):
    segment = os.memfd_create("segment")
    try:
        writer, artifact = SegmentWriter(segment, 256 << 20), ArtifactMap(fd)
        tree = read_artifact(fd, writer, artifact.adopt, lambda n: None, lambda s: None)
        bundle, _ = pack(tree.root)
        bundle, entries, note = write_bundle(writer, bundle, artifact)
        writer.finish(_warm(bundle, is_passed_through=False), entries, note)
        return "ready"
    except (LoadError, PackError) as error:
        return error.type
    except (BadHeader, MemoryError) as error:
        return type(error).__name__
    finally:
        os.close(segment)

folder = Path(sys.argv[1])
for name in json.loads(sys.argv[2]):
    path = HOSTILE[name].write(folder)
    fd = os.open(path, os.O_RDONLY)
    verdict = read(fd)
    print(json.dumps([name, "ran" if (folder / "ran").exists() else verdict]), flush=True)
    os.close(fd)
    path.unlink()
"""


def group_of(name: str) -> str:
    return name.partition("_")[0]


GROUPS = sorted({group_of(name) for name in HOSTILE} - {"bomb"})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each file, by its name: one process reads them all, since its start takes longer than most of them."""
    folder = tmp_path_factory.mktemp("hostile")
    read = sorted((name for name in HOSTILE if group_of(name) in GROUPS), key=group_of)
    done = run_python(READ_MANY, str(folder), json.dumps(read), deadline_s=300)
    results = dict(json.loads(line) for line in done.stdout.splitlines())
    assert list(results) == read, f"died of {read[len(results)]}: {done.stderr[-2000:]}"
    return results


@pytest.mark.parametrize("group", GROUPS)
def test_hostile_files_read_as_data(group: str, results: dict[str, str]) -> None:
    entries = [entry for name, entry in HOSTILE.items() if group_of(name) == group]
    wrong = {
        entry.name: results[entry.name]
        for entry in entries
        if results[entry.name] not in entry.expected and not (entry.may_load and results[entry.name] == "ready")
    }
    assert entries and not wrong
