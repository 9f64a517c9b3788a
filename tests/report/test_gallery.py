"""Surfaces, slices and atoms of the gallery, compared with known geometry."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from cmed_jax.crystal.material import Material
from cmed_jax.physics.density import B_FACTOR
from cmed_jax.report.gallery import LEVEL, chosen_rows, entry, slices, surface

OBLIQUE = np.array([[4.0, 0.4, -0.2], [-2.1, 4.4, 0.3], [2.2, 1.5, 4.1]])


def decoded(mesh):
    corners = np.frombuffer(base64.b64decode(mesh["positions"]), "<u2").reshape(-1, 3)
    faces = np.frombuffer(base64.b64decode(mesh["faces"]), "<u4").reshape(-1, 3)
    return np.array(mesh["origin"]) + corners / 65535 * mesh["size"], faces


def volume_of(corners, faces):
    a, b, c = (corners[faces[:, i]] for i in range(3))
    return abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def distance_from_centre(lattice, n=50):
    """Return the negative distance (angstrom) of each point from the middle of the cell."""
    points = np.stack(np.meshgrid(*[np.arange(n) / n - 0.5] * 3, indexing="ij"), axis=-1)
    return -np.linalg.norm(points @ lattice, axis=-1)


@pytest.mark.parametrize("lattice", [5 * np.eye(3), OBLIQUE], ids=["cubic", "oblique"])
def test_a_ball_in_the_cell_is_a_ball_on_the_page(lattice):
    corners, faces = decoded(surface(distance_from_centre(lattice), -1.3, lattice))
    radii = np.linalg.norm(corners - lattice.sum(axis=0) / 2, axis=1)
    np.testing.assert_allclose(radii, 1.3, atol=0.01)
    assert volume_of(corners, faces) == pytest.approx(4 / 3 * np.pi * 1.3**3, rel=0.02)


def test_surfaces_are_closed_at_the_faces_of_the_cell():
    # A ball around the origin: eight parts of it, one at each corner.
    density = np.roll(distance_from_centre(OBLIQUE), (25, 25, 25), (0, 1, 2))
    corners, faces = decoded(surface(density, -1.0, OBLIQUE))
    assert volume_of(corners, faces) == pytest.approx(4 / 3 * np.pi, rel=0.03)
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, times = np.unique(edges, axis=0, return_counts=True)
    assert (times == 2).all()


def test_a_level_that_is_not_reached_has_no_surface():
    assert surface(np.ones((50, 50, 50)), 2.0, OBLIQUE)["faces"] == ""


def test_the_best_the_median_and_the_worst_are_chosen():
    rows = chosen_rows(np.arange(11) / 10)
    assert rows == {"best": [10, 9, 8], "median": [6, 5, 4], "worst": [2, 1, 0]}
    assert chosen_rows(np.array([0.3, 0.7])) == {"best": [1], "median": [1], "worst": [0]}


def test_slices_have_the_angles_of_their_planes(test_split):
    truth = test_split.densities([0])[0]
    horizontal, diagonal = slices(truth, 0.5 * truth, OBLIQUE)
    a, b, c = OBLIQUE
    for cut, (across, up) in ((horizontal, (a, b)), (diagonal, (a + b, c))):
        u, v = np.array(cut["across"]), np.array(cut["up"])
        np.testing.assert_allclose([u @ u, u @ v, v @ v], [across @ across, across @ up, up @ up])
        assert v[1] > 0


def test_pictures_show_the_densest_voxel_where_it_is(test_split):
    truth = test_split.densities([0])[0]
    x, y, _ = np.unravel_index(truth.argmax(), truth.shape)
    cut, _ = slices(truth, truth, 5 * np.eye(3))
    header, data = cut["truth"].split(",")
    assert header == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int).sum(axis=-1)
    assert pixels.shape == (51, 51)
    brightest = np.unravel_index(pixels[:50, :50].argmax(), (50, 50))
    assert brightest == (y, x)


@pytest.fixture
def crystal(test_split):
    positions = np.array([[0.0, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.25]])
    return Material(test_split.material_id[2], OBLIQUE, np.array([11, 17, 8]), positions, 225)


def shown(examples, crystal, b_factor=B_FACTOR):
    return entry(examples, 2, crystal, lambda query: examples.densities([2])[:, None], b_factor)


def test_an_entry_holds_what_the_page_shows(test_split, crystal):
    found = shown(test_split, crystal)
    assert found["material_id"] == crystal.material_id
    truth = test_split.densities([2])[0]
    assert np.mean(truth < found["level"]) == pytest.approx(LEVEL, abs=1e-3)
    assert found["surfaces"]["truth"] == found["surfaces"]["prediction"]
    assert max(y for _, y in found["sticks"]["implied"]) == 1


def test_atoms_on_faces_are_drawn_on_all_of_them(test_split, crystal):
    atoms = shown(test_split, crystal)["atoms"]
    count = {e: sum(atom["element"] == e for atom in atoms) for e in ("Na", "Cl", "O")}
    assert count == {"Na": 8, "Cl": 2, "O": 1}
    for atom in atoms:
        inside = np.array(atom["at"]) @ np.linalg.inv(OBLIQUE)
        assert (inside > -1e-3).all()
        assert (inside < 1 + 1e-3).all()


def test_a_density_of_valence_electrons_implies_no_pattern(test_split, crystal):
    sticks = shown(test_split, crystal, None)["sticks"]
    assert set(sticks) == {"stop", "given"}
    assert sticks["stop"] == 180
