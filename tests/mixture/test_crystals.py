"""The crystals of a mixture, known and new ones."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from cmed_jax.crystal.composition import Knowledge
from cmed_jax.data.query import Query, full_query
from cmed_jax.data.records import Recipe
from cmed_jax.mixture import crystals
from cmed_jax.mixture.crystals import refined_crystals
from cmed_jax.solution.prototypes import Prototypes
from cmed_jax.solution.solve import EXPLAINED
from tests.structures import CENTRE, ORIGIN, QUARTER, cubic, split

FLUORITE = cubic("Fm-3m", 5.46, Ca=ORIGIN, F=QUARTER)


@pytest.fixture(scope="module")
def prototypes():
    return Prototypes.of_crystals(split([cubic("Fm-3m", 4.21, Mg=ORIGIN, O=CENTRE)])[1], Recipe())


@pytest.fixture(scope="module")
def question():
    return Query(*(column[0] for column in full_query(split([FLUORITE])[0])))


def test_a_structure_of_no_known_type_is_sought(prototypes, question):
    assert refined_crystals(prototypes, question) == []
    (found,) = refined_crystals(prototypes, question, seconds=20)
    assert found.residual < EXPLAINED
    assert StructureMatcher(scale=False).fit(found.crystal.structure, FLUORITE)


@pytest.mark.parametrize("missing", ["cell", "lines", "ratios"])
def test_without_what_a_search_needs_there_is_none(prototypes, question, missing):
    without = {
        "cell": question._replace(lattice=np.zeros((3, 3), np.float32)),
        "lines": question._replace(lines=np.zeros((1, 2), np.float32)),
        "ratios": question._replace(knowledge=np.int32(Knowledge.NO_RATIOS)),
    }[missing]
    known, found = (refined_crystals(prototypes, without, seconds=each) for each in (0, 20))
    assert [each.residual for each in found] == [each.residual for each in known]


def test_a_structure_without_its_hydrogen_and_a_search_that_was_ended_give_none(
    prototypes, question, monkeypatch
):
    search = crystals.search_structures

    def changed(*given, lacks_hydrogen, interrupted, **options):
        result = search(*given, **options)
        first = replace(result.structures[0], lacks_hydrogen=lacks_hydrogen)
        return replace(result, structures=(first,), interrupted=interrupted)

    lacking = partial(changed, lacks_hydrogen=True, interrupted=False)
    monkeypatch.setattr(crystals, "search_structures", lacking)
    assert refined_crystals(prototypes, question, seconds=20) == []
    ended = partial(changed, lacks_hydrogen=False, interrupted=True)
    monkeypatch.setattr(crystals, "search_structures", ended)
    with pytest.raises(KeyboardInterrupt):
        refined_crystals(prototypes, question, seconds=20)
