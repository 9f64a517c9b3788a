"""Speed of patterns and densities: `python -m benchmarks.physics`.

Every package computes the powder lines of Mo K-alpha up to two-theta = 180 degrees of the same
embedded materials, and bins them as the published pattern. The others run in as many processes as
there are cores; ours runs in one, and its compiler uses all cores. Start-up and reading the
structures are not counted, but our compilation is. braggcalculator takes part where it is installed
(it needs Python 3.12). The density is that of the records, 50 x 50 x 50 points.

On two cores a quarter of the time is spent on the host, which lists and sorts the reflections of
the sphere (6,300 pairs for the mean cubic material), mostly in a radix sort and in passes over the
box that holds the sphere. Three quarters are spent in the sum over atoms: 40 multiplications and
additions for the sine and cosine of every reflection and site, in 2 to 5 ns of a core, and four
exponentials for every reflection and species. That is a third of the peak of the vector units. The
limit is the chain of additions in each series, and not the memory.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from cmed_jax.crystal.material import Material, Refusal
from cmed_jax.crystal.sources import open_source
from cmed_jax.physics import Crystal, electron_density, reflections_of
from cmed_jax.physics.patterns import MO_K_ALPHA, published_pattern, stick_pattern

SYSTEMS = ("cubic", "trigonal")


@dataclass(frozen=True)
class Options:
    """Measure the physics engine beside other packages.

    Attributes:
        materials: number of materials of each system, the first ones.
        peers: number of these, evenly spaced, for the other packages, which take longer.
        processes: number of processes for the other packages.
    """

    materials: int = 2000
    peers: int = 2000
    processes: int = os.cpu_count() or 1


def embedded(system: str, most: int) -> list[Material]:
    """Return the first embedded materials of a crystal system."""
    found = (item for item in open_source(None) if not isinstance(item, Refusal))
    return [material for material in found if material.crystal_system == system][:most]


def ours(materials: Sequence[Material]) -> float:
    """Return the seconds that our lines and patterns take."""
    start = time.perf_counter()
    crystals = [Crystal.of(m.lattice, m.numbers, m.frac_coords) for m in materials]
    for lines in reflections_of(crystals, wavelength=MO_K_ALPHA, table="pymatgen"):
        published_pattern(lines)
    return time.perf_counter() - start


def densities(materials: Sequence[Material]) -> float:
    """Return the seconds that our densities take."""
    start = time.perf_counter()
    for material in materials:
        electron_density(Crystal.of(material.lattice, material.numbers, material.frac_coords))
    return time.perf_counter() - start


def pymatgen(material: Material) -> Callable[[], object]:
    """Return the timed function of pymatgen's powder calculator."""
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    calculator = XRDCalculator(MO_K_ALPHA)
    structure = _structure(material)

    def pattern() -> object:
        found = calculator.get_pattern(structure, two_theta_range=(0, 180))
        return stick_pattern(np.asarray(found.x), np.asarray(found.y))

    return pattern


def braggcalculator(material: Material) -> Callable[[], object]:
    """Return the timed function of braggcalculator."""
    from braggcalculator import BraggCalculator

    structure = _structure(material)
    calculator = BraggCalculator(mode="xray", wavelength=MO_K_ALPHA)

    def pattern() -> object:
        angle, intensity = calculator.load(structure).line_pattern(scaled=True)
        return stick_pattern(np.asarray(angle), np.asarray(intensity))

    return pattern


PEERS = {"pymatgen": pymatgen, "braggcalculator": braggcalculator}


def _structure(material: Material) -> object:
    from pymatgen.core import Structure

    return Structure(material.lattice, material.numbers.tolist(), material.frac_coords)


def timed(make: Callable[[Material], Callable[[], object]], material: Material) -> float:
    """Return the seconds that a package takes for one material."""
    pattern = make(material)
    start = time.perf_counter()
    pattern()
    return time.perf_counter() - start


def peer_rate(name: str, materials: Sequence[Material], processes: int) -> float:
    """Return the materials per second of another package, with all processes busy."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(partial(timed, PEERS[name]), materials[:1] * 4 * processes, 1)  # imports
        seconds = pool.map(partial(timed, PEERS[name]), materials, 1)
    return processes * len(materials) / sum(seconds)


def our_rate(
    measure: Callable[[Sequence[Material]], float], materials: Sequence[Material]
) -> float:
    """Return our materials per second, in a new process: its compilation counts."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return len(materials) / pool.apply(measure, (materials,))


def contestants(options: Options, materials: Sequence[Material]) -> Iterator[tuple[str, float]]:
    """Yield the name and the rate of each package."""
    spread = np.unique(np.linspace(0, len(materials) - 1, options.peers).astype(int))
    for name in PEERS:
        if find_spec(name):
            yield name, peer_rate(name, [materials[i] for i in spread], options.processes)
    yield "cmed_jax", our_rate(ours, materials)


def main() -> None:
    """Run the benchmark and print its tables."""
    options = tyro.cli(Options, prog="python -m benchmarks.physics")
    console = Console()
    device = jax.devices()[0]
    console.print(f"{os.cpu_count()} cores, device {device.platform} {device.device_kind}")
    for system in SYSTEMS:
        materials = embedded(system, options.materials)
        table = Table("", "materials/s", "ms each", "of pymatgen", title=f"{system}: patterns")
        rates = dict(contestants(options, materials))
        for name, rate in rates.items():
            ratio = f"{rate / rates['pymatgen']:.1f}"
            table.add_row(name, f"{rate:.1f}", f"{1e3 / rate:.2f}", ratio)
        console.print(table)
        rate = our_rate(densities, materials)
        console.print(f"{system}: {rate:.0f} densities/s ({len(materials)} materials)\n")


if __name__ == "__main__":
    main()
