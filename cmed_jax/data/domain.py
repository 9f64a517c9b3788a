"""The training domain of a network, kept in the folder of its run for predictions."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cmed_jax.io.atomic import write_text

FILE = "familiar.json"
SEEN = 0.01
"""The share of the strongest line above which a line counts; weaker ones are measured by luck."""
STEP = 10
"""The step between two counts of lines, degrees of two-theta (Mo K-alpha)."""


@dataclass(frozen=True)
class TrainingDomain:
    """The range of the training crystals.

    Attributes:
        elements: atomic numbers in the training crystals.
        space_groups: numbers of the space groups of the training crystals.
        most_lines: largest number of lines of any pattern below a two-theta (Mo K-alpha) of 10, 20,
            ... 180 degrees.
        b_factor: isotropic B of the densities, angstrom^2; None for densities that are not of
            independent atoms.
    """

    elements: tuple[int, ...]
    space_groups: tuple[int, ...]
    most_lines: tuple[int, ...]
    b_factor: float | None

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]], b_factor: float | None) -> "TrainingDomain":
        """Return the domain of records with the names of `cmed_jax.data.schema.FEATURES`."""
        elements: set[int] = set()
        groups: set[int] = set()
        most = np.zeros(180 // STEP, int)
        for record in records:
            elements.update(record["species"].tolist())
            groups.add(int(record["space_group"]))
            counts = np.cumsum(record["pattern"].ravel() > SEEN)
            ends = np.arange(1, len(most) + 1) * len(counts) // len(most)
            most = np.maximum(most, counts[ends - 1])
        seen = tuple(sorted(elements)), tuple(sorted(groups)), tuple(most.tolist())
        return cls(*seen, b_factor)


def keep_domain(run: Path, directory: str | Path) -> None:
    """Write the domain of a dataset's training split into a run's folder, unless it exists.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
    """
    path = run / FILE
    if path.exists():
        return
    # Imported here, so that a prediction, which only loads a domain, needs no reader of datasets.
    from cmed_jax.data.dataset import provenance, read_records

    identity = provenance(directory)["identity"]
    b_factor = identity["b_factor"] if identity["density"] == "iam" else None
    found = TrainingDomain.of(read_records(directory, "train"), b_factor)
    write_text(path, json.dumps(asdict(found)) + "\n")


def load_domain(run: Path) -> TrainingDomain | None:
    """Return the training domain of a run; None where the run did not keep it.

    Raises:
        ValueError: the file is damaged.
    """
    path = run / FILE
    if not path.exists():
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        known = {
            field.name: values[field.name] for field in fields(TrainingDomain)
        }  # old runs have more fields
        lists = {name: tuple(each) for name, each in known.items() if isinstance(each, list)}
        return TrainingDomain(**known | lists)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, or train again") from error
