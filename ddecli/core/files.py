"""Files that are never half-written: made in a temporary folder beside them, fsync, rename."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ddecli.core.errors import UserError
from ddecli.core.parsing import check_shape, parse_json, parse_yaml
from ddecli.core.paths import FOLDER, readable_file, replaceable
from ddecli.core.scratch import clear_stale, scratch_beside
from ddecli.core.text import to_json

SAMPLES, SAMPLE_BYTES = 16, 2**16
"""Blocks of a file that `sampled_sha256` reads, and bytes of each."""


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk: a power cut does not undo it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> Path:
    """Create a folder for output, without what killed processes left there, or say why it cannot be."""
    replaceable(path, FOLDER)
    try:
        path.mkdir(parents=True, exist_ok=True)
        clear_stale(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    with scratch_in(path):
        pass
    return path


@contextlib.contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A temporary folder in `folder` that files may share until they are whole (`atomic_file`); removed at the end.

    Raises:
        UserError: it cannot be made.
    """
    with contextlib.ExitStack() as stack:
        try:
            scratch = stack.enter_context(scratch_beside(folder / "write"))
        except OSError as error:
            raise _not_writable(folder, error) from error
        yield scratch


def _not_writable(folder: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write to {folder}: {error.strerror or error}. Choose another --out.")


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    """What safetensors and `torch.save` (to an open file) say of a full disk becomes an OSError within it."""
    try:
        yield
    except SafetensorError as error:
        raise OSError(str(error)) from error
    except RuntimeError as error:  # torch.save reports its own surprise; the system's words are its context
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise


@contextlib.contextmanager
def atomic_file(path: Path, durable: bool = True, scratch: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it becomes `path`, else it is removed.

    A link at `path` stays one: the file it leads to is replaced.

    Args:
        durable: flush it to the disk, which takes some hundredths of a second, and remove what killed processes left
            beside it. Without, a killed process leaves nothing half-written either, but a power cut may leave an
            empty file; whoever writes many calls `sync` once for each when all are written.
        scratch: of `scratch_in` the folder of `path`, shared with files of other names; else each has one of its own,
            which for a small file takes longer than to write it.

    Raises:
        UserError: the file cannot be written (full disk, read-only folder, a device or a folder in its place). What
            was there before stays whole.
    """
    place = replaceable(path)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if durable:
            clear_stale(place.parent)
        with contextlib.ExitStack() as stack:
            own = scratch
            if own is None or own.parent != place.parent:
                own = stack.enter_context(scratch_beside(place))
            temporary = own / place.name
            with _disk_errors():
                yield temporary
            _usual_permissions(temporary, own)
            if durable:
                sync(temporary)
            temporary.replace(place)
            if durable:
                sync(place.parent)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; when the block ends well it replaces `path`, else it is removed.

    Raises:
        UserError: as `atomic_file`.
    """
    place = replaceable(path, FOLDER)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        clear_stale(place.parent)
        with scratch_beside(place) as scratch:
            temporary = scratch / place.name
            temporary.mkdir()
            with _disk_errors():
                yield temporary
            for file in temporary.rglob("*"):
                _usual_permissions(file, scratch)
                sync(file)
            replace_folder(temporary, place)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error


def _usual_permissions(path: Path, made: Path) -> None:
    """Give a file or folder the permissions that a new one has: safetensors keeps its files to their owner.

    Args:
        made: a folder that was made here just now, which has them.
    """
    usual = stat.S_IMODE(made.stat().st_mode)
    usual = usual if path.is_dir() else usual & 0o666
    if stat.S_IMODE(path.stat().st_mode) != usual:
        with contextlib.suppress(PermissionError):  # a file system that has none
            path.chmod(usual)


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`; what was there before is removed after it.

    Raises:
        OSError: they do not lie on one file system, or may not be written.
    """
    if path.exists():
        with scratch_beside(path) as scratch:
            old = path.rename(scratch / path.name)
            try:
                new.rename(path)
            except BaseException:
                old.rename(path)
                raise
    else:
        new.rename(path)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file, indented, or nothing."""
    write_text(path, to_json(value, indent=2) + "\n")


def read_json(path: Path, shape: Any = Any, way_out: str = "") -> Any:
    """Read a JSON file.

    Args:
        shape: types that it should be made of, see `check_shape`.
        way_out: what to do if it is damaged, as in "sample the images again".

    Raises:
        UserError: the file is missing, may not be read, is no JSON, or has another shape.
    """
    more = f"; {way_out}" if way_out else ""
    try:
        value = parse_json(readable_file(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}){more}.") from error
    try:
        check_shape(value, shape)
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}){more}.") from error
    return value


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a YAML file of settings, `name: value`.

    Raises:
        UserError: the file is missing, may not be read, is no YAML (see `parse_yaml`), or holds anything but settings.
    """
    try:
        values = parse_yaml(readable_file(path).read_text(encoding="utf-8"))
    except (
        OSError,
        ValueError,
    ) as error:  # ValueError: no UTF-8, a date that is none, and all of `parse_yaml`
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{path} cannot be read as YAML: {reason}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings: write one `name: value` per line.")
    return values


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        UserError: it is missing or may not be read.
    """
    with readable_file(path).open("rb", buffering=0) as file:  # it is read in large blocks
        return hashlib.file_digest(file, "sha256").hexdigest()


def sampled_sha256(path: Path) -> str:
    """SHA-256 of a file's size and of 16 blocks spread over it, in hexadecimal: at most a megabyte is read.

    It tells a file from the one that replaced it, not from a copy in which some bits flipped.
    """
    size = readable_file(path).stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek(max(0, size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of a text in UTF-8 (or a name with bytes that are none), in hexadecimal."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
