"""Materials of the Materials Project, through its client (an optional extra)."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.structures import charge_density, read_material


@dataclass(frozen=True)
class MaterialsProject:
    """A search of the Materials Project by the fields of its summary, such as crystal_system=cubic.

    Several fields are joined with "&", as in "chemsys=Na-Cl&is_stable=true". The search needs the
    extra cmed-jax[mp] and a key in the environment variable MP_API_KEY.
    """

    search: str

    @property
    def description(self) -> str:
        """A description of the source, for messages."""
        return f"the Materials Project, {self.search}"

    def fingerprint(self) -> str:
        """Return the SHA-256 of the search and the version of the database."""
        with self._client() as client:
            version = client.get_database_version()
        return hashlib.sha256(f"{self.search} {version}".encode()).hexdigest()

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Yield the material of every structure found, or a refusal, sorted by id."""
        with self._client() as client:
            found = client.materials.summary.search(
                **self._criteria(), fields=["material_id", "structure"]
            )
        structures = {str(entry.material_id): entry.structure for entry in found}
        for material_id in sorted(structures):
            yield read_material(material_id, structures.__getitem__, material_id)

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Return the total density of the material's CHGCAR, e/angstrom^3.

        Raises:
            ValueError: the database holds no density of the material.
        """
        with self._client() as client:
            chgcar = client.get_charge_density_from_material_id(material_id)
        if chgcar is None:
            raise ValueError("the Materials Project holds no charge density for it")
        return charge_density(chgcar)

    def _criteria(self) -> dict[str, Any]:
        pairs = [pair.partition("=") for pair in self.search.split("&")]
        for field, _, value in pairs:
            if not (field and value):
                raise ValueError(
                    f"search {self.search!r} is not of the form field=value: give for instance "
                    "mp:crystal_system=cubic"
                )
        return {field: _search_value(field, value) for field, _, value in pairs}

    def _client(self) -> Any:
        self._criteria()
        try:
            from mp_api.client import MPRester
        except ImportError:
            raise ValueError(
                "the Materials Project needs an extra: pip install 'cmed-jax[mp]'"
            ) from None
        key = os.environ.get("MP_API_KEY")
        if not key:
            raise ValueError(
                "the environment variable MP_API_KEY is not set: take a key from "
                "https://materialsproject.org/api"
            )
        return MPRester(key)


def _search_value(field: str, value: str) -> Any:
    if field == "crystal_system":
        return value.capitalize()  # as the Materials Project spells it
    if value in ("true", "false"):
        return value == "true"
    if value.isdigit():
        return int(value)
    return value.split(",") if "," in value else value
