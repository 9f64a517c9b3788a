"""What a network has learned from: its dataset, and the network that its training began with."""

import gzip
import json
from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cmed_jax.config import Config
from cmed_jax.data.dataset import fingerprint, read_records
from cmed_jax.io import released
from cmed_jax.io.run import CHECKPOINTS, CONFIG, run_folder
from cmed_jax.training.integrity import warn
from cmed_jax.training.neighbours import FILE as NEIGHBOURS
from cmed_jax.training.neighbours import kept_materials

MATERIALS = "materials.txt.gz"
"""The file of a released network that holds the ids of its training crystals, one on each line."""
NAMED = 10
"""The largest number of materials that a warning names."""


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


def materials_of(run: Path, data: Path) -> set[str]:
    """Return the ids of the training crystals of a run: those that it keeps, or of its dataset."""
    if (kept := kept_materials(run / NEIGHBOURS)) is not None:
        return kept
    return {record["material_id"].decode() for record in read_records(data, "train")}


def seen_elsewhere(model: str | Path, config: Config, scored: str | Path) -> Set[str] | None:
    """Return the ids of the crystals that a network may have seen besides those of a dataset.

    A released network lists all that it was trained on. Those of a run are the training crystals of
    the network that it began with and, where another dataset is scored than that of its training,
    its own training crystals. None where they are not known.

    Args:
        model: a run's folder, a checkpoint inside it, or a released network.
        config: the configuration of its training.
        scored: the directory of the dataset that is scored.
    """
    folder = released.find(model)
    if folder is not None:
        begun = released.read_manifest(folder).get("initial", {"materials": 0})
        return None if begun["materials"] is None else _listed(folder) or set()
    run = run_folder(Path(model).absolute())
    with suppress(OSError, ValueError, KeyError):  # nothing is known of a run without a record
        if _dataset_at_start(run) != fingerprint(scored):
            return _seen_by_run(run, config)
        initial = initial_of(run, config)
        return set() if initial is None else initial.materials
    return None


def warn_of_seen(
    model: str | Path, config: Config, scored: str | Path, names: Sequence[str]
) -> None:
    """Warn of the scored materials that a network was trained on.

    Args:
        model: a run's folder, a checkpoint inside it, or a released network.
        config: the configuration of its training.
        scored: the directory of the dataset that is scored.
        names: the ids of the scored materials.
    """
    seen_before = seen_elsewhere(model, config, scored)
    if seen_before is None:
        warn(
            f"{model}, or the network that it began with, may have been trained on scored "
            "materials: its training materials are not known"
        )
    elif seen := [name for name in names if name in seen_before]:
        more = f" and {len(seen) - NAMED} more" if len(seen) > NAMED else ""
        warn(
            f"{len(seen)} of {len(names)} scored materials are among those that {model}, or the "
            f"network that it began with, was trained on: {', '.join(seen[:NAMED])}{more}"
        )


def _training_materials(model: str, weights: int | None) -> Set[str] | None:
    folder = released.find(model)
    if folder is not None:
        same = weights in (None, released.read_manifest(folder)["weights"])
        return _listed(folder) if same else None
    # Imported only for runs, as a released network needs no Orbax.
    from cmed_jax.training.checkpoint import find_checkpoint, read_config

    checkpoint = find_checkpoint(model)
    return _seen_by_run(run_folder(checkpoint), Config.from_json(read_config(checkpoint)))


def _seen_by_run(run: Path, config: Config) -> Set[str] | None:
    """Return the ids of all training crystals of a run; None where its dataset is another now."""
    initial = initial_of(run, config)
    before = set() if initial is None else initial.materials
    if before is None or fingerprint(config.data) != _dataset_at_start(run):
        return None
    return materials_of(run, Path(config.data)) | before


def _dataset_at_start(run: Path) -> str:
    """Return the fingerprint of the dataset that a run was started with."""
    return json.loads((run / CONFIG).read_bytes())["identity"]["dataset"]


def _listed(folder: Path) -> Set[str] | None:
    """Return the ids that a released network lists; None where it has no such list."""
    path = folder / MATERIALS
    return set(gzip.decompress(path.read_bytes()).decode().split()) if path.is_file() else None
