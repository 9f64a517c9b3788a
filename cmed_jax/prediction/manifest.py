"""The patterns to predict: files, folders, or the rows of a manifest."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from cmed_jax.crystal.encodings import decode
from cmed_jax.crystal.lattice import Centring
from cmed_jax.io.pattern import FORMATS
from cmed_jax.prediction.batch import Job
from cmed_jax.prediction.options import DEFAULTS, Cell, PredictionOptions

TEXT_SUFFIXES = (".xy", ".xye", ".csv", ".dat", ".txt", ".asc", ".chi")
SUFFIXES = {*TEXT_SUFFIXES, *(suffix for form in FORMATS for suffix in form.suffixes)}
"""The suffixes of files that count as patterns in a folder."""

COLUMNS = ("composition", "elements", "wavelength", "cell", "centring")
"""The columns of a manifest, apart from the file."""


def pattern_files(paths: Iterable[Path]) -> list[Path]:
    """Return the files among some paths, and the patterns in the folders among them.

    Raises:
        FileNotFoundError: if a folder holds no pattern.
    """
    return [file for path in paths for file in _files(path)]


def read_manifest(path: Path, common: PredictionOptions) -> list[Job]:
    """Return the jobs of a manifest: a CSV file with a head, and one pattern in each row.

    The columns are file, a path relative to the manifest, and those that `parse_options` reads.
    Their names are in upper or lower case. The head decides whether commas, semicolons or tabs
    separate them.

    Args:
        path: the path of the manifest.
        common: the options of all patterns, used where a column is missing or empty.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a column is unknown, a file is not named, or a value cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no manifest at {path}: give a CSV file")
    try:
        rows = _rows(decode(path.read_bytes()).splitlines())
    except (ValueError, csv.Error) as error:
        raise ValueError(f"manifest {path} is not a CSV file: {error}") from None
    if not rows:
        raise ValueError(f"manifest {path} names no pattern: give one a row")
    _check_columns(path, [name for name in rows[0] if name is not None])
    return [_job(row, f"row {i} of {path}", path.parent, common) for i, row in enumerate(rows, 1)]


def parse_options(
    written: Mapping[str, str], common: PredictionOptions = DEFAULTS
) -> PredictionOptions:
    """Return the options of a pattern, parsed from text.

    Args:
        written: the text of any of composition, elements (with spaces or commas between them),
            wavelength, cell (six numbers with spaces between them, or auto) and centring; empty
            ones are left out.
        common: the options that apply where there is no text.

    Raises:
        ValueError: if a cell or a centring cannot be read.
    """
    known: dict[str, Any] = {name: text.strip() for name, text in written.items() if text.strip()}
    if {"composition", "elements"} & known.keys():
        common = replace(common, composition=None, elements=())
    if "elements" in known:
        known["elements"] = tuple(known["elements"].replace(",", " ").split())
    if "cell" in known:
        known["cell"] = _cell(known["cell"])
    if known.get("centring", "P") not in get_args(Centring):
        raise ValueError(
            f"unknown centring {known['centring']!r}: give one of {', '.join(get_args(Centring))}"
        )
    return replace(common, **known)


def check_names(jobs: Iterable[Job]) -> None:
    """Check that no two patterns are written to the same files.

    Raises:
        ValueError: if two patterns have the same name.
    """
    jobs = list(jobs)
    (name, times), *_ = Counter(job.file.stem for job in jobs).most_common(1)
    if times > 1:
        first, second, *_ = (str(job.file) for job in jobs if job.file.stem == name)
        raise ValueError(
            f"{first} and {second} would both be written to {name}.html: rename one, or give "
            "them one by one, each with an --out of its own"
        )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(
        file
        for file in path.iterdir()
        if file.is_file() and file.suffix.lower() in SUFFIXES and file.name[0] != "."
    )
    if not files:
        raise FileNotFoundError(
            f"no pattern in {path}: give a folder with files of {', '.join(sorted(SUFFIXES))}"
        )
    return files


def _rows(lines: list[str]) -> list[dict[str, str]]:
    """Return the rows of a table, keyed by the names of its columns in lower case.

    Comments are left out, and what spreadsheets add: a first line such as "sep=;", rows of empty
    cells, and empty columns behind.
    """
    kept = [line for line in lines if line.strip(',;\t "') and line[0] != "#"]
    if kept and kept[0].lower().startswith("sep="):
        del kept[0]
    head, *body = kept or [""]
    separator = max(",;\t", key=head.count)
    empty = head[len(head.rstrip(separator)) :]
    head = head.removesuffix(empty).lower()
    names = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"it has the column {twice[0]!r} twice: give each once")
    rows = (row.removesuffix(empty) for row in body)
    return list(csv.DictReader(rows, names, delimiter=separator))


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    unknown = [name for name in columns if name not in ("file", *COLUMNS)]
    if unknown or "file" not in columns:
        wrong = f"an unknown column {unknown[0]!r}" if unknown else "no column 'file'"
        raise ValueError(
            f"manifest {path} has {wrong}: give a head of file and any of {', '.join(COLUMNS)}"
        )


def _job(row: dict[str, str], place: str, folder: Path, common: PredictionOptions) -> Job:
    if None in row or None in row.values():
        raise ValueError(f"{place} has not as many fields as the head: give one a column")
    file = row.pop("file").strip()
    if not file:
        raise ValueError(f"{place} names no file: give one in each row")
    try:
        return Job(folder / file, parse_options(row, common))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None


def _cell(text: str) -> Cell:
    if text.lower() == "auto":
        return "auto"
    words = text.replace(";", " ").split()
    # Commas are decimal where each number has its own place between blanks.
    decimal = len(words) > 1 and all(re.fullmatch(r"\d+(,\d+)?", word) for word in words)
    try:
        plain = " ".join(words).replace(",", "." if decimal else " ")
        a, b, c, alpha, beta, gamma = map(float, plain.split())
    except ValueError:
        raise ValueError(f"cell {text!r}: give a b c alpha beta gamma, or auto") from None
    return a, b, c, alpha, beta, gamma
