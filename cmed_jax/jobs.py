"""Patterns in files to densities in files: what is asked of each, and how it is written.

Everything that is written of a pattern bears its name: `halite.html`, `halite.npz`, `halite.cube`.
"""

import dataclasses
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax

from cmed_jax.crystal.composition import parse_composition
from cmed_jax.crystal.lattice import Centring, primitive_lattice
from cmed_jax.files.preparation import EVERY_STEP, Preparation
from cmed_jax.files.volumes import needs_cell
from cmed_jax.files.whole import write_text
from cmed_jax.physics.instrument import radiation
from cmed_jax.prediction import STEPS, Prediction, Restored, check_options, restore_and_predict
from cmed_jax.report.results import results

JOB_STEPS = (*STEPS, "writing the files")
"""Of a job, in their order."""
Cell = tuple[float, float, float, float, float, float] | Literal["auto"]
Format = Literal["npz", "npy", "cube", "xsf", "ccp4", "map", "mrc", "chgcar", "vasp"]


@dataclass(frozen=True)
class Known:
    """What is known of a pattern.

    Attributes:
        wavelength: a radiation such as CuKa, or angstroms; needed where a file does not say it.
        composition: a formula such as NaCl.
        elements: the elements alone, where their ratios are unknown.
        cell: a b c (angstrom) alpha beta gamma (degrees) of the conventional cell; or auto, which
            seeks it by agreement with the pattern, as is done anyway where a composition is given.
        centring: of the cell that is given; the density is that of its primitive cell. R means
            hexagonal axes, P takes the cell as primitive already.
    """

    wavelength: str | None = None
    composition: str | None = None
    elements: tuple[str, ...] = ()
    cell: Cell | None = None
    centring: Centring = "P"

    def check(self) -> None:
        """Check it before anything is computed.

        Raises:
            ValueError: wavelength, composition, elements or cell are unusable, or contradict.
        """
        if self.composition and self.elements:
            raise ValueError("give either --composition or --elements, not both")
        parse_composition(self.told)
        if self.wavelength is not None:
            radiation(self.wavelength)
        if isinstance(self.cell, tuple):
            primitive_lattice(self.cell, self.centring)
        elif self.centring != "P":
            raise ValueError(f"centring {self.centring} is of no cell: give --cell as well")

    @property
    def told(self) -> str | list[str] | None:
        """What the network is told of the composition."""
        return self.composition or list(self.elements) or None

    @property
    def sought(self) -> Cell | None:
        """The cell that is given; auto where there is none, and the formula tells its contents."""
        return self.cell or ("auto" if self.composition else None)


class Job(NamedTuple):
    """A file of a pattern, and what is known of it."""

    file: Path
    known: Known


@dataclass(frozen=True)
class Settings:
    """How every pattern is predicted, and what is written.

    Attributes:
        model: the name of a released network (cubic, trigonal), a run's folder, a checkpoint inside
            it, or the folder of a released network.
        formats: of the density; all but npz and npy hold the cell, and are left out where it is
            neither given nor found.
        samples: densities to draw beside the plain one; the surface is coloured by their deviation.
        seed: of the samples.
        grid: points along a, b, c.
        analogues: known crystals to seek beside the prediction that explain the pattern with the
            elements of the composition; their structures are written as CIF. Without any (0) there
            is no verdict on wavelength and formula.
        structures: where these crystals are: a CIF file, a folder of them, a file of JSON lines,
            ...; the embedded ones where nothing is given.
        scale: give the density as many electrons as the cell holds, where their number is known;
            by default it is written as predicted.
        preparation: which steps the pattern is prepared by.
    """

    model: str
    formats: tuple[Format, ...] = ("npz",)
    samples: int = 8
    seed: int = 0
    grid: tuple[int, int, int] = (50, 50, 50)
    analogues: int = 3
    structures: str | None = None
    scale: bool = False
    preparation: Preparation = EVERY_STEP

    def check(self) -> None:
        """Check them before a network is read.

        Raises:
            ValueError: grid, samples, analogues or structures are unusable.
        """
        check_options(self.grid, self.samples, self.analogues, self.structures)


