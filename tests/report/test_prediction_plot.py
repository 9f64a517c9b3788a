"""The plot of a prediction: the contents of its axes."""

import io

import numpy as np
import pytest

from cmed_jax.report.plot import plot


@pytest.mark.parametrize(("kind", "pictures"), [("profile", 4), ("peaks", 2), ("bins", 2)])
def test_slices_and_patterns_are_drawn(request, kind, pictures):
    prediction = request.getfixturevalue(kind)
    figure = plot(prediction)
    images = [image for ax in figure.axes for image in ax.images]
    assert len(images) == pictures
    densest = max(float(image.get_array().max()) for image in images)
    assert densest == pytest.approx(float(prediction.density.max()))
    figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_the_measured_and_the_calculated_pattern_are_drawn_as_they_are(profile):
    *_, ax = plot(profile).axes
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_array_equal(drawn["measured"], profile.prepared.measured.intensity)
    np.testing.assert_array_equal(drawn["background"], profile.prepared.background)
    np.testing.assert_array_equal(drawn["calculated, Rwp 0.43"], profile.calculated.intensity)
    difference = profile.prepared.measured.intensity - profile.calculated.intensity
    np.testing.assert_allclose(np.diff(drawn["difference"]), np.diff(difference), atol=1e-9)
