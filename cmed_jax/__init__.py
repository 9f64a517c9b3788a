"""From a powder X-ray diffraction pattern to the electron density of the unit cell."""

__version__ = "0.1.0"
