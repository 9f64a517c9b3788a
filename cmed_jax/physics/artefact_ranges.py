"""Ranges from which the conditions of a measurement are drawn, and presets of instruments."""

from dataclasses import dataclass, fields

import numpy as np

from cmed_jax.physics.instrument import radiation
from cmed_jax.physics.patterns import RADIATIONS

Range = tuple[float, float]

LOGARITHMIC = ("w", "size", "strain", "b_factor", "march", "background", "hump", "counts")
"""The scales. They are drawn evenly in the logarithm, unless their range begins at 0."""


@dataclass(frozen=True)
class Artefacts:
    """Ranges from which the conditions of a measurement are drawn, each evenly.

    Scales (`LOGARITHMIC`) are drawn evenly in their logarithm. Angles are on the two-theta scale
    of the instrument. Heights and areas are relative to those of the crystal's strongest line.

    Attributes:
        anodes: anodes of the tube. One is drawn, and its K-alpha doublet is the radiation. An anode
            named twice is drawn twice as often; no anode means a single wavelength.
        wavelength: wavelength where there is no anode, angstrom.
        monochromator: two-theta of the monochromator's reflection, degrees; graphite has 26.6 for
            Cu K-alpha.
        start: first angle, degrees.
        stop: last angle, degrees.
        zero: shift of the two-theta scale, degrees.
        displacement: displacement of the sample, as a share of the radius; 0.1 mm of 200 mm is
            5e-4.
        u: Caglioti's U, degrees^2.
        v: Caglioti's V, degrees^2.
        w: Caglioti's W, degrees^2.
        size: size of the crystallites, angstrom.
        strain: microstrain, delta d / d.
        b_factor: isotropic B, angstrom^2.
        march: March's parameter of the texture along a random axis.
        background: mean height of the background.
        slope: each of the Chebyshev coefficients 1 to 3 of the background, relative to its mean.
        hump: height of the amorphous hump.
        hump_s: position of the hump, s = 1/d, 1/angstrom.
        hump_width: FWHM of the hump in s, 1/angstrom.
        impurities: number of foreign lines.
        impurity: area of each foreign line.
        calibration: relative error of the intensity at the ends of the range, linear and quadratic.
        counts: quanta in the strongest line.
        reach: number of bins on either side over which a profile is followed.
    """

    anodes: tuple[str, ...] = ("Cu",)
    wavelength: Range = (0.4, 1.0)
    monochromator: Range = (0.0, 26.6)
    start: Range = (5.0, 20.0)
    stop: Range = (60.0, 140.0)
    zero: Range = (-0.05, 0.05)
    displacement: Range = (-5e-4, 5e-4)
    u: Range = (0.0, 0.02)
    v: Range = (-0.01, 0.0)
    w: Range = (0.002, 0.02)
    size: Range = (200.0, 5000.0)
    strain: Range = (1e-4, 2e-3)
    b_factor: Range = (0.2, 2.0)
    march: Range = (0.7, 1 / 0.7)
    background: Range = (3e-3, 0.1)
    slope: Range = (-0.5, 0.5)
    hump: Range = (1e-3, 0.05)
    hump_s: Range = (0.2, 0.35)
    hump_width: Range = (0.05, 0.15)
    impurities: int = 4
    impurity: Range = (0.0, 0.03)
    calibration: Range = (-0.2, 0.2)
    counts: Range = (1e3, 1e5)
    reach: int = 12

    def __post_init__(self):
        for name in self.ranges:
            low, high = getattr(self, name)
            if not -np.inf < low <= high < np.inf:
                raise ValueError(f"{name} is ({low}, {high}): give a range of two finite numbers")
            least, most = LIMITS.get(name, (0.0, 1000.0))
            if low < least or high > most:
                raise ValueError(f"{name} is ({low}, {high}): give {least:g} to {most:g}")
        for anode in self.anodes:
            if f"{anode}Ka1" not in RADIATIONS:
                known = ", ".join(name[:-2] for name in RADIATIONS if name.endswith("Ka"))
                raise ValueError(f"unknown anode {anode!r}: give some of {known}")
        if self.start[1] >= self.stop[0]:
            raise ValueError(
                f"start goes up to {self.start[1]} degrees and stop down to {self.stop[0]}: "
                "every range must end after it starts"
            )
        if self.impurities < 0 or self.reach < 1:
            raise ValueError(
                f"impurities is {self.impurities} and reach {self.reach}: "
                "give at least 0 and at least 1"
            )

    @property
    def ranges(self) -> tuple[str, ...]:
        """The names of the fields that are ranges."""
        return tuple(field.name for field in fields(self) if field.type == Range)

    @property
    def s_max(self) -> float:
        """The largest s = 1/d that any of the measurements reaches, 1/angstrom."""
        wavelengths = [radiation(f"{anode}Ka")[0].min() for anode in self.anodes]
        shortest = min(wavelengths, default=self.wavelength[0])
        return 2 * np.sin(np.radians(self.stop[1]) / 2).item() / shortest


LIMITS = {
    "wavelength": (0.05, 10.0),
    "monochromator": (0.0, 90.0),
    "start": (0.0, 180.0),
    "stop": (0.0, 180.0),
    "zero": (-5.0, 5.0),
    "displacement": (-0.1, 0.1),
    "u": (-1.0, 100.0),
    "v": (-100.0, 100.0),
    "w": (0.0, 100.0),
    "size": (1.0, 1e9),
    "march": (0.1, 10.0),
    "slope": (-1.0, 1.0),
    "hump_width": (1e-3, 10.0),
    "calibration": (-1.0, 1.0),
    "counts": (1.0, 1e12),
}
"""The limits of the ends of each range; 0 and 1000 for a range that is not listed."""

LABORATORY = Artefacts()

SYNCHROTRON = Artefacts(
    anodes=(),
    monochromator=(85.0, 90.0),
    start=(1.0, 6.0),
    stop=(30.0, 90.0),
    zero=(-0.005, 0.005),
    displacement=(0.0, 0.0),
    u=(0.0, 1e-3),
    v=(-5e-4, 0.0),
    w=(2e-5, 1e-3),
    size=(500.0, 20000.0),
    strain=(3e-5, 1e-3),
    march=(0.9, 1 / 0.9),
    background=(1e-3, 0.03),
    impurity=(0.0, 0.02),
    calibration=(-0.05, 0.05),
    counts=(1e4, 1e6),
)

NANOCRYSTAL = Artefacts(
    size=(10.0, 100.0), strain=(1e-3, 0.01), march=(1.0, 1.0), counts=(1e3, 3e4), reach=64
)

PRESETS = {"laboratory": LABORATORY, "synchrotron": SYNCHROTRON, "nanocrystal": NANOCRYSTAL}
"""The presets: Bragg-Brentano with a tube, a parallel monochromatic beam, crystals of 1-10 nm."""
