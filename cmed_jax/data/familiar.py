"""What a network has seen in training, kept in its run's folder, for predictions."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
from jaxtyping import Float

from cmed_jax.data.dataset import provenance, read_records
from cmed_jax.physics.cell import cell_volume

FILE = "familiar.json"
SEEN = 0.01
"""Lines above this share of the strongest are counted: a measurement shows weaker ones by luck."""
LAST = 119
"""One more than the largest atomic number."""
STEP = 10
"""Degrees of two-theta, Mo K-alpha, from one count of lines to the next."""


@dataclass(frozen=True)
class Familiar:
    """What the training crystals have between them.

    Attributes:
        elements: atomic numbers that occur.
        space_groups: numbers that occur.
        most_lines: the largest number of lines that any pattern has below two-theta (Mo K-alpha) of
            10, 20, ... 180 degrees.
        volumes: what an atom of each of the elements takes, angstrom^3, in the least-squares sense
            and in their order: the volume of a crystal is about the sum.
        b_factor: isotropic B of the densities, angstrom^2; None where they are not of independent
            atoms.
    """

    elements: tuple[int, ...]
    space_groups: tuple[int, ...]
    most_lines: tuple[int, ...]
    volumes: tuple[float, ...]
    b_factor: float | None

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]], b_factor: float | None) -> "Familiar":
        """Look through records, by the names of `cmed_jax.data.schema.FEATURES`."""
        elements: set[int] = set()
        groups: set[int] = set()
        most = np.zeros(180 // STEP, int)
        counted, volumes = [], []
        for record in records:
            elements.update(record["species"].tolist())
            counted.append(np.bincount(record["species"], minlength=LAST))
            groups.add(int(record["space_group"]))
            counts = np.cumsum(record["pattern"].ravel() > SEEN)
            ends = np.arange(1, len(most) + 1) * len(counts) // len(most)
            most = np.maximum(most, counts[ends - 1])
            volumes.append(cell_volume(record["lattice"]))
        numbers = sorted(elements)
        atoms = np.array(counted)[:, numbers]
        weights = 1 / atoms.sum(axis=1)  # every crystal counts alike, whatever its cell holds
        each, _ = scipy.optimize.nnls(atoms * weights[:, None], volumes * weights)
        seen = tuple(numbers), tuple(sorted(groups)), tuple(most.tolist())
        return cls(*seen, tuple(each.tolist()), b_factor)

    def volume(self, composition: Float[np.ndarray, "119"]) -> float | None:
        """Return about what an atom takes on average, angstrom^3; None with unknown elements."""
        known = np.zeros(LAST)
        known[list(self.elements)] = self.volumes
        if not known[np.flatnonzero(composition)].all():
            return None
        return float(composition @ known / composition.sum())


def keep_familiar(run: Path, directory: str | Path) -> None:
    """Write into a run's folder what the training split of a dataset holds, unless it is there.

    Raises:
        FileNotFoundError: there is no dataset, or a part of it is missing.
    """
    path = run / FILE
    if path.exists():
        return
    identity = provenance(directory)["identity"]
    b_factor = identity["b_factor"] if identity["density"] == "iam" else None
    found = Familiar.of(read_records(directory, "train"), b_factor)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(found)) + "\n")
    partial.replace(path)  # a kill leaves the whole file or none


def load_familiar(run: Path) -> Familiar | None:
    """Return what a run's folder says; None where the run did not keep it.

    Raises:
        ValueError: the file is damaged.
    """
    path = run / FILE
    if not path.exists():
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        lists: dict[str, Any] = {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return Familiar(**values | lists)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, or train again") from error
