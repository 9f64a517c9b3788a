"""The picture of a material holds its labels for any prediction."""

import matplotlib.image
import pytest
from scipy.ndimage import gaussian_filter

from cmed_jax.report.slices import plot_material


@pytest.mark.parametrize("blur", [1, 10])
def test_a_material_is_drawn(tmp_path, test_split, blur):
    prediction = gaussian_filter(test_split.densities([3])[0], blur) - 0.1
    plot_material(tmp_path / "material.png", test_split, 3, prediction)
    picture = matplotlib.image.imread(tmp_path / "material.png")
    assert min(picture.shape[:2]) > 800
    assert picture[..., :3].std() > 0.1
