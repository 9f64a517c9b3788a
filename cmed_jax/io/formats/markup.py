"""Safe reading of XML and of zip archives of XML from untrusted files."""

import io
import zipfile
import zlib
from xml.etree import ElementTree

from cmed_jax.io.formats.text import number_or_none

MOST_BYTES = 2**24
"""The largest size of a file, and of an unpacked member of an archive: 16 MiB.

Powder patterns are many times smaller.
"""
MOST_ELEMENTS = 500_000
"""The largest number of elements of an XML document; each takes some hundred bytes."""


class _Bounded(ElementTree.TreeBuilder):
    """A tree builder that refuses too many elements, and document types before entities grow."""

    elements = 0

    def start(self, tag: str, attrs: dict[str, str]) -> ElementTree.Element:
        self.elements += 1
        if self.elements > MOST_ELEMENTS:
            raise ValueError(f"it has more than {MOST_ELEMENTS} elements, as no pattern has")
        return super().start(tag, attrs)

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise ValueError("it declares a document type, which no instrument writes")


def parse_xml(data: bytes, name: str) -> ElementTree.Element:
    """Return the root of an XML document.

    Args:
        data: the document, in any encoding that it declares.
        name: the name of the document, for the error message.

    Raises:
        ValueError: the document is not well-formed; the line is named.
    """
    parser = ElementTree.XMLParser(target=_Bounded())
    try:
        return ElementTree.fromstring(data, parser)
    except ElementTree.ParseError as error:
        raise ValueError(f"{name} is not whole XML: {error}") from None
    except LookupError as error:
        raise ValueError(f"{name} has an unknown encoding: {error}") from None


def text_of(element: ElementTree.Element, path: str) -> str | None:
    """Return the text of the element at a path of names; namespaces are ignored."""
    found = element.find("/".join(f"{{*}}{name}" for name in path.split("/")))
    return None if found is None else found.text


def number_at(element: ElementTree.Element, name: str) -> float | None:
    """Return the number of the first descendant of a name: its `Value`, or its text."""
    found = element.find(f".//{{*}}{name}")
    if found is None:
        return None
    value = number_or_none(found.get("Value", found.text))
    unit = (found.get("Unit") or found.get("unit") or "").lower()
    return value * 10 if value is not None and unit in ("nm", "nanometer") else value


class Archive:
    """A zip archive in memory.

    Raises:
        ValueError: the data are not a zip archive, or are truncated.
    """

    def __init__(self, data: bytes):
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(data))
        except (zipfile.BadZipFile, OSError, ValueError, OverflowError, NotImplementedError):
            raise ValueError("it is not a whole zip archive") from None
        self.names = self.zip.namelist()

    def read(self, name: str) -> bytes:
        """Return a member.

        Raises:
            ValueError: the member is damaged, encrypted, of a rare compression, or unreasonably
                large.
        """
        info = self.zip.getinfo(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name[:60]} in the archive is of an unknown compression")
        try:
            with self.zip.open(info) as file:
                data = file.read(MOST_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError):
            raise ValueError(f"{name[:60]} in the archive is damaged or encrypted") from None
        if len(data) > MOST_BYTES:
            raise ValueError(f"{name[:60]} in the archive is larger than {MOST_BYTES >> 20} MiB")
        return data
