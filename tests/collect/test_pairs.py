"""Which pictures are set against each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pair_data import png

from ddecli.collect.pairs import ALONE, NO_PROMPT, SAME, UNREADABLE, Asked, pairs_of
from ddecli.core.errors import UserError


def named(asked: Asked) -> set[frozenset[str]]:
    """Folder and file of both pictures of each pair."""
    return {
        frozenset(f"{each.path.parent.name}/{each.path.name}" for each in pair.pictures)
        for pair in asked.pairs
    }


def test_pictures_of_equal_names_where_one_folder_has_the_prompts(folders: list[Path]) -> None:
    asked = pairs_of(folders)
    assert named(asked) == {frozenset({f"a/{number}.png", f"b/{number}.png"}) for number in range(4)}
    assert sorted(pair.prompt for pair in asked.pairs) == ["a cat", "a dog", "a fox", "a fox"]
    assert {pair.id for pair in pairs_of(folders[::-1]).pairs} == {pair.id for pair in asked.pairs}
    assert not asked.left_out


def test_an_id_says_what_the_pictures_hold_not_what_they_are_called(
    folders: list[Path], tmp_path: Path
) -> None:
    before = {pair.id for pair in pairs_of(folders).pairs}
    shutil.copytree(folders[1], tmp_path / "moved")
    assert {pair.id for pair in pairs_of([folders[0], tmp_path / "moved"]).pairs} == before
    (folders[1] / "0.png").write_bytes(png(99))
    assert len({pair.id for pair in pairs_of(folders).pairs} - before) == 1


def test_every_two_pictures_of_a_prompt_in_one_folder(folders: list[Path]) -> None:
    asked = pairs_of(folders[:1])
    assert named(asked) == {frozenset({"a/0.png", "a/1.png"})}
    assert asked.left_out == {ALONE: 2}
    assert len(pairs_of(folders[:1], prompt="anything").pairs) == 6


def test_every_two_of_several_folders(folders: list[Path], tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "2.jpg").write_bytes(png(50))
    asked = pairs_of([*folders, tmp_path / "c"])
    assert named(asked) - named(pairs_of(folders)) == {
        frozenset({"a/2.png", "c/2.jpg"}),
        frozenset({"b/2.png", "c/2.jpg"}),
    }


def test_tables_of_prompts_and_numbers_of_images(tmp_path: Path) -> None:
    """As in folders of sample: the same number of the same prompt, whatever the files are called."""
    for side, name in enumerate("ab"):
        folder = tmp_path / name
        folder.mkdir()
        rows = []
        for number in range(4):
            file = f"{name}{number}.png"
            (folder / file).write_bytes(png(2 * number + side))
            rows.append({"file_name": file, "prompt": f"p {number // 2}", "image_index": number % 2})
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[side:]))
    asked = pairs_of([tmp_path / "a", tmp_path / "b"])
    assert named(asked) == {frozenset({f"a/a{number}.png", f"b/b{number}.png"}) for number in (1, 2, 3)}
    assert asked.left_out == {ALONE: 1}
    (tmp_path / "prompts.txt").write_text("x\nx\ny\nz\n")
    assert len(pairs_of([tmp_path / "a"], prompts_file=tmp_path / "prompts.txt").pairs) == 1


def test_what_cannot_be_asked_is_counted(folders: list[Path]) -> None:
    (folders[1] / "0.png").write_bytes((folders[0] / "0.png").read_bytes())
    (folders[1] / "1.png").unlink()
    (folders[1] / "1.png").symlink_to(folders[1] / "nothing.png")
    (folders[1] / "9.png").write_bytes(png(90))
    (folders[0] / "8.png").write_bytes(png(91))
    asked = pairs_of(folders)
    assert len(asked.pairs) == 2
    assert asked.left_out == {SAME: 1, UNREADABLE: 1, NO_PROMPT: 1}


def test_a_limit_draws_by_the_seed(folders: list[Path]) -> None:
    drawn = [[pair.id for pair in pairs_of(folders, limit=2, seed=seed).pairs] for seed in range(12)]
    assert all(len(ids) == 2 for ids in drawn)
    assert len({frozenset(ids) for ids in drawn}) > 2
    assert drawn[3] == [pair.id for pair in pairs_of(folders, limit=2, seed=3).pairs]


def test_folders_without_pairs_are_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no two pictures of one prompt"):
        pairs_of([folders[0]], prompts_file=_lines(tmp_path / "four.txt", "abcd"))
    with pytest.raises(UserError, match=r"no image with a prompt .*--prompt"):
        pairs_of([folders[1]])
    with pytest.raises(UserError, match="given twice"):
        pairs_of([folders[0], tmp_path / "b" / ".." / "a"])
    with pytest.raises(UserError, match="does not exist"):
        pairs_of([folders[0], tmp_path / "none"])
    with pytest.raises(UserError, match="is not a folder"):
        pairs_of([folders[0] / "0.png"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="has no image files"):
        pairs_of([folders[0], tmp_path / "empty"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "0.png").write_bytes(png(40))
    (tmp_path / "other" / "0.txt").write_text("another prompt")
    with pytest.raises(UserError, match="no pictures of one prompt in common"):
        pairs_of([folders[0], tmp_path / "other"])
    for file in folders[0].glob("*.png"):
        shutil.copy(file, folders[1] / file.name)
    with pytest.raises(UserError, match="nothing is left to vote on, there are only 4 x two pictures"):
        pairs_of(folders)


def _lines(path: Path, lines: str) -> Path:
    path.write_text("\n".join(lines))
    return path
