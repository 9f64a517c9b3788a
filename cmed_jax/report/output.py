"""The files of a prediction: its page, its densities, and structures that explain the pattern."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cmed_jax.io.atomic import write_text
from cmed_jax.io.volumes import needs_cell
from cmed_jax.prediction.batch import JOB_STEPS, Format, Job, Output, predict_job
from cmed_jax.prediction.restore import Restored
from cmed_jax.prediction.result import Prediction
from cmed_jax.prediction.results import results
from cmed_jax.report.prediction_page import page


def predict_to_files(
    job: Job,
    output: Output,
    restored: Restored,
    out: Path,
    command: str,
    progress: Callable[[str], object] = lambda step: None,
) -> dict[str, Any]:
    """Predict the density behind one pattern, and write the density and its page into a folder.

    Every file is written whole or not at all.

    Args:
        job: the pattern and its options.
        output: the formats and the scaling of the density.
        restored: the network.
        out: the folder.
        command: the command that repeats the job (`cmed_jax.predict.command_line`).
        progress: a function that is called with each of the `JOB_STEPS` at its beginning.

    Returns:
        The figures of the prediction (`cmed_jax.prediction.results`) with the "file", the
        "command", and the names of the written "files", the page first.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the pattern or its options are unusable, or the memory does not suffice.
    """
    prediction = predict_job(job, output, restored, progress)
    progress(JOB_STEPS[-1])
    files = _write(prediction, out / job.file.stem, output.formats, command)
    return {"file": str(job.file), "command": command, "files": files} | results(prediction)


def write_report(prediction: Prediction, path: str | Path, command: str | None = None) -> None:
    """Write the page of a prediction, which opens without access to the internet.

    Args:
        prediction: the prediction to show.
        path: the path of the HTML file.
        command: the command that repeats the prediction, where there is one.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    write_text(path, page(prediction, command))


def _write(
    prediction: Prediction, stem: Path, formats: tuple[Format, ...], command: str
) -> list[str]:
    """Write the page, the densities and the structures, and return the names of the files.

    Formats that hold the cell are written only where it is known.
    """
    report = stem.with_name(stem.name + ".html")
    write_report(prediction, report, command)
    written = [report.name]
    for form in formats:
        if prediction.lattice is not None or not needs_cell(form):
            volume = stem.with_name(f"{stem.name}.{form}")
            prediction.save(volume)
            written.append(volume.name)
    if prediction.rietveld is not None:
        refined = stem.with_name(f"{stem.name}.rietveld.cif")
        write_text(refined, prediction.rietveld.cif)
        written.append(refined.name)
    for number, solved in enumerate(prediction.structures, 1):
        structure = stem.with_name(f"{stem.name}.structure-{number}.cif")
        write_text(structure, solved.cif())
        written.append(structure.name)
    return written
