"""The prediction page works offline and matches the figures of every kind of prediction."""

import base64
import dataclasses
import json
import re

import numpy as np
import pytest

from cmed_jax.crystal.material import Material
from cmed_jax.mixture.experts import Expert
from cmed_jax.prediction.assessment import Assessment, Explanation
from cmed_jax.prediction.results import results
from cmed_jax.report.prediction_density import MOST_DOUBT, levels, scene
from cmed_jax.report.prediction_page import page
from cmed_jax.search.solved import SEARCH, SolvedStructure
from cmed_jax.solution.refinement import Refined
from tests.outline import Outline

SECTIONS = {
    "profile": ["density", "patterns", "shown", "cells", "peaks", "method"],
    "peaks": ["density", "patterns", "shown", "peaks", "method"],
    "bins": ["density", "shown", "method"],
}


@pytest.fixture(params=SECTIONS)
def kind(request):
    return request.param


def test_it_asks_for_nothing_from_outside(kind, request):
    text = page(request.getfixturevalue(kind), "python -m cmed_jax.predict '<a>.xy'")
    outline = Outline(text)
    assert not outline.open
    assert all(address.startswith("data:") for address in outline.addresses)
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "$" not in re.sub(r"<script>.*</script>", "", text, flags=re.DOTALL)
    assert len(text) < 3e6


def test_it_has_a_section_for_all_that_is_known(kind, request):
    assert Outline(page(request.getfixturevalue(kind))).sections == SECTIONS[kind]


def test_names_warnings_and_the_command_are_escaped_and_whole(profile):
    outline = Outline(page(profile, "python -m cmed_jax.predict '<halite>.xy' --samples 2"))
    assert "".join(outline.texts["h1"]) == "NaCl from <halite>.xy"
    assert "python -m cmed_jax.predict '<halite>.xy' --samples 2" in outline.texts["pre"]
    assert any("runs/<demo>" in text for text in outline.texts["dd"])


def test_alarms_doubts_and_notes_are_distinguished_the_gravest_first(profile):
    text = page(profile)
    assert re.findall(r'<li class="(\w+)"><b>(\w+)\.</b>', text) == [
        ("bad", "Alarm"), ("poor", "Doubt"), ("note", "Note"),
    ]  # fmt: skip
    assert "Check the &lt;wavelength&gt;." in text
    assert "The pattern ends at &lt;60&gt; degrees." in text
    accepted = Assessment(True, "all goes together", Explanation("x", 0.1, 1.0))
    good = dataclasses.replace(profile, diagnostics=(), assessment=accepted)
    (kind,) = re.findall(r'<li class="(\w+)"><b>Consistent\.</b> All goes together\.', page(good))
    assert kind == "good"


def test_the_figures_of_the_agreement_are_shown(profile, peaks):
    text = page(profile)
    assert "0.432" in text
    assert "cosine 0.870" in text
    assert "no pattern can be calculated" in page(dataclasses.replace(profile, calculated=None))
    assert "difference" in Outline(text).classes
    assert "difference" not in Outline(page(peaks)).classes


def test_tables_show_cells_and_peaks(profile):
    texts = Outline(page(profile)).texts
    *cell, origin = texts["td"][:9]
    assert cell == ["5.64", "5.64", "5.64", "90", "90", "90", "0.900", "1.00"]
    assert origin == "the predicted density"
    peak = results(profile)["measured"]["peaks"][0]
    assert [float(text) for text in texts["td"][9:13]] == list(peak.values())


def test_the_electrons_are_shown_beside_those_of_whole_units(profile):
    assert "; 28 in whole ones" in page(profile)
    assert "in whole ones" not in page(dataclasses.replace(profile, electrons=None))


def test_the_pattern_is_drawn_where_it_was_measured(profile):
    """The highest point of the drawn line, from its path, is the strongest line."""
    text = page(profile)
    (first, *_) = re.findall(r'<path class="given" d="M([^"]*)"', text)
    numbers = np.array(re.findall(r"\d+", first), int).reshape(-1, 2)
    measured = profile.prepared.measured
    assert len(numbers) == len(measured.two_theta)
    assert numbers[:, 1].argmin() == measured.intensity.argmax()
    steps = np.diff(numbers[:, 0])
    np.testing.assert_allclose(steps, steps.mean(), atol=1)


def test_lists_of_peaks_are_drawn_on_one_scale(peaks):
    """The calculated lines are half as strong as the measured ones, and so half as high."""
    heights = [
        np.array([int(a) - int(b) for a, b in re.findall(r"M\d+ (\d+)V(\d+)", line)])
        for line in re.findall(r'<path class="(?:given|implied)" d="([^"]*V[^"]*)"', page(peaks))
    ]
    np.testing.assert_allclose(heights[0], 2 * heights[1], atol=2)


