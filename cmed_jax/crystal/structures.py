"""Conversion of pymatgen's structures and charge densities to materials."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.canonical import with_space_group
from cmed_jax.crystal.composition import atomic_number
from cmed_jax.crystal.material import Material, Refusal

if TYPE_CHECKING:
    from pymatgen.core import Structure

_log = logging.getLogger(__name__)


def read_material(
    material_id: str, read: "Callable[..., Structure]", *arguments: Any
) -> Material | Refusal:
    """Return the material of the structure that `read` returns, or a refusal with the reason."""
    try:
        with logged_warnings(material_id):
            return _material(material_id, read(*arguments))
    except Exception as error:  # on a damaged file, parsers raise errors of any type
        return Refusal(material_id, str(error) or type(error).__name__)


def charge_density(chgcar: Any) -> Float[np.ndarray, "na nb nc"]:
    """Return the total density of pymatgen's Chgcar in e/angstrom^3.

    VASP writes the density times the volume of the cell.
    """
    return np.asarray(chgcar.data["total"], float) / chgcar.structure.volume


@contextmanager
def logged_warnings(material_id: str) -> Iterator[None]:
    """Log the warnings of a parser, with the id of the material."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        _log.info("%s: %s", material_id, warning.message)


def _material(material_id: str, structure: "Structure") -> Material:
    if not structure.is_ordered:
        site = next(site for site in structure if not site.is_ordered)
        raise ValueError(f"partial occupancy: {site.species_string}")
    numbers = [atomic_number(site.specie.symbol) for site in structure]
    material = Material(
        material_id, structure.lattice.matrix, np.array(numbers), structure.frac_coords
    )
    return with_space_group(material)
