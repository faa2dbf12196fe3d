"""What the machine, the network or a damaged file did to a command, said as an error that a user can act on.

Libraries pass on such failures in types of their own, Spark as pages of Java: they are told by error number, by type
or by the words that the operating system has for them. What is not known here keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobs.errors import BadInput, LostWork, NightlensError

_IS_FULL = {errno.ENOSPC, errno.EDQUOT}
_IS_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}
_IS_NO_PLACE = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP}
_FULL = re.compile(
    "No space left on device|Disk quota exceeded|database or disk is full|max_temp_directory_size", re.IGNORECASE
)
_REFUSED = re.compile(
    "Read-only file system|attempt to write a readonly database|Permission denied|Input/output error", re.IGNORECASE
)
_DAMAGED = re.compile(
    r"CRC checksum verification failed|is not a Parquet file|FAILED_READ_FILE\.NO_HINT", re.IGNORECASE
)  # the last is what Spark says of whatever is wrong with a file that is there
_PART = re.compile(r"(?:file:)?/[^\s'\",]*\.parquet")
_DEPTH = 20
_STORE_LIBRARIES = {"botocore", "aiobotocore", "gcsfs", "google", "adlfs", "azure", "aiohttp"}


def explain(error: BaseException, places: Sequence[str]) -> NightlensError | None:
    """Return what to tell the user of an error that ended a command; None for one that nobody expected.

    `places` are the folders and addresses that the command writes to, none if the settings do not say.
    """
    for one in _chain(error):
        if isinstance(one, NightlensError):
            return one
        known = _of_object_store(one, places) or _of_storage(one, places)
        known = known or _of_memory(one) or _of_content(one)
        if known is not None:
            return known
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came of."""
    one: BaseException | None = error
    for _ in range(_DEPTH):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _of_storage(error: BaseException, places: Sequence[str]) -> NightlensError | None:
    number = error.errno if isinstance(error, OSError) else None
    text = "" if number is not None else str(error)
    named = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    if number in _IS_FULL or _FULL.search(text):
        return LostWork(
            "disk_full",
            f"{named}no space left ({_room(places)}). Free some and run the same command again; what was not "
            f"committed does not count.",
            path=getattr(error, "filename", None),
        )
    if number in _IS_NO_PLACE and named:
        return BadInput(
            "unusable_path",
            f"{named}{os.strerror(number or 0)}. Name another file or folder.",
            path=getattr(error, "filename", None),
        )
    refused = _REFUSED.search(text)
    if number in _IS_REFUSED or refused:
        reason = refused.group() if refused else os.strerror(number or 0)
        return NightlensError(
            "storage_refused",
            f"{named or ' or '.join(places) + ': '}{reason}. Let the user who runs this read "
            f"and write there (mount options, owner, disk), then run the same command again.",
            path=getattr(error, "filename", None),
        )
    return None


def _of_object_store(error: BaseException, places: Sequence[str]) -> NightlensError | None:
    """Explain what the libraries of object stores raise in types of their own: no credentials, no answer, a refusal."""
    if type(error).__module__.partition(".")[0] not in _STORE_LIBRARIES:
        return None
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    text = (
        f"an object store cannot be used: {reason}. Check that the environment has its credentials and address (for "
        f"s3 AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL). Check NIGHTLENS_LAKE_URI, "
        f"NIGHTLENS_ARTIFACT_URI and the data set's address ({', '.join(places)}). Then run the same command again."
    )
    if re.search("Connect|Timeout", type(error).__name__):
        return LostWork("object_store_out_of_reach", text, places=list(places))
    return NightlensError("object_store_refused", text, places=list(places))


def _room(places: Sequence[str]) -> str:
    """Return how much room there is where a command writes."""
    told = {}
    for place in (*places, tempfile.gettempdir()):
        if Path(place).is_dir():
            told[place] = f"{place} has {shutil.disk_usage(place).free / 2**20:,.0f} MiB"
    return ", ".join(told.values())


def _of_memory(error: BaseException) -> NightlensError | None:
    if "java.lang.OutOfMemoryError" in str(error):
        return NightlensError(
            "java_out_of_memory",
            "Java ran out of memory. Give Spark's driver more, such as NIGHTLENS_SPARK_DRIVER_MEMORY=6g, and run the "
            "same command again.",
        )
    if type(error).__module__.endswith("duckdb") and type(error).__name__ == "OutOfMemoryException":
        return NightlensError(
            "query_out_of_memory",
            "a query ran out of memory. Give queries more, such as NIGHTLENS_QUERY_MEMORY_MB=4096, and run the same "
            "command again.",
        )
    if isinstance(error, MemoryError):
        return LostWork(
            "out_of_memory", f"out of memory ({error}). Run the same command again when less else runs on this machine."
        )
    return None


def _of_content(error: BaseException) -> NightlensError | None:
    from models.indexing.files import UnusableIndex
    from models.search.errors import ModelError

    if isinstance(error, (ModelError, UnusableIndex)):
        return BadInput(error.code, str(error), **error.named)
    if _DAMAGED.search(str(error)):
        part = _PART.search(str(error))
        return BadInput(
            "stored_part_damaged",
            f"{'a stored part' if part is None else part.group()} is damaged: its checksum differs, or it is cut. "
            f"Delete that file and run the same command again, which computes its rows anew.",
            path=None if part is None else part.group(),
        )
    return None
