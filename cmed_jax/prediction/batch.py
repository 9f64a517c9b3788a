"""Jobs: patterns to be predicted one after another, and the form of their output."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import jax

from cmed_jax.io.volumes import needs_cell
from cmed_jax.prediction.diagnostics import Diagnostic
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.predict import STEPS, restore_and_predict
from cmed_jax.prediction.restore import Restored
from cmed_jax.prediction.result import NO_ELECTRONS, Prediction

JOB_STEPS = (*STEPS, "writing the files")
"""The steps of a job, in order."""

Format = Literal["npz", "npy", "cube", "xsf", "ccp4", "map", "mrc", "chgcar", "vasp"]


class Job(NamedTuple):
    """A file with a pattern, and the options of its prediction."""

    file: Path
    options: PredictionOptions

    @property
    def asked(self) -> PredictionOptions:
        """The options, with a search for the cell where the formula is given but no cell."""
        if self.options.cell is None and self.options.composition:
            return dataclasses.replace(self.options, cell="auto")
        return self.options


@dataclasses.dataclass(frozen=True)
class Output:
    """The network of all jobs, and the form in which its predictions are written.

    Attributes:
        model: the name of a released network (all), a run's folder, a checkpoint inside
            it, or the folder of a released network.
        formats: the formats of the density; all but npz and npy hold the cell, and are left out
            where it is neither given nor found.
        scale: whether the density is scaled to the number of electrons in the cell, where that is
            known, and a note says where it is not; by default it is written as predicted.
    """

    model: str
    formats: tuple[Format, ...] = ("npz",)
    scale: bool = False


def predict_job(
    job: Job,
    output: Output,
    restored: Restored,
    progress: Callable[[str], object] = lambda step: None,
) -> Prediction:
    """Predict the density behind one pattern.

    Args:
        job: the pattern and its options.
        output: the scaling of the density, and the formats that will be written.
        restored: the network.
        progress: a function that is called with each of the `STEPS` at its beginning.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the pattern or its options are unusable, or the memory does not suffice.
    """
    job.options.check()
    try:
        found = restore_and_predict(restored, job.file, None, job.asked, progress=progress)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        reason = str(error).partition("\n")[0] or "out of memory"
        raise ValueError(
            f"this machine could not compute it ({reason}): a coarser --grid or fewer --samples "
            "take less memory"
        ) from error
    notes = _left_out(found, output.formats)
    if output.scale and found.electrons is not None:
        found = found.scaled()
    elif output.scale:
        notes.append(Diagnostic("not_scaled", "note", f"not scaled: {NO_ELECTRONS}"))
    return dataclasses.replace(found, diagnostics=(*found.diagnostics, *notes))


def _left_out(prediction: Prediction, formats: tuple[Format, ...]) -> list[Diagnostic]:
    """Return a note if some formats cannot be written, else nothing."""
    wanting = [form for form in formats if needs_cell(form)]
    if prediction.lattice is not None or not wanting:
        return []
    message = (
        f"not written: {', '.join(wanting)}. The cell is not known: give it, or a composition with "
        "which it can be found"
    )
    return [Diagnostic("format_left_out", "note", message)]
