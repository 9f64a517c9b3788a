"""The folder of a released network: finding, checking, reading and writing it.

The folder holds `config.json`, the training domain of the network (`familiar.json`), the parameters
as float16 in `weights-K-of-N.npz`, and `manifest.json` with the names of the network and the
SHA-256 of each file. The networks in `PACKAGE` come with the package.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Float16, PyTree

from cmed_jax.io.integrity import Damaged
from cmed_jax.io.run import CHECKPOINTS, CONFIG

PACKAGE = Path(__file__).parents[1] / "released"
"""The folder of the networks that come with the package."""
MANIFEST = "manifest.json"
WEIGHTS = "weights-*.npz"
FORMAT = 1
"""The format of the folder; the number rises in a version of the package that changes it."""
LARGEST_SHARD = 15_000_000
"""The bytes of parameters in a file; many services reject files of more than 16 MB."""
LARGEST = 39_000_000
"""The largest number of bytes of all parameters; with its other files a folder is below 40 MB."""


def names() -> dict[str, Path]:
    """Return the folders of the networks that come with the package, by each of their names."""
    folders = [path.parent for path in sorted(PACKAGE.glob(f"*/{MANIFEST}"))]
    return {name: folder for folder in folders for name in read_manifest(folder)["names"]}


def find(model: str | Path) -> Path | None:
    """Find the folder of a released network, check its files, and return it.

    Args:
        model: folder or name of the network. A folder takes precedence over a name.

    Returns:
        The folder; None where `model` is another folder, such as that of a run.

    Raises:
        FileNotFoundError: there is no such folder and no network of that name, or an unrelated
            folder of the same name hides the network.
        Damaged: a file is missing or differs from the released one.
    """
    folder = Path(model)
    if not folder.is_dir():
        known = names()
        if str(model) not in known:
            raise FileNotFoundError(
                f"no checkpoint at {folder.absolute()}: give the folder of a run, a folder "
                f"checkpoints/STEP in it, or a released network ({', '.join(known) or 'none yet'})"
            )
        folder = known[str(model)]
    elif not (folder / MANIFEST).is_file():
        if str(model) in names() and not (folder / CHECKPOINTS).is_dir():
            raise FileNotFoundError(
                f"{folder.absolute()} holds no run, and hides the released network {model}: "
                "rename that folder, or start elsewhere"
            )
        return None
    _check(folder)
    return folder


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a folder.

    Raises:
        Damaged: the manifest cannot be read.
        ValueError: a later version of the package wrote it.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        form, package = manifest["format"], manifest["package"]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"{path} is damaged ({error!r}): install or release it again") from error
    if form > FORMAT:
        raise ValueError(f"{folder} needs cmed_jax {package} or later: pip install -U cmed-jax")
    return manifest


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a released network, as JSON values."""
    return json.loads((folder / CONFIG).read_bytes())


def load_weights(folder: Path, parameters: PyTree, statistics: PyTree) -> tuple[PyTree, PyTree]:
    """Return parameters and statistics in the shapes and types of their abstract trees.

    Raises:
        Damaged: the files belong to another network than the trees.
    """
    arrays: dict[str, Float16[np.ndarray, "..."]] = {}
    for shard in sorted(folder.glob(WEIGHTS)):
        with np.load(shard) as opened:
            arrays |= opened
    trees = {"parameters": parameters, "statistics": statistics}

    def loaded(path: Any, like: Any) -> Array:
        array = arrays.get(_name(path))
        if array is None or array.shape != like.shape:
            raise Damaged(f"{folder} does not hold {_name(path)} of shape {like.shape}")
        return jax.device_put(array.astype(like.dtype), like.sharding)

    model = jax.tree_util.tree_map_with_path(loaded, trees)
    return model["parameters"], model["statistics"]


def write_weights(folder: Path, parameters: PyTree, statistics: PyTree) -> None:
    """Write parameters and statistics as float16, in files of about `LARGEST_SHARD` bytes at most.

    Raises:
        ValueError: a value is too large for float16 or not a number, or the total is too large.
    """
    trees = {"parameters": parameters, "statistics": statistics}
    leaves = jax.tree_util.tree_leaves_with_path(trees)
    arrays = {_name(path): _half(_name(path), np.asarray(leaf)) for path, leaf in leaves}
    total = sum(array.nbytes for array in arrays.values())
    if total > LARGEST:
        raise ValueError(
            f"the parameters take {total / 1e6:.1f} MB as float16, and {LARGEST / 1e6:.0f} MB are "
            "the most that is released: train a smaller network"
        )
    shards = _shards(arrays)
    for number, shard in enumerate(shards, 1):
        np.savez(folder / f"weights-{number}-of-{len(shards)}.npz", allow_pickle=False, **shard)


def seal(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Write and return the manifest: `about`, and bytes and SHA-256 of all files in the folder."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.iterdir())
    }
    manifest = {"format": FORMAT} | about | {"files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _check(folder: Path) -> None:
    for name, said in read_manifest(folder)["files"].items():
        path = folder / name
        if not path.is_file():
            raise Damaged(f"{path} is missing: install or release it again")
        if _sha256(path) != said["sha256"]:
            raise Damaged(
                f"{path} is not what was released (its SHA-256 differs): "
                "install or release it again"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _half(name: str, array: Float[np.ndarray, "..."]) -> Float16[np.ndarray, "..."]:
    """Return an array as float16."""
    largest, most = float(np.abs(array).max(initial=0)), float(np.finfo(np.float16).max)
    if not largest <= most:  # also true for NaN
        raise ValueError(f"{name} holds {largest}, and float16 ends at {most:.0f}: train again")
    return array.astype(np.float16)


def _shards(
    arrays: dict[str, Float16[np.ndarray, "..."]],
) -> list[dict[str, Float16[np.ndarray, "..."]]]:
    """Divide arrays into parts of `LARGEST_SHARD` bytes; a larger one has a part of its own."""
    shards: list[dict[str, Float16[np.ndarray, "..."]]] = [{}]
    left = LARGEST_SHARD
    for name, array in arrays.items():
        if array.nbytes > left and shards[-1]:
            shards.append({})
            left = LARGEST_SHARD
        shards[-1][name] = array
        left -= array.nbytes
    return shards


def _name(path: Any) -> str:
    """Return the name of a leaf, such as parameters/blocks/0/inner/kernel.

    The last key of the path is left out; it addresses the value of the variable.
    """
    return jax.tree_util.keystr(path[:-1], simple=True, separator="/")
