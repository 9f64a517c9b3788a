"""What a network has learned from: its dataset, and the network that its training began with."""

import gzip
import json
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cmed_jax.config import Config
from cmed_jax.data.dataset import fingerprint, read_records
from cmed_jax.io import released
from cmed_jax.io.run import CHECKPOINTS, CONFIG, run_folder

MATERIALS = "materials.txt.gz"
"""The file of a released network that holds the ids of its training crystals, one on each line."""


class Initial(NamedTuple):
    """The network that the training of another one began with.

    Attributes:
        name: name of the released network, or of the run's folder.
        weights: checksum of its weights; None where the run did not keep it.
        materials: ids of its training crystals, and of those of the network that it began with;
            None where they are not known.
    """

    name: str
    weights: int | None
    materials: Set[str] | None


def dataset_of(model: str | Path, config: Config, given: Path | None = None) -> Path:
    """Return the directory of the dataset of a network: the given one, or that of its training.

    Raises:
        FileNotFoundError: the network is a run, which was given a relative directory that is not
            there.
    """
    if given is not None:
        return given
    run, data = run_folder(Path(model).absolute()), Path(config.data)
    if not data.is_absolute() and not data.exists() and (run / CHECKPOINTS).is_dir():
        raise FileNotFoundError(
            f"{run} was trained on {data}, relative to where it was started: give --data DIR"
        )
    return data


def initial_of(run: Path, config: Config) -> Initial | None:
    """Return the network that a run began with; None for random weights."""
    if config.initial is None:
        return None
    weights = json.loads((run / CONFIG).read_bytes())["identity"].get("initial")
    materials = None
    with suppress(OSError, ValueError):  # it is no longer there, or another one has its place
        materials = _training_materials(config.initial, weights)
    return Initial(run_folder(Path(config.initial)).name, weights, materials)


def materials_of(data: Path) -> set[str]:
    """Return the ids of the training crystals of a dataset."""
    return {record["material_id"].decode() for record in read_records(data, "train")}


def seen_elsewhere(model: str | Path, config: Config) -> Set[str] | None:
    """Return the ids of the crystals that a network may have seen besides those of its dataset.

    Those of a run are the training crystals of the network that it began with; None where they are
    not known. A released network lists all that it was trained on.
    """
    folder = released.find(model)
    if folder is not None:
        begun = released.read_manifest(folder).get("initial", {"materials": 0})
        return None if begun["materials"] is None else _listed(folder) or set()
    initial = initial_of(run_folder(Path(model).absolute()), config)
    return set() if initial is None else initial.materials


def _training_materials(model: str | Path, weights: int | None) -> Set[str] | None:
    folder = released.find(model)
    if folder is not None:
        same = weights in (None, released.read_manifest(folder)["weights"])
        return _listed(folder) if same else None
    # Imported only for runs, as a released network needs no Orbax.
    from cmed_jax.training.checkpoint import find_checkpoint, read_config

    checkpoint = find_checkpoint(model)
    run, config = run_folder(checkpoint), Config.from_json(read_config(checkpoint))
    begun = json.loads((run / CONFIG).read_bytes())["identity"]["dataset"]
    initial = initial_of(run, config)
    before = set() if initial is None else initial.materials
    if before is None or fingerprint(config.data) != begun:
        return None
    return materials_of(Path(config.data)) | before


def _listed(folder: Path) -> Set[str] | None:
    """Return the ids that a released network lists; None where it has no such list."""
    path = folder / MATERIALS
    return set(gzip.decompress(path.read_bytes()).decode().split()) if path.is_file() else None
