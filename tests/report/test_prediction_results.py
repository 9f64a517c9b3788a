"""The figures of a prediction, against pymatgen's."""

import dataclasses
import json

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice

from cmed_jax.crystal.composition import format_composition, parse_composition
from cmed_jax.prediction.query import ConventionalCell
from cmed_jax.prediction.results import results
from cmed_jax.report.prediction_page import page


@pytest.fixture(params=["profile", "peaks", "bins"])
def found(request):
    return results(request.getfixturevalue(request.param))


def test_they_are_plain_values(found):
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_cell_and_its_electrons_are_those_of_the_density(profile):
    cell, lattice = results(profile)["cell"], Lattice(profile.lattice)
    assert cell["volume"] == pytest.approx(lattice.volume, abs=1e-3)
    np.testing.assert_allclose(cell["parameters"], lattice.parameters, atol=1e-3)
    assert cell["electrons"] == pytest.approx(profile.density.mean() * lattice.volume, rel=1e-5)
    salt = Composition("NaCl").total_electrons
    assert cell["formula_units"] == pytest.approx(cell["electrons"] / salt)


def test_the_conventional_cell_stands_beside_the_primitive_one(profile):
    cell = results(profile)["cell"]
    conventional = cell["conventional"]
    assert conventional["parameters"] == [5.64, 5.64, 5.64, 90, 90, 90]
    assert conventional["volume"] == pytest.approx(4 * cell["volume"], rel=1e-5)
    assert (conventional["centring"], conventional["space_group"]) == ("F", 225)
    assert "conventional 5.64 5.64 5.64 Å, 90 90 90°, Fm-3m (225)" in page(profile)
    unknown = dataclasses.replace(
        profile, conventional=ConventionalCell(profile.conventional[0], "F")
    )
    assert "90 90 90°, centring F" in page(unknown)


def test_peaks_have_the_spacing_of_their_angle(profile):
    for peak in results(profile)["measured"]["peaks"]:
        sine = np.sin(np.deg2rad(peak["two_theta"]) / 2)
        assert 2 * peak["d"] * sine == pytest.approx(profile.prepared.radiation.mean, rel=1e-4)
        assert peak["width"] == 0.1


def test_the_deviation_is_a_share_of_the_mean(profile, bins):
    assert results(profile)["density"]["deviation"] == pytest.approx(0.1, rel=1e-5)
    assert results(bins)["density"]["deviation"] is None


def test_what_is_not_known_is_none(bins, peaks):
    found = results(bins)
    assert [found[name] for name in ("cell", "measured", "implied")] == [None] * 3
    assert found["cells"] == []
    listed = results(peaks)["measured"]
    assert listed["file"] is None
    assert listed["peaks"][0]["width"] is None


@pytest.mark.parametrize("formula", ["NaCl", "SiO2", "CaTiO3", "Mg(HO)2", "Al2O3", "Fe", "Na2He"])
def test_a_formula_is_stated_as_it_was_given(formula):
    written = format_composition(parse_composition(formula)[0])
    assert Composition(written) == Composition(formula)


def test_elements_and_nothing_are_distinguished_from_formulas(bins):
    assert format_composition(parse_composition(["Na", "Cl"])[0]) == "Na, Cl"
    assert format_composition(parse_composition(None)[0]) is None
    unknown = dataclasses.replace(bins, composition=np.zeros(119, np.float32), lattice=np.eye(3))
    assert results(unknown)["cell"]["formula_units"] is None
