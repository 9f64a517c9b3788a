"""Predictions of rock salt, written by hand: from a profile, a list of peaks, and bins."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cmed_jax.cli import PRESETS
from cmed_jax.crystal.lattice import primitive_lattice
from cmed_jax.io.formats.scan import Radiation
from cmed_jax.io.pattern import MeasuredPattern
from cmed_jax.powder.indexing import UNSHIFTED
from cmed_jax.powder.preparation import PeakList, Preparation, Prepared
from cmed_jax.prediction.assessment import Assessment
from cmed_jax.prediction.diagnostics import Diagnostic
from cmed_jax.prediction.query import ConventionalCell
from cmed_jax.prediction.result import Prediction
from cmed_jax.solution.calculated import CalculatedPattern
from cmed_jax.solution.cell_ranking import CellCandidate

ANGLES = np.array([27.37, 31.70, 45.44, 56.47])
"""The angles of the lines, degrees, copper K-alpha."""
AREAS = np.array([10.0, 100.0, 60.0, 20.0])
CONVENTIONAL = np.array([5.64, 5.64, 5.64, 90, 90, 90])
PRIMITIVE = primitive_lattice(CONVENTIONAL, "F")
SHAPE = (10, 9, 8)


def prepared(angle, intensity, background, file, kind="profile"):
    radiation = Radiation(np.array([1.54056, 1.54439]), np.array([2, 1]) / 3)
    width = np.full(4, 0.1 if background.any() else np.nan)
    s = 2 * np.sin(np.deg2rad(ANGLES) / 2) / radiation.mean
    coverage = np.zeros(1024, np.float32)
    coverage[60:300] = 1
    return Prepared(
        measured=MeasuredPattern(angle, intensity, None, radiation, file, "columns", (), kind),
        options=Preparation(),
        radiation=radiation,
        background=background,
        net=intensity - background,
        peaks=PeakList(ANGLES, s, AREAS, width, width),
        shift=None,
        pattern=np.linspace(0, 1, 1024, dtype=np.float32),
        coverage=coverage,
        warnings=(),
    )


@pytest.fixture(scope="session")
def bins():
    """Return a prediction from a pattern on the grid of the network, without samples or a cell."""
    composition = np.zeros(119, np.float32)
    composition[[11, 17]] = 0.5
    density = np.random.default_rng(0).random(SHAPE, np.float32)
    return Prediction(
        density=density,
        std=None,
        candidates=None,
        pattern=np.linspace(0, 1, 1024, dtype=np.float32),
        coverage=np.ones(1024, np.float32),
        composition=composition,
        config=dataclasses.replace(PRESETS["demo"][1], data="data", run="runs/<demo>"),
    )


@pytest.fixture(scope="session")
def profile(bins):
    """Return a prediction from a profile, with all optional fields."""
    angle = np.arange(20.0, 60.0, 0.05)
    background = 200 * np.exp(-angle / 30)
    lines = np.exp(-(((angle - ANGLES[:, None]) / 0.1) ** 2))
    calculated = background + 10 * lines.sum(axis=0)
    return dataclasses.replace(
        bins,
        std=0.1 * bins.density,
        candidates=np.stack([0.9 * bins.density, 1.1 * bins.density]),
        coverage=np.concatenate([np.zeros(60), np.ones(240), np.zeros(724)]).astype(np.float32),
        diagnostics=(
            Diagnostic("inconsistent_question", "alarm", "check the <wavelength>"),
            Diagnostic("disagreement", "doubt", "the density does not explain the pattern"),
            Diagnostic("range", "note", "the pattern ends at <60> degrees"),
        ),
        prepared=prepared(angle, background + AREAS @ lines, background, Path("in/<halite>.xy")),
        lattice=PRIMITIVE,
        conventional=ConventionalCell(CONVENTIONAL, "F", 225),
        cells=(CellCandidate("cubic F", CONVENTIONAL, PRIMITIVE, 0.9, UNSHIFTED),),
        calculated=CalculatedPattern(
            angle, calculated, np.stack([ANGLES, 0.5 * AREAS], axis=1), 0.87, 0.4321
        ),
        assessment=Assessment(False, "check the <wavelength>"),
        electrons=28.0,
    )


@pytest.fixture(scope="session")
def peaks(profile):
    """Return a prediction from a list of peaks in columns."""
    listed = prepared(ANGLES, AREAS, np.zeros(4), None, "peaks")
    calculated = CalculatedPattern(
        ANGLES, AREAS, np.stack([ANGLES, 0.5 * AREAS], axis=1), 0.87, 0.4
    )
    return dataclasses.replace(profile, std=None, prepared=listed, calculated=calculated, cells=())
