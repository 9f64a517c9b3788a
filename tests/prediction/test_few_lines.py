"""Patterns of one line or of none, folders with a bad file, and folders that cannot be written."""

import errno
import tempfile
from pathlib import Path

import numpy as np
import pytest

from cmed_jax.evaluate import Options, evaluate_baselines
from cmed_jax.io.pattern import pattern_of_columns
from cmed_jax.io.writable import check_folder
from cmed_jax.powder.cell_indexing import index_lines
from cmed_jax.powder.indexing import guessed_metrics, quadratic_forms
from cmed_jax.powder.lines import MeasuredLines
from cmed_jax.powder.preparation import Preparation, prepare
from cmed_jax.predict import _attempt
from cmed_jax.prediction.batch import Job, Output
from cmed_jax.prediction.checks import check_lines
from cmed_jax.prediction.options import PredictionOptions
from cmed_jax.prediction.predict import restore_and_predict
from cmed_jax.prediction.query import PredictionQuery
from cmed_jax.prediction.restore import Restored

ANGLE = np.arange(30, 34, 0.02)


def counted(centres):
    smooth = 50 + sum(5000 * np.exp(-(((ANGLE - centre) / 0.08) ** 2)) for centre in centres)
    return np.random.default_rng(0).poisson(smooth + 0 * ANGLE).astype(float)


def prepared(centres):
    pattern = pattern_of_columns(ANGLE, counted(centres), "CuKa1")
    return prepare(pattern, Preparation(shift=False))


@pytest.mark.parametrize("axes", ["cubic", "tetragonal", "hexagonal"])
@pytest.mark.parametrize("lines", [0, 1])
def test_one_line_tells_no_metric_of_two_numbers(axes, lines):
    forms = quadratic_forms(axes, np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1]]))
    found = guessed_metrics(axes, forms, np.full(lines, 0.1))
    assert found.shape[1] == (1 if axes == "cubic" else 2)
    assert len(found) == 0 or (axes == "cubic" and lines == 1)


def test_a_cell_is_sought_by_one_line_without_a_fault():
    cells = index_lines(MeasuredLines.of(prepared([32])))
    assert all(np.isfinite([*cell.parameters, cell.merit]).all() for cell in cells)


@pytest.mark.parametrize(("centres", "tells"), [([31.2, 32.8], True), ([32], False)])
def test_one_line_does_not_tell_a_cell_and_two_may(centres, tells):
    options = PredictionOptions("CuKa1", preparation=Preparation(shift=False))
    pattern = ANGLE, counted(centres)
    assert PredictionQuery.of(pattern, "NaCl", options, as_measured=False).tells_cell is tells


@pytest.mark.parametrize(("centres", "codes"), [([31.2, 32.8], []), ([32], ["one_line"])])
def test_one_line_is_found(centres, codes):
    assert [found.code for found in check_lines(prepared(centres))] == codes


def test_one_line_is_a_doubt(finished, known):
    pattern = ANGLE, counted([32])
    options = {"wavelength": "CuKa1", "structures": known, "grid": (6, 5, 4), "cell": "auto"}
    found = restore_and_predict(finished, pattern, "NaCl", **options)
    assert any("the pattern has one line" in doubt for doubt in found.doubts)
    assert (found.analogues, found.cells, found.searched) == ((), (), None)
    asked = restore_and_predict(finished, pattern, "NaCl", **options, search=20)
    assert asked.searched.refused == ("no cell is given, and one line tells none",)


def test_a_pattern_of_no_line_is_answered_in_a_sentence():
    with pytest.raises(ValueError, match="no peak stands out of the pattern"):
        prepared([])


@pytest.mark.parametrize("error", [IndexError("a fault\nof two lines"), ZeroDivisionError()])
def test_a_fault_about_one_file_is_stated_of_it(monkeypatch, tmp_path, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr("cmed_jax.predict.predict_to_files", fail)
    job = Job(Path("a.xy"), PredictionOptions())
    outcome = _attempt(job, Output("cubic"), Restored(None, None), tmp_path)
    assert outcome["file"] == "a.xy"
    assert "a fault of this program" in outcome["error"]
    assert type(error).__name__ in outcome["error"]
    assert "\n" not in outcome["error"]


def test_a_folder_that_cannot_be_written_is_said_before_any_work(monkeypatch, tmp_path):
    def full(**options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr(
        "cmed_jax.evaluate.EvaluationSuite", None
    )  # the evaluation would take hours
    options = Options(data=tmp_path, out=tmp_path / "new" / "folder")
    with pytest.raises(ValueError, match=r"cannot be written to .*Read-only file system.*--out"):
        evaluate_baselines(options)


def test_a_file_in_the_place_of_a_folder_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="results cannot be written to"):
        check_folder(tmp_path / "file" / "out")


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path):
    check_folder(tmp_path / "new" / "folder")
    check_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []
