"""Files that are never half-written: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ddecli.core.errors import UserError


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk: a power cut does not undo it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> Path:
    """Create a folder for output, or say in one sentence why it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".write-{uuid.uuid4().hex[:8]}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Cannot write to {path}: {error.strerror or error}. Choose another --out."
        ) from error
    return path


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
def atomic_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it becomes `path`, else it is removed.

    Args:
        durable: flush it to the disk, which takes some hundredths of a second. Without, a killed process leaves
            nothing half-written either, but a power cut may leave an empty file; whoever writes many calls `sync`
            once for each when all are written.

    Raises:
        UserError: the file cannot be written (full disk, read-only folder). What was there before stays whole.
    """
    path = Path(path)
    temporary = _temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _disk_errors():
            yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; when the block ends well it replaces `path`, else it is removed."""
    path = Path(path)
    temporary = _temporary_beside(path)
    try:
        temporary.mkdir(parents=True)
        with _disk_errors():
            yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        replace_folder(temporary, path)
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`; what was there before is removed after it.

    Raises:
        OSError: they do not lie on one file system, or may not be written.
    """
    if path.exists():
        old = _temporary_beside(path)
        path.rename(old)
        new.rename(path)
        shutil.rmtree(old)
    else:
        new.rename(path)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or nothing."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a whole JSON file, indented, or nothing."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is no JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON: {error}.") from error


def read_yaml(path: Path) -> dict[Any, Any]:
    """Read a YAML file of settings, `name: value`.

    Raises:
        UserError: the file is missing, is no YAML, or holds anything but settings.
    """
    import yaml

    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or a date that is none
        raise UserError(f"{path} cannot be read as YAML: {_yaml_reason(error)}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings: write one `name: value` per line.")
    return values


def _yaml_reason(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}, {getattr(error, 'problem', None) or 'no YAML'}"
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
