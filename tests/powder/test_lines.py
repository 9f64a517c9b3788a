"""The range of the lines of a pattern."""

import numpy as np
import pytest

from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import Preparation, prepare


@pytest.mark.parametrize(
    ("first", "wavelength", "start"),
    [(0.88, 0.5, 0.0), (4.0, 0.5, 3.0), (27.4, 1.54, 10.0), (40.2, 1.54, 39.2), (27.4, 0.5, 26.4)],
)
def test_a_list_of_peaks_begins_before_its_first_line(first, wavelength, start):
    """Lines may have been left out where the first one has a small d."""
    angle = first * np.array([1, 1.15, 1.63])
    peaks = pattern_of_columns(angle, np.array([8.0, 100.0, 55.0]), wavelength)
    assert MeasuredLines.of(prepare(peaks, Preparation(shift=False))).start == pytest.approx(start)
