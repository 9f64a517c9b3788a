"""Columns without headings are left alone unless they certainly are no two-theta and intensity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmed_jax.io.pattern import load_pattern

WAVELENGTH = 1.5406
LINES = np.array([28.44, 47.3, 56.12, 69.13, 76.38])
FALLING = np.array([1, 0.55, 0.3, 0.06, 0.0005])


@pytest.fixture
def read(tmp_path):
    def read(*columns):
        path = tmp_path / "pattern.txt"
        path.write_text(
            "".join(" ".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))
        )
        return load_pattern(path, WAVELENGTH)

    return read


def normalised(background):
    """Return a profile whose strongest point is 1, over a background that is nearly nothing."""
    angle = np.round(np.arange(10, 90, 0.02), 2)
    near = np.exp(-(((angle[:, None] - LINES) / 0.08) ** 2))
    return angle, np.round(near @ FALLING * (1 - background) + background, 6)


@pytest.mark.parametrize("background", [2e-4, 1e-3])
def test_a_normalised_profile_is_none_of_d(read, background):
    angle, intensity = normalised(background)
    sigma = np.round(np.sqrt(intensity) / 100, 7)
    for columns in ((angle, intensity), (angle, intensity, sigma)):
        found = read(*columns)
        np.testing.assert_allclose(found.two_theta, angle)
        np.testing.assert_allclose(found.intensity, intensity)
        assert not any("Bragg" in note for note in found.notes)


@given(
    falling=st.lists(st.floats(1e-5, 1), min_size=4, max_size=12, unique=True),
    scale=st.sampled_from([1.0, 100.0, 999.0]),
)
def test_falling_intensities_are_no_d(tmp_path_factory, falling, scale):
    angle = np.linspace(20, 80, len(falling)) ** 1.1
    intensity = scale * np.sort(falling)[::-1]
    path = tmp_path_factory.getbasetemp() / "falling.txt"
    path.write_text(
        "".join(f"{x:.3f} {y!r}\n" for x, y in zip(angle, intensity.tolist(), strict=True))
    )
    np.testing.assert_allclose(load_pattern(path, WAVELENGTH).intensity, intensity)


def test_the_intensities_of_a_list_may_fall_to_nothing(read):
    found = read(LINES, FALLING)
    np.testing.assert_allclose(found.intensity, FALLING)
    assert not found.notes


def test_coarse_d_beside_two_theta_is_found(read):
    """Lines of one d overlap, and d is rounded to two or three decimals."""
    d = WAVELENGTH / 2 / np.sin(np.radians(LINES / 2))
    twice, spacing = np.repeat(LINES, 2), np.repeat(d, 2)
    intensity = 100 - np.arange(10)
    for digits in (2, 3):
        found = read(twice, np.round(spacing, digits), intensity)
        assert "by Bragg's law column 1 is two-theta" in found.notes[0]
        np.testing.assert_allclose(np.sort(found.intensity), np.sort(intensity))


@pytest.mark.parametrize("rest", [[], [[1, 2, 3, 4, 5]]])
@pytest.mark.parametrize(
    ("angle", "intensity"),
    [
        ([44.7, 38.2, 28.1], [100, 50, 20]),
        ([76.4, 69.1, 56.1, 47.3, 28.4], [6, 100, 30, 55, 10]),
        ([76.4, 69.1, 56.1, 47.3, 28.4], [6, 10, 30, 55, 97]),
        ([47.3, 28.4, 56.1, 69.1, 76.4], [6, 10, 30, 55, 100]),
        ([47.3, 28.4, 56.1, 69.1, 76.4], [60, 101, 300, 550, 1010]),
        ([47.3, 28.4, 56.1, 69.1, 76.4], [0.1, 0.2, 0.5, 0.7, 1]),
        ([100.0, 28.4, 56.1, 69.1, 76.4], [1000, 900, 800, 400, 50]),
    ],
)
def test_a_list_in_any_order_is_read(read, angle, intensity, rest):
    found = read(angle, intensity, *[each[: len(angle)] for each in rest])
    order = np.argsort(angle)
    np.testing.assert_allclose(found.two_theta, np.array(angle)[order])
    np.testing.assert_allclose(found.intensity, np.array(intensity)[order])


def test_no_order_of_the_columns_is_suggested_where_both_may_be_two_theta(read):
    with pytest.raises(ValueError, match="is not in order, and another is: give") as answer:
        read([47.3, 28.4, 76.4, 56.1], [11.5, 20.1, 33.3, 97.2])
    assert "'I 2theta'" not in str(answer.value)
    with pytest.raises(ValueError, match="is not in order"):
        read([100, 60, 30], [28.4, 47.3, 56.1])


def test_a_descending_list_is_refused_only_where_it_can_be_d(read):
    with pytest.raises(ValueError, match="its first column descends, as d does"):
        read([9.87, 7.15, 3.31, 2.45, 1.96], [10, 100, 20, 30, 5])
    assert len(read([19.87, 17.15, 13.31], [10, 100, 20]).two_theta) == 3


@pytest.mark.parametrize("first", [[3.26, 2.82, 1.99], [2.0, 2.23, 3.15, 3.7], [2.82, 3.26, 1.99]])
def test_a_short_list_of_d_or_q_is_refused_in_any_order(read, first):
    with pytest.raises(ValueError, match=r"its first column ends at .*, as d or Q does"):
        read(first, [100, 20, 30, 5][: len(first)])


def test_of_a_first_column_that_ends_where_q_does_a_note_asks(read):
    q = np.arange(1.0, 8.0, 0.02)
    note = "is the first column Q or d, and not two-theta?"
    assert note in read(q, 100 + q).notes[-1]
    assert not any(note in each for each in read(10 * q, 100 + q).notes)


def test_a_column_of_d_beside_the_angles_of_a_profile_is_no_intensity(read):
    angle, intensity = normalised(1e-3)
    d = np.round(WAVELENGTH / 2 / np.sin(np.radians(angle / 2)), 4)
    found = read(angle, d, intensity)
    np.testing.assert_allclose(found.intensity, intensity)
    assert "column 2 is d: column 3 is taken for the intensity" in found.notes[0]


def test_a_list_by_falling_intensity_is_refused_only_where_it_can_be_d(read):
    quartz = [3.343, 4.255, 1.818, 2.457, 2.282], [100, 22, 14, 8, 8]
    with pytest.raises(
        ValueError, match="sorted by intensity, and their positions may be two-thet"
    ):
        read(*quartz)
    angle = [26.64, 20.86, 50.14, 36.54, 39.47]
    np.testing.assert_allclose(read(angle, quartz[1]).two_theta, np.sort(angle))
