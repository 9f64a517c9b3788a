"""The known crystals of a source, read and prepared once for many patterns.

They are read again after a file of the source has changed.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.crystal.structure_files import ChgcarFolder, CifFiles
from cmed_jax.crystal.structure_types import structure_types
from cmed_jax.data.embedded_memory import recall_embedded
from cmed_jax.data.examples import CompactExamples
from cmed_jax.data.memory import Memory, Recall
from cmed_jax.data.records import Recipe
from cmed_jax.solution.prototypes import Prototypes, prototypes_of

HELD = 4
"""The largest number of results that are held for each question."""

Rest = ParamSpec("Rest")
Found = TypeVar("Found")
OfSource = Callable[Concatenate[str | None, Rest], Found]


def _until_files_change(function: OfSource[Rest, Found]) -> OfSource[Rest, Found]:
    """Return a function of a source that holds its results while the files stay as they are."""
    held: Callable[..., Found] = lru_cache(maxsize=HELD)(
        lambda files, *args, **kwargs: function(*args, **kwargs)
    )

    @wraps(function)
    def found(structures: str | None, *args: Rest.args, **kwargs: Rest.kwargs) -> Found:
        return held(_files_of(structures), structures, *args, **kwargs)

    return found


def _files_of(structures: str | None) -> tuple[tuple[str, int, int], ...]:
    """Return the name, modification time and size of each file that a source reads.

    Raises:
        ValueError: the source does not exist or is of no known form.
    """
    if structures is None or structures.startswith("mp:"):
        return ()
    source = open_source(structures)
    paths = [Path(structures).expanduser()]
    if isinstance(source, CifFiles | ChgcarFolder):
        paths = sorted(source.paths.values())
    states = []
    for path in paths:
        with suppress(FileNotFoundError):  # it was deleted a moment ago
            state = path.stat()
            states.append((str(path), state.st_mtime_ns, state.st_size))
    return tuple(states)


@_until_files_change
def known_prototypes(
    structures: str | None, formula: str | None, recipe: Recipe
) -> Prototypes | None:
    """Return the crystals of a source as prototypes; None where there is none.

    Args:
        structures: the source (`cmed_jax.crystal.sources.open_source`).
        formula: the anonymous formula of the crystals to take; None takes all.
        recipe: the recipe for the density of a crystal.
    """
    return prototypes_of(known_crystals(structures), formula, recipe)


@_until_files_change
def known_memory(structures: str | None, formula: str | None) -> Recall | None:
    """Return how a network recalls the crystals of a source; None where there is none.

    Args:
        structures: the source (`cmed_jax.crystal.sources.open_source`).
        formula: the anonymous formula of the crystals to take of a source of one's own.
    """
    if structures is None:
        return recall_embedded
    crystals = [
        each
        for each in known_crystals(structures)
        if isinstance(each, Material) and formula in (None, each.anonymous_formula)
    ]
    with suppress(ValueError):  # none of them has a record
        return Memory.of(CompactExamples.of_crystals(crystals, Recipe()))
    return None


@_until_files_change
def known_crystals(structures: str | None) -> list[Material | Refusal]:
    """Return the crystals of a source (`cmed_jax.crystal.sources.open_source`).

    The structure types of the AFLOW library go with the embedded crystals.
    """
    own = list(open_source(structures))
    return own if structures is not None else [*own, *structure_types()]
