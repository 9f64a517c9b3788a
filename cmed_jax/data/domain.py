"""What a network has seen in training, kept in its run's folder, for predictions."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from cmed_jax.io.atomic import write_text

FILE = "familiar.json"
SEEN = 0.01
"""Lines above this share of the strongest are counted: a measurement shows weaker ones by luck."""
STEP = 10
"""Degrees of two-theta, Mo K-alpha, from one count of lines to the next."""


@dataclass(frozen=True)
class TrainingDomain:
    """What the training crystals have between them.

    Attributes:
        elements: atomic numbers that occur.
        space_groups: numbers that occur.
        most_lines: the largest number of lines that any pattern has below two-theta (Mo K-alpha) of
            10, 20, ... 180 degrees.
        b_factor: isotropic B of the densities, angstrom^2; None where they are not of independent
            atoms.
    """

    elements: tuple[int, ...]
    space_groups: tuple[int, ...]
    most_lines: tuple[int, ...]
    b_factor: float | None

    @classmethod
    def of(cls, records: Iterable[dict[str, Any]], b_factor: float | None) -> "Familiar":
        """Look through records, by the names of `cmed_jax.data.schema.FEATURES`."""
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
    """Write into a run's folder what the training split of a dataset holds, unless it is there.

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
    """Return what a run's folder says; None where the run did not keep it.

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
        }  # of old runs more
        lists = {name: tuple(each) for name, each in known.items() if isinstance(each, list)}
        return TrainingDomain(**known | lists)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, or train again") from error
