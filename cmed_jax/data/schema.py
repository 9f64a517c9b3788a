"""The features of a record, for the builder that writes records and for the reader."""

import numpy as np
import tensorflow_datasets as tfds

from cmed_jax.physics.harmonics import harmonics
from cmed_jax.physics.log_series import TERMS

VERSION = "3.1.0"
"""The version of the records; it rises whenever the record of a material changes."""


def _array(
    shape: tuple[int | None, ...], dtype: type[np.generic], doc: str
) -> tfds.features.Tensor:
    # Encoded as bytes: a float16 would otherwise take four bytes.
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes", doc=doc)


FEATURES = tfds.features.FeaturesDict(
    {
        "material_id": tfds.features.Text(doc="id in the source"),
        "formula": tfds.features.Text(doc="reduced formula"),
        "crystal_system": tfds.features.Text(doc="of the space group"),
        "space_group": tfds.features.Scalar(np.int32, doc="number, 1-230"),
        "lattice": _array((3, 3), np.float64, "rows a, b, c, angstrom"),
        "species": _array((None,), np.uint8, "atomic numbers"),
        "frac_coords": _array((None, 3), np.float64, "fractional coordinates of the atoms"),
        "reflections": _array(
            (None, 2), np.float64, "s = 1/d, 1/angstrom, and |F|^2 with multiplicity"
        ),
        "pattern": _array((1, 1024), np.float32, "Mo K-alpha, two-theta 0-180, strongest 1"),
        "amplitude": _array(
            (len(harmonics()),), np.float16, "|F| at the harmonics of the cell, mean square 1"
        ),
        "composition": _array((119,), np.float32, "atom fractions by atomic number"),
        "density": _array((50, 50, 50), np.float16, "electron density in units of density_scale"),
        "series": _array((TERMS,), np.float16, "Fourier series of log(1 + density / 10)"),
        "density_scale": tfds.features.Scalar(np.float32, doc="e/angstrom^3"),
        "density_kind": tfds.features.Text(doc="iam or chgcar"),
    }
)
"""The features of a record."""