def run(
    job: Job,
    settings: Settings,
    restored: Restored,
    out: Path,
    command: str,
    progress: Callable[[str], object] = lambda step: None,
) -> dict[str, Any]:
    """Predict the density behind one pattern, and write it, and a page of it, into a folder.

    Every file is written whole or not at all.

    Args:
        job: the pattern.
        settings: how.
        restored: the settings' model.
        out: the folder.
        command: that repeats it, such as `command_line` gives it.
        progress: is told of each of the `JOB_STEPS` when it begins.

    Returns:
        The figures of the prediction (`cmed_jax.report.results`) with the "file", the "command",
        and the names of the "files" that were written, the page first.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the pattern or what is known of it is unusable, or the memory does not suffice.
    """
    job.known.check()
    try:
        prediction = _predicted(job, settings, restored, progress)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        said = str(error).partition("\n")[0] or "out of memory"
        raise ValueError(
            f"this machine could not compute it ({said}): a coarser --grid or fewer --samples "
            "take less memory"
        ) from error
    progress(JOB_STEPS[-1])
    files = _write(prediction, out / job.file.stem, settings.formats, command)
    found = {"file": str(job.file), "command": command, "files": files}
    return found | results(prediction)


def command_line(job: Job, settings: Settings, out: Path) -> str:
    """Return the command that repeats a job."""
    words = [str(job.file)]
    for name, value in (_changed(settings) | _changed(job.known) | {"out": out}).items():
        words += _option(name, value)
    return shlex.join(["python", "-m", "cmed_jax.predict", *words])


def _predicted(
    job: Job, settings: Settings, restored: Restored, progress: Callable[[str], object]
) -> Prediction:
    found = restore_and_predict(
        restored,
        job.file,
        job.known.told,
        wavelength=job.known.wavelength,
        cell=job.known.sought,
        centring=job.known.centring,
        preparation=settings.preparation,
        grid=settings.grid,
        samples=settings.samples,
        seed=settings.seed,
        analogues=settings.analogues,
        structures=settings.structures,
        progress=progress,
    )
    if settings.scale and found.electrons is not None:
        found = found.scaled()
    return dataclasses.replace(found, notes=(*found.notes, *_left_out(found, settings.formats)))


def _left_out(prediction: Prediction, formats: tuple[Format, ...]) -> list[str]:
    """Say which formats cannot be written."""
    wanting = [form for form in formats if needs_cell(form)]
    if prediction.lattice is not None or not wanting:
        return []
    return [
        f"{', '.join(wanting)} cannot be written, as these formats hold the cell, which is not "
        "known: give it, or a composition by which it is sought"
    ]


def _write(
    prediction: Prediction, stem: Path, formats: tuple[Format, ...], command: str
) -> list[str]:
    """Write page, formats and analogues; what holds a cell only where one was found."""
    report = stem.with_name(stem.name + ".html")
    prediction.report(report, command)
    written = [report.name]
    for form in formats:
        if prediction.lattice is not None or not needs_cell(form):
            volume = stem.with_name(f"{stem.name}.{form}")
            prediction.save(volume)
            written.append(volume.name)
    for number, analogue in enumerate(prediction.analogues, 1):
        structure = stem.with_name(f"{stem.name}.analogue-{number}.cif")
        write_text(structure, analogue.cif())
        written.append(structure.name)
    return written


def _changed(options: Any) -> dict[str, Any]:
    """The fields of a dataclass, and of those in it, that are not as they are by default."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if dataclasses.is_dataclass(value):
            found |= _changed(value)
        elif value != field.default:
            found[field.name] = value
    return found


def _option(name: str, value: Any) -> list[str]:
    """The words by which a command is told of a value."""
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}", *map(str, values)]
