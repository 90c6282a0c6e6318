"""What is named in a folder lies in it, or is not read; the cache of the hub is the one exception."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hub_cache import linked_snapshot

from ddecli.core.errors import BadRow
from ddecli.core.inside import inside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "a.png").write_text("a")
    (tmp_path / "secret.png").write_text("secret")
    return path


@pytest.mark.parametrize("name", ["sub/a.png", "sub/../sub/a.png", "sub\\a.png", "./sub//a.png"])
def test_what_lies_in_the_folder(folder: Path, name: str) -> None:
    assert inside(folder, name).read_text() == "a"
    assert inside(folder, str(folder.resolve() / "sub/a.png")).read_text() == "a"


def test_what_is_not_there_is_left_to_the_reader(folder: Path) -> None:
    assert inside(folder, "none.png") == folder / "none.png"


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "sub/../../secret.png", "..\\secret.png", "/etc/passwd", "link.png", "up/secret.png"],
)
def test_what_lies_elsewhere(folder: Path, name: str) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "up").symlink_to("..")
    with pytest.raises(BadRow, match="path leaves the folder"):
        inside(folder, name)


@pytest.mark.parametrize("name", ["nul\0.png", "circle.png", "a" * 300])
def test_what_is_no_name(folder: Path, name: str) -> None:
    (folder / "circle.png").symlink_to("circle.png")
    with pytest.raises(BadRow, match="missing image"):
        inside(folder, name)


def test_links_within_the_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "again.png").symlink_to("sub/a.png")
    (tmp_path / "elsewhere").symlink_to(folder)
    assert inside(folder, "again.png").read_text() == "a"
    assert inside(tmp_path / "elsewhere", "again.png").read_text() == "a"


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_a_name_may_be_written_in_another_unicode_form(folder: Path, on_disk: str, written: str) -> None:
    (folder / unicodedata.normalize(on_disk, "café.png")).write_text("é")
    assert inside(folder, unicodedata.normalize(written, "café.png")).read_text() == "é"


def test_the_cache_of_the_hub(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture may lead into the blobs of its own repository, and to nothing else."""
    snapshot = linked_snapshot(tmp_path / "cache" / "datasets--someone--pairs", folder)
    other = linked_snapshot(tmp_path / "cache" / "datasets--someone--other", folder)
    assert (snapshot / "sub/a.png").is_symlink()
    assert inside(snapshot, "sub/a.png").read_text() == "a"
    assert inside(snapshot / "sub", "a.png").read_text() == "a"
    monkeypatch.chdir(snapshot)
    assert inside(Path("sub"), "a.png").read_text() == "a"
    (tmp_path / "mine").symlink_to(snapshot)
    assert inside(tmp_path / "mine", "sub/a.png").read_text() == "a"
    blob = (other / "sub/a.png").resolve()
    (snapshot / "other.png").symlink_to(blob)
    (snapshot / "ref.png").symlink_to("../../refs/main")
    (snapshot / "secret.png").symlink_to(tmp_path / "secret.png")
    own = (snapshot / "sub/a.png").resolve()
    (own.parent / "passed-on").symlink_to(tmp_path / "secret.png")
    (snapshot / "through.png").symlink_to("../../blobs/passed-on")
    for name in ("other.png", "ref.png", "secret.png", "through.png", f"../../blobs/{own.name}", str(own)):
        with pytest.raises(BadRow, match="path leaves the folder"):
            inside(snapshot, name)
    bare = tmp_path / "snapshots" / "1"  # no repository of the hub
    (bare.parent.parent / "blobs").mkdir()
    bare.mkdir(parents=True)
    (bare.parent.parent / "blobs" / "x").write_text("x")
    (bare / "a.png").symlink_to("../../blobs/x")
    with pytest.raises(BadRow, match="path leaves the folder"):
        inside(bare, "a.png")
