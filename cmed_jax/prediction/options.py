"""The options of a prediction.

Python, the command line, manifests and the local page share one set.
"""

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from cmed_jax.crystal.composition import Composition, parse_composition
from cmed_jax.crystal.lattice import Centring, primitive_lattice
from cmed_jax.crystal.sources import open_source
from cmed_jax.physics.instrument import radiation
from cmed_jax.powder.preparation import EVERY_STEP, Preparation
from cmed_jax.prediction.arguments import check_composition_type, check_types
from cmed_jax.solution.rietveld import check_rietveld

Cell = tuple[float, float, float, float, float, float] | Literal["auto"]

MOST_POINTS = 256**3
"""The largest number of points in a grid, whose density takes 64 MiB."""
BOTH = "give either --composition or --elements, not both"
"""The sentence about a composition that is given twice."""


@dataclass(frozen=True)
class PredictionOptions:
    """The known properties of a pattern, and the settings of its prediction.

    Attributes:
        wavelength: a radiation such as CuKa, or angstroms; needed if the file does not state it.
        composition: a formula such as NaCl.
        elements: the elements alone, where their ratios are unknown; "?" stands for one further
            element that is not known.
        cell: a b c (angstrom) alpha beta gamma (degrees) of the conventional cell; or auto, which
            searches among the cells that the lines are indexed with and those of known crystals.
            The command searches wherever a formula is given. Without a cell, and where no known
            crystal explains the pattern, the released network cannot read the pattern.
        centring: the centring of the given cell; the density is that of its primitive cell. R means
            hexagonal axes, and P means that the cell is primitive already.
        samples: the number of densities to draw from the network beside the plain one; their
            deviation colours the surface. There are none where a known crystal or a structure of
            the search is the answer.
        seed: the seed of the samples.
        grid: the numbers of points along a, b, c.
        analogues: the number of known crystals to search for that explain the pattern with the
            elements of the composition; their structures are written as CIF. With 0 there is no
            assessment of wavelength and formula.
        structures: the source of these crystals: a CIF file, a folder of them, a file of JSON
            lines, ...; by default the embedded crystals.
        search: the seconds in which a structure is sought without a known crystal, in the cell that
            is given or found, with a formula that is known in full; 0 seeks none. None seeks for
            20 seconds where known crystals are asked for, and none explains the pattern well.
        rietveld: whether the first structure is refined on the whole profile by the library rietx,
            an extra; it takes some seconds.
        preparation: the steps that prepare the pattern.

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
    search: int | None = None
    rietveld: bool = False
    preparation: Preparation = EVERY_STEP

    @property
    def knowledge(self) -> str | list[str] | None:
        """The known part of the composition: a formula, elements, or None."""
        return self.composition or list(self.elements) or None

    def check(self) -> None:
        """Check the options before anything is computed.

        Raises:
            ValueError: if an option is of a wrong type or unusable, or two contradict each other.
        """
        check_types({field.name: getattr(self, field.name) for field in fields(self)})
        if self.composition and self.elements:
            raise ValueError(BOTH)
        parse_composition(self.knowledge)
        if self.wavelength is not None:
            radiation(self.wavelength)
        self._check_cell()
        self._check_numbers()
        if self.analogues:
            open_source(self.structures)
        if self.rietveld:
            check_rietveld()

    def _check_cell(self) -> None:
        if self.cell is not None and not isinstance(self.cell, str):
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
        for name in ("samples", "seed", "analogues", "search"):
            if (number := getattr(self, name)) is not None and number < 0:
                raise ValueError(f"{name} is {number}: give 0 or more")


DEFAULTS = PredictionOptions()


def changed(options: PredictionOptions, changes: dict[str, Any]) -> PredictionOptions:
    """Return options with some fields changed, and rows of numbers as tuples.

    Raises:
        ValueError: if there is no such option, or one has a value of a wrong type.
    """
    names = [field.name for field in fields(PredictionOptions)]
    for name in changes:
        if name not in names:
            raise ValueError(f"unknown option {name!r}: give some of {', '.join(names)}")
    values = {name: getattr(options, name) for name in names} | changes
    check_types(values)
    if values["cell"] is not None and not isinstance(values["cell"], str):
        values["cell"] = tuple(map(float, values["cell"]))
    rows = {"elements": tuple(values["elements"]), "grid": tuple(map(int, values["grid"]))}
    return PredictionOptions(**values | rows)


def known_composition(options: PredictionOptions, composition: Any) -> Composition:
    """Return what is known of the composition: that of the call, or else of the options.

    Args:
        options: the options, which may hold a composition or elements.
        composition: the composition of the call, in one of its forms; None for that of the options.

    Raises:
        ValueError: if it has no form of a composition, cannot be read, or is given twice.
    """
    if composition is None:
        return options.knowledge
    check_composition_type(composition)
    if options.elements:
        raise ValueError(BOTH)
    parse_composition(composition)
    return composition
