"""Sources of materials: embedded rows, JSON lines, CIF, CHGCAR, the Materials Project."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from cmed_jax.crystal.json_lines import JsonLines
from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.materials_project import MaterialsProject
from cmed_jax.crystal.structure_files import CIF, ChgcarFolder, CifFiles

EMBEDDED = "the embedded materials (Materials Project structures of Open Catalyst 2020)"

FORMS = """\
nothing (the embedded materials), a file of JSON lines (.jsonl, .json, plain or .gz), \
a .cif file or a folder of them, a folder of VASP CHGCAR files (plain or .gz), \
or a search of the Materials Project such as mp:crystal_system=cubic"""


@runtime_checkable
class Source(Protocol):
    """A collection of materials.

    Iteration gives structures alone. The density of a material, which may be large or remote, is
    fetched on request. Sources are small and picklable, and can be passed to workers.
    """

    @property
    def description(self) -> str:
        """The description of the source for messages."""
        ...

    def fingerprint(self) -> str:
        """The SHA-256 of the content; equal content has an equal fingerprint in any place."""
        ...

    def __iter__(self) -> Iterator[Material | Refusal]:
        """Yield every material, or the reason why it cannot be used, in a fixed order."""
        ...

    def density(self, material_id: str) -> Float[np.ndarray, "na nb nc"]:
        """Return the density of a material in e/angstrom^3.

        Raises:
            ValueError: the source holds no densities.
        """
        ...


def open_source(materials: str | None = None) -> Source:
    """Return the source that a path or a search names.

    Args:
        materials: None, a path, or "mp:" with a search; `FORMS` describes them.

    Raises:
        ValueError: the source does not exist or is of no known form.

    Example:
        >>> crystals = list(open_source())
        >>> len(crystals), crystals[0].formula
        (11383, 'Sn')
    """
    if materials is None:
        return JsonLines(files("cmed_jax.crystal") / "embedded" / "oc20_bulks.jsonl.gz", EMBEDDED)
    if materials.startswith("mp:"):
        return MaterialsProject(materials.removeprefix("mp:"))
    path = Path(materials).expanduser()
    if not path.exists():
        raise ValueError(f"no materials at {materials}: give {FORMS}")
    if path.is_file() and re.search(r"\.jsonl?(\.gz)?$", path.name.lower()):
        return JsonLines(path, f"JSON lines {path.name}")
    if path.is_file() and CIF.search(path.name):
        return CifFiles(path)
    if path.is_dir():
        forms = [form for form in (CifFiles(path), ChgcarFolder(path)) if form.paths]
        if len(forms) == 1:
            return forms[0]
        if forms:
            raise ValueError(f"{materials} holds CIF and CHGCAR files: give a folder of one kind")
    raise ValueError(f"{materials} is not a form of materials that is known: give {FORMS}")
