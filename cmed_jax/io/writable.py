"""Checks that a folder is one, and can be written to, made before hours of work."""

import tempfile
from pathlib import Path


def check_local(place: str | Path) -> None:
    """Check that a place is a folder of this machine or its network, and no address.

    Args:
        place: the place as it was given: a `Path` of an address looks like a folder.

    Raises:
        ValueError: it is an address.
    """
    if "://" in str(place):
        raise ValueError(
            f"{place} is an address: give a folder, on a disk that all processes share"
        )


def check_folder(folder: Path) -> None:
    """Check that files can be written into a folder, or into a new one of that name.

    No file is left behind.

    Raises:
        ValueError: no file can be written; the folder and the reason are named.
    """
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        if not there.is_dir():
            raise NotADirectoryError(f"{there} is a file")
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise ValueError(
            f"results cannot be written to {folder} ({error.strerror or error}): give --out FOLDER "
            "with a folder that can be written to"
        ) from None
