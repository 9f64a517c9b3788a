"""Densities to files."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

SUFFIXES = (".npy", ".npz")


def check_suffix(path: str | Path) -> None:
    """Raise ValueError where the suffix of a path names no known format."""
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(
            f"cannot write {Path(path).name!r}: the suffix must be one of {', '.join(SUFFIXES)}"
        )


def save_volume(
    path: str | Path,
    density: Float[np.ndarray, "a b c"],
    std: Float[np.ndarray, "a b c"] | None = None,
) -> None:
    """Write a density, e/angstrom^3 on the fractional grid i/n, whole or not at all.

    `.npy` holds the density; `.npz` holds "density" and, where there is one, its deviation "std".

    Raises:
        ValueError: the suffix names no known format.
    """
    check_suffix(path)
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            if path.suffix == ".npy":
                np.save(file, density)
            else:
                deviation: dict[str, Any] = {} if std is None else {"std": std}
                np.savez_compressed(file, density=density, **deviation)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
