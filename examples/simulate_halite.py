"""Simulate `examples/halite.xy`: rock salt on a laboratory diffractometer with a copper tube.

    python examples/simulate_halite.py

The structure and the conditions below are the whole input; the counts are drawn with a fixed seed,
so the script writes the same file each time. Nothing in the file was measured.
"""

from pathlib import Path

import numpy as np
from pymatgen.core import Lattice, Structure

from cmed_jax import physics

FILE = Path(__file__).with_name("halite.xy")
HALITE = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6402), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
INSTRUMENT = physics.Instrument(*physics.radiation("CuKa"), u=0.006, v=-0.003, w=0.008)
POWDER = physics.Sample(size=1200.0, strain=2e-4, b_factor=1.3)
STRONGEST = 9000
"""Counts in the strongest bin above the background."""
HEADING = """\
# NaCl, simulated by cmed_jax (examples/simulate_halite.py): no measurement
# radiation CuKa, counting noise, seed 0
# two-theta/degrees  counts
"""


def background(two_theta: np.ndarray) -> np.ndarray:
    """Return the counts under the lines: air scatter that falls off, on a constant."""
    return 120 + 380 * np.exp(-(two_theta - 15) / 18)


def main() -> None:
    """Write the pattern."""
    pattern = physics.simulate_pattern(
        HALITE, start=15.0, stop=100.0, step=0.02, instrument=INSTRUMENT, sample=POWDER
    )
    expected = STRONGEST / 100 * pattern.intensity + background(pattern.two_theta)
    counts = np.random.default_rng(0).poisson(expected)
    rows = zip(pattern.two_theta, counts, strict=True)
    FILE.write_text(HEADING + "".join(f"{angle:.2f} {count}\n" for angle, count in rows))


if __name__ == "__main__":
    main()
