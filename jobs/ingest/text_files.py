"""Files of delimited text: decompressed and in UTF-8, their header and form, and stretches of whole records of them.

Knows no table by name. What a record is, `jobs.ingest.records` says.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import fsspec
import pyarrow as pa

from jobs.errors import BadInput, MissingInput
from jobs.ingest.records import MAX_LINES, Form, is_whole, learn_form, read_line, stands_alone

COMPRESSIONS = {"gz": "gzip", "zst": "zstd"}
SEPARATORS = (",", ";", "\t", "|")
_LEARNED_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 20
_MAX_STRETCH_BYTES = 1 << 30


@dataclass(frozen=True)
class Head:
    """The first line of a file: the columns as they are written, its length in bytes; and how its records look."""

    names: tuple[str, ...]
    byte_count: int
    form: Form


def compression(name: str) -> str | None:
    """Return how a file of this name is compressed, as pyarrow calls it; None if it is not."""
    return COMPRESSIONS.get(name.rpartition(".")[2].lower())


@contextmanager
def open_text(uri: str, encoding: str = "utf-8") -> Iterator[BinaryIO]:
    """Open a file of text: what is read is decompressed, and UTF-8 if the file is of another `encoding`.

    Bytes that are no text in another encoding are read as U+FFFD; a file of UTF-8 is read as it is. Raises `BadInput`
    when a broken compressed file is read up to where it is broken, or a file of UTF-16 has no byte order mark.
    """
    fs, path = fsspec.url_to_fs(uri)
    kind = compression(path)
    with fs.open(path, "rb") as raw:
        try:
            if kind is None:
                yield _in_utf8(raw, encoding)
                return
            with pa.CompressedInputStream(raw, kind) as stream:
                yield _in_utf8(cast(BinaryIO, io.BufferedReader(stream, _BLOCK_BYTES)), encoding)
        except UnicodeError as error:
            raise BadInput("unreadable_file", f"{path} is not in {encoding}: {error}", path=path) from error
        except OSError as error:
            if kind is None:
                raise
            raise BadInput(
                "unreadable_file",
                f"{path} cannot be decompressed with {kind}: {error}. It is cut or broken: copy it anew",
                path=path,
            ) from error


def _in_utf8(file: BinaryIO, encoding: str) -> BinaryIO:
    if codecs.lookup(encoding).name == "utf-8":
        return file
    return cast(BinaryIO, io.BufferedReader(_Transcoded(file, encoding), _BLOCK_BYTES))


class _Transcoded(io.RawIOBase):
    """A file of another encoding, read as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file, self._left = file, b""
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            block = self._file.read(_BLOCK_BYTES)
            self._left = self._decoder.decode(block, final=not block).encode(errors="replace")
            if not block:
                break
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def skip(file: BinaryIO, byte_count: int) -> None:
    """Go on by so many bytes: at once, or by reading them where a file cannot be entered in the middle."""
    if file.seekable():
        file.seek(byte_count, io.SEEK_CUR)
        return
    while byte_count > 0 and (block := file.read(min(byte_count, _BLOCK_BYTES))):
        byte_count -= len(block)


def find_separator(line: str, expected: str | None = None) -> str:
    r"""Return what separates the columns of a header: what is expected if it is there, else the commonest separator.

    >>> find_separator("a;b;c"), find_separator("a;b,c", ","), find_separator("a", "\t"), find_separator("a|b", ";")
    (';', ',', '\t', '|')
    """
    commonest = max(SEPARATORS, key=line.count)
    return expected if expected is not None and (expected in line or commonest not in line) else commonest


def read_head(
    file: BinaryIO, path: str, delimiter_of: Callable[[bytes], bytes], spelled: Callable[[str], str] = str
) -> Head:
    """Read the head of a file from its beginning; `delimiter_of` tells the delimiter by the first line.

    `spelled` is applied to the names of the columns, before they are compared.

    Raises `MissingInput` if there is no such line, `BadInput` if it names a column twice.
    """
    line = file.readline(_BLOCK_BYTES)
    if not line.strip():
        raise MissingInput("empty_file", f"{path} is empty: its first line must name the columns", path=path)
    delimiter = delimiter_of(line)
    text = line.removeprefix(codecs.BOM_UTF8).rstrip(b"\r\n")
    cells = read_line(text, delimiter) or text.split(delimiter)
    names = tuple(spelled(cell.decode(errors="replace").strip().strip('"')) for cell in cells)
    refuse_repeated(names, path)
    first = file.read(_LEARNED_BYTES)
    if len(first) == _LEARNED_BYTES:
        first = first[: first.rfind(b"\n") + 1]
    return Head(names, len(line), learn_form(first, delimiter, len(names), line.endswith(b"\r\n")))


def refuse_repeated(names: Sequence[str], path: str) -> None:
    """Raise `BadInput` if columns of a file have one name."""
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise BadInput(
            "repeated_column",
            f"{path} names the column {repeated[0]} more than once: rename or remove one of them",
            path=path,
            column=repeated[0],
        )


def stretches(file: BinaryIO, form: Form, byte_count: int, path: str) -> Iterator[bytes]:
    """Yield the rest of a file, which begins at a record in line 2, in stretches of about `byte_count`.

    A stretch ends where a record must end, so what is read does not depend on the cuts: after a line that is a record
    wherever it stands (`records.is_whole`), or after so many lines that each stand alone that no record reaches over.
    """
    line = 2
    while block := file.read(byte_count):
        pieces, length, alone_count = [block], len(block), 0
        last = block[block.rfind(b"\n") + 1 :]
        while more := file.readline():
            pieces.append(more)
            last, length = last + more, length + len(more)
            alone_count = alone_count + 1 if stands_alone(last, form) else 0
            if alone_count >= MAX_LINES or is_whole(last, form):
                break
            last = b""
            if length > _MAX_STRETCH_BYTES:
                raise BadInput(
                    "endless_line",
                    f"{path}: from line {line} on, a gigabyte has no line of {form.column_count} columns, the number "
                    f"its header names. Check the header and the delimiter.",
                    path=path,
                    line=line,
                )
        stretch = b"".join(pieces)
        yield stretch
        line += line_count(stretch)


def line_count(data: bytes) -> int:
    """Return the number of lines of data, the last of which may lack its end."""
    return data.count(b"\n") + (not data.endswith(b"\n"))
