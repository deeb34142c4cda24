"""Every format a model file comes in, written the way people write it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np

PICKLES = ("pickle2", "pickle3", "pickle4", "pickle5")
JOBLIB_COMPRESSED = ("joblib_zlib", "joblib_gzip", "joblib_bz2", "joblib_lzma", "joblib_xz", "joblib_lz4")
OBJECT_WAYS = (*PICKLES, "joblib", *JOBLIB_COMPRESSED)
"""Ways that take any object."""
ARRAY_WAYS = ("safetensors", "npz", "npz_compressed")
"""Ways that take a flat dict of arrays; safetensors only numbers."""
WAYS = (*OBJECT_WAYS, *ARRAY_WAYS)

SUFFIX = dict.fromkeys(PICKLES, ".pkl") | dict.fromkeys(("joblib", *JOBLIB_COMPRESSED), ".joblib")
SUFFIX |= {"safetensors": ".safetensors", "npz": ".npz", "npz_compressed": ".npz"}


def write(obj: Any, path: Path, how: str) -> Path:
    """Write `obj` to `path` in one of WAYS and return `path`; its name decides nothing. Raises KeyError for another way."""
    if how in PICKLES:
        path.write_bytes(pickle.dumps(obj, protocol=int(how[-1])))
        return path
    if how in JOBLIB_COMPRESSED:
        joblib.dump(obj, str(path), compress=(how.removeprefix("joblib_"), 3))
        return path
    with path.open("wb") as file:
        if how == "joblib":
            joblib.dump(obj, file)
        elif how == "safetensors":
            from safetensors.numpy import save

            file.write(save({name: np.ascontiguousarray(array) for name, array in obj.items()}))
        else:
            {"npz": np.savez, "npz_compressed": np.savez_compressed}[how](file, **obj)
    return path
