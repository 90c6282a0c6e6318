"""The files of a tar, one after the other, in bounded memory: whatever the tar says of itself."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO

HEADER_BYTES = 2**18
"""A header of more bytes than this is refused (a path has 4,096, attributes rarely a few thousand)."""
_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


def tar_files(file: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, Callable[[], IO[bytes] | None]]]:
    """Each regular file of a tar, streamed, with what opens it; its bytes are skipped unless it is opened at once.

    A tar may be packed by gzip, which is unpacked as it is read; what other packers made is not unpacked.

    Raises:
        tarfile.TarError, EOFError, OSError: a damaged tar, or one with headers of absurd size.
    """
    try:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        # Not by tarfile itself, which copies each block many times.
        unpacked = gzip.GzipFile(fileobj=file) if packed else file
        with tarfile.open(fileobj=unpacked, mode="r|", tarinfo=_Member) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would remember all of them
                tar.pax_headers = {}
                if member.isfile():
                    yield member, lambda member=member: tar.extractfile(member)  # type: ignore[misc]
        while packed and unpacked.read(2**16):
            pass  # gzip's check of all bytes comes at its end
    except zlib.error as error:
        raise tarfile.ReadError(f"what gzip packed is damaged: {error}") from error
    except RecursionError as error:  # headers of headers
        raise tarfile.ReadError("it has too many headers in a row") from error


class _Member(tarfile.TarInfo):
    """A member whose headers are read only if they are small: tarfile takes them into memory, whatever their size."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > HEADER_BYTES:
            raise tarfile.ReadError(f"a header has {self.size:,} bytes, at most {HEADER_BYTES:,} are read")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("it holds a sparse file; pack it without --sparse")
        return super()._proc_member(archive)  # type: ignore[misc, no-any-return]

    def _proc_gnusparse_10(self, following: object, headers: object, archive: object) -> None:
        raise tarfile.ReadError("it holds a sparse file; pack it without --sparse")
