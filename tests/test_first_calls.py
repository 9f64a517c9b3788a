"""The type checker of the tests: each test checks anew, and then lets loops pass."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from cmed_jax.physics.cell import cell_volume
from tests.first_calls import CALLS


@pytest.mark.parametrize("time", ["once", "again"])
def test_a_wrong_shape_is_found_in_each_test(time):
    with pytest.raises(TypeCheckError):
        cell_volume(np.zeros((2, 3)))
    for _ in range(2 * CALLS):
        assert cell_volume(np.eye(3)) == 1
