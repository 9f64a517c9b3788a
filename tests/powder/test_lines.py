"""The range of the lines of a pattern."""

import numpy as np
import pytest

from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import Preparation, prepare


@pytest.mark.parametrize(("first", "start"), [(0.88, 0.0), (4.0, 3.0), (27.4, 10.0)])
def test_a_list_of_peaks_begins_before_its_first_line_and_not_below_zero(first, start):
    peaks = pattern_of_columns(first * np.array([1, 1.15, 1.63]), np.array([8.0, 100.0, 55.0]), 0.5)
    assert MeasuredLines.of(prepare(peaks, Preparation(shift=False))).start == pytest.approx(start)
