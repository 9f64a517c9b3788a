"""Options of a prediction: one set for Python, the command line, manifests and the local page."""

import math
from dataclasses import dataclass
from typing import Literal

from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import Centring, primitive_lattice
from cmed_jax.crystal.sources import open_source
from cmed_jax.physics.instrument import radiation
from cmed_jax.powder.preparation import EVERY_STEP, Preparation

Cell = tuple[float, float, float, float, float, float] | Literal["auto"]

MOST_POINTS = 256**3
"""The largest number of points in a grid, whose density takes 64 MiB."""


@dataclass(frozen=True)
class PredictionOptions:
    """What is known of a pattern, and how its density is predicted.

    Attributes:
        wavelength: a radiation such as CuKa, or angstroms; needed where a file does not say it.
        composition: a formula such as NaCl.
        elements: the elements alone, where their ratios are unknown.
        cell: a b c (angstrom) alpha beta gamma (degrees) of the conventional cell; or auto, which
            searches for it among cubic, hexagonal and rhombohedral cells and those of known
            crystals. The command does so wherever a composition is given.
        centring: of the cell that is given; the density is that of its primitive cell. R means
            hexagonal axes, P takes the cell as primitive already.
        samples: densities to draw beside the plain one; the surface is coloured by their deviation.
        seed: of the samples.
        grid: points along a, b, c.
        analogues: known crystals to seek beside the prediction that explain the pattern with the
            elements of the composition; their structures are written as CIF. Without any (0) there
            is no assessment of wavelength and formula.
        structures: where these crystals are: a CIF file, a folder of them, a file of JSON lines,
            ...; the embedded ones where nothing is given.
        preparation: which steps the pattern is prepared by.

    Example:
        >>> options = PredictionOptions(wavelength="CuKa", composition="NaCl", cell="auto")
        >>> options.check()
        >>> options.grid
        (50, 50, 50)
    """

    wavelength: str | float | None = None
    composition: str | None = None
    elements: tuple[str, ...] = ()
    cell: Cell | None = None
    centring: Centring = "P"
    samples: int = 0
    seed: int = 0
    grid: tuple[int, int, int] = (50, 50, 50)
    analogues: int = 3
    structures: str | None = None
    preparation: Preparation = EVERY_STEP

    @property
    def knowledge(self) -> str | list[str] | None:
        """What is known of the composition: a formula, elements, or nothing."""
        return self.composition or list(self.elements) or None

    def check(self) -> None:
        """Check the options before anything is computed.

        Raises:
            ValueError: one of them is unusable, or two contradict.
        """
        if self.composition and self.elements:
            raise ValueError("give either --composition or --elements, not both")
        parse_composition(self.knowledge)
        if self.wavelength is not None:
            radiation(self.wavelength)
        self._check_cell()
        self._check_numbers()
        if self.analogues:
            open_source(self.structures)

    def _check_cell(self) -> None:
        if isinstance(self.cell, str):
            if self.cell != "auto":
                raise ValueError(f"cell is {self.cell!r}: give six numbers, or auto")
        elif self.cell is not None:
            primitive_lattice(self.cell, self.centring)
        elif self.centring != "P":
            raise ValueError(f"centring {self.centring} is of no cell: give --cell as well")

    def _check_numbers(self) -> None:
        if min(self.grid) < 1:
            raise ValueError(f"grid is {self.grid}: give three positive numbers of points")
        if (points := math.prod(self.grid)) > MOST_POINTS:
            raise ValueError(
                f"grid is {self.grid}, {points:,} points: give at most {MOST_POINTS:,}, such as "
                "256 256 256"
            )
        for name in ("samples", "analogues"):
            if (number := getattr(self, name)) < 0:
                raise ValueError(f"{name} is {number}: give 0 or more")


DEFAULTS = PredictionOptions()
