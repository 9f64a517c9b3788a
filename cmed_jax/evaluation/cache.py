"""A cache of the scores of baselines, which stay the same until the data or the code change.

The name of a file holds a digest of everything that decides its content. That includes the sources
of the package, so that no result outlives the code that produced it. A folder that cannot be
written to, or a file that cannot be read, only costs the time to compute the scores again.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import cmed_jax
from cmed_jax.evaluation.scoring import Scores
from cmed_jax.io.atomic import atomic_write

DECIDING = ("crystal", "physics", "data", "model", "solution", "evaluation")
"""The subpackages with code that affects the scores of a baseline."""


def cached(
    folder: Path, name: str, key: Mapping[str, Any], compute: Callable[[], Scores]
) -> Scores:
    """Return scores from a file in a folder, or compute them and write the file.

    Args:
        folder: the folder of the cache; it is created where it is missing.
        name: the beginning of the file's name.
        key: everything besides the code that decides the scores, as JSON values.
        compute: the function that returns the scores.
    """
    path = folder / f"{name.replace(' ', '_')}-{digest([name, dict(key)])}.npz"
    with suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return _read(path)
    scores = compute()
    with suppress(OSError):
        _write(path, scores)
    return scores


def digest(key: Sequence[Any]) -> str:
    """Return a short hash of JSON values and the sources of the package."""
    content = json.dumps([*key, _sources()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@cache
def _sources() -> str:
    root = Path(cmed_jax.__file__).parent
    digest = hashlib.sha256()
    for folder in DECIDING:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, scores: Scores) -> None:
    """Write all fields of scores; mappings from names to arrays are written as "field/name"."""
    arrays: dict[str, Any] = {}
    for field in fields(Scores):
        value = getattr(scores, field.name)
        if isinstance(value, Mapping):
            arrays |= {f"{field.name}/{name}": array for name, array in value.items()}
        elif value is not None:
            arrays[field.name] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def _read(path: Path) -> Scores:
    """Return the scores in a file.

    A missing or incomplete file raises one of the exceptions that `cached` suppresses.
    """
    with path.open("rb") as file, np.load(file) as arrays:
        found: dict[str, Any] = {}
        for key in arrays.files:
            field, _, name = key.partition("/")
            if name:
                found.setdefault(field, {})[name] = arrays[key]
            else:
                found[field] = arrays[key] if arrays[key].ndim else arrays[key].item()
    optional = {field.name: None for field in fields(Scores)}
    return Scores(**optional | found)