def test_roots_are_drawn_beside_the_intensities(profile):
    linear, _, root, *_ = (
        np.array(re.findall(r"\d+", line), int).reshape(-1, 2)[:, 1]
        for line in re.findall(r'<path class="given" d="M([^"V]*)"', page(profile))
        if "L" in line
    )
    intensity = profile.prepared.measured.intensity
    for drawn, values in ((linear, intensity), (root, np.sqrt(intensity))):
        line = np.polynomial.Polynomial.fit(values, drawn, 1)
        np.testing.assert_allclose(drawn, line(values), atol=1)


def test_the_scene_holds_surfaces_in_the_cell_coloured_by_the_deviation(profile):
    found = scene(profile)
    np.testing.assert_array_equal(found["lattice"], profile.lattice)
    assert len(found["surfaces"]) == len(levels(profile.density)) == 3
    for surface in found["surfaces"].values():
        values = np.frombuffer(base64.b64decode(surface["values"]), "u1")
        corners = np.frombuffer(base64.b64decode(surface["positions"]), "<u2").reshape(-1, 3)
        assert len(values) == len(corners)
        # A deviation of a tenth of the density everywhere has one colour.
        np.testing.assert_allclose(values / 255 * MOST_DOUBT, 0.1, atol=0.02)


def test_levels_part_the_cell_as_they_say(profile):
    for share, level in levels(profile.density).items():
        assert np.mean(profile.density <= level) == pytest.approx(share, abs=0.01)


def test_without_a_cell_it_says_so_and_draws_a_cube(bins):
    text = page(bins)
    assert "fractional coordinates" in text
    assert "There is nothing to warn of." in text
    lattice = np.array(
        json.loads(re.search(r'gallery-data">\[(.*?)\]</script>', text)[1])["lattice"]
    )
    np.testing.assert_allclose(lattice, lattice[0, 0] * np.eye(3))


def test_a_long_profile_is_thinned_without_losing_its_peaks(profile):
    angle = np.linspace(10, 90, 100_000)
    intensity = np.ones(len(angle))
    intensity[[1234, 77_777]] = 50, 100
    measured = dataclasses.replace(profile.prepared.measured, two_theta=angle, intensity=intensity)
    long = dataclasses.replace(
        profile.prepared, measured=measured, background=0 * angle, net=intensity
    )
    text = page(dataclasses.replace(profile, prepared=long, calculated=None))
    line, _ = (x for x in re.findall(r'<path class="given" d="M([^V"]*)"', text) if "L" in x)
    numbers = np.array(re.findall(r"\d+", line), int).reshape(-1, 2)
    assert len(numbers) < 7000
    heights = np.sort(numbers[:, 1].max() - numbers[:, 1])
    assert heights[-2] / heights[-1] == pytest.approx(49 / 99, abs=0.01)


@pytest.mark.parametrize(("rwp", "better"), [(0.0, "One of them"), (1.0, "The prediction")])
def test_where_the_network_answers_the_structures_are_compared_with_it(profile, rwp, better):
    crystal = Material(SEARCH, profile.lattice, np.array([11, 17]), np.zeros((2, 3)), 225)
    crystal.frac_coords[1] = 0.5
    structure = SolvedStructure(crystal, 0.1, 0.1, 0, 1.0, 0.0, 0.1, rwp=rwp)
    text = page(dataclasses.replace(profile, structures=(structure,)))
    assert f"{better} explains the pattern better" in text
    assert f"{rwp:.3f} of the best of them" in text


@pytest.mark.parametrize(
    ("source", "name"), [("mp-22862", "NaCl after mp-22862"), (SEARCH, "NaCl from the search")]
)
def test_the_source_of_a_density_is_named_with_its_rwp(profile, source, name):
    coords = np.array([[0.0] * 3, [0.5] * 3])
    crystal = Material(source, profile.lattice, np.array([11, 17]), coords, 225)
    alone = dataclasses.replace(profile, experts=(Expert(1.0, Refined(crystal, 0.3)),))
    assert f"The density of {name} (Rwp 0.30)." in page(alone)
    network = (Expert(0.4, None), Expert(0.6, Refined(crystal, 0.3)))
    mixed = page(dataclasses.replace(profile, experts=network))
    assert f"A density mixed from 60% {name} (Rwp 0.30), 40% the network." in mixed
