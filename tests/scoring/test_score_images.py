"""Scoring a folder: values, summaries, bad images, and what is kept from an earlier time."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet, load_scores
from ddecli.core.world import FIRST_EDITION, TINY
from ddecli.scoring.clip import ClipScore, diversity_within_prompts
from ddecli.scoring.published import ScorerSource
from ddecli.scoring.score import ScoringSettings, choose_scorer_set, score_images
from ddecli.scoring.sources import read_source

MakeSample = Callable[..., Path]


@pytest.fixture
def settings(scorer_folder: Path) -> ScoringSettings:
    folders = dict.fromkeys(("clip", "hps", "pickscore"), scorer_folder)
    return ScoringSettings(("clip", "pickscore"), folders=folders, batch_size=5)


def assert_same_scores(left: ScoreSet, right: ScoreSet) -> None:
    assert left.metrics.keys() == right.metrics.keys()
    for metric, values in left.metrics.items():
        for name in ("prompt_id", "image_index", "score"):
            np.testing.assert_array_equal(getattr(values, name), getattr(right.metrics[metric], name))


def test_scores_of_a_sample(make_sample: MakeSample, settings: ScoringSettings, scorer_folder: Path) -> None:
    folder = make_sample()
    source = read_source([folder])
    scores = score_images(source, settings, folder)
    scorer = ClipScore(ScorerSource("clip", scorer_folder), "cpu")
    images = [Image.open(image.path).convert("RGB") for image in source.images]
    expected = scorer.score(images, [image.prompt for image in source.images])
    np.testing.assert_allclose(scores.metrics["clip"].score, expected.numpy(), rtol=1e-5, atol=1e-6)
    scale = scorer.model.logit_scale.detach().exp().item()
    np.testing.assert_allclose(scores.metrics["pickscore"].score, expected.numpy() * scale, rtol=1e-5)

    table = pq.read_table(folder / "scores.parquet")
    assert table.column_names == ["prompt_id", "image_index", "metric", "score"]
    assert table.num_rows == 36
    about = json.loads((folder / "scores.json").read_text())
    assert about["protocol"]["steps"] == 2
    assert set(about["scorers"]) == {"clip", "pickscore", "diversity"}
    assert_same_scores(load_scores(folder), scores)


@pytest.mark.two_threads
def test_scores_do_not_depend_on_the_batch(make_sample: MakeSample, settings: ScoringSettings) -> None:
    source = read_source([make_sample()])
    ones = score_images(source, replace(settings, batch_size=1), None)
    all_ = score_images(source, replace(settings, batch_size=64), None)
    for metric in ("clip", "pickscore", "diversity"):
        np.testing.assert_allclose(
            ones.metrics[metric].score, all_.metrics[metric].score, rtol=1e-5, atol=1e-6
        )


def test_diversity_is_the_mean_distance_to_the_other_images_of_the_prompt() -> None:
    torch.manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(6, 8), dim=-1)
    prompts = np.array(["b", "a", "b", "c", "b", "a"])
    slow = []
    for i in range(6):
        others = [j for j in range(6) if j != i and prompts[j] == prompts[i]]
        distances = [1 - float(embeddings[i] @ embeddings[j]) for j in others]
        slow.append(np.mean(distances) if distances else np.nan)
    np.testing.assert_allclose(diversity_within_prompts(prompts, embeddings), slow, rtol=1e-5)


def test_no_diversity_of_single_images(make_sample: MakeSample, settings: ScoringSettings) -> None:
    scores = score_images(read_source([make_sample(per_prompt=1)]), settings, None)
    assert set(scores.metrics) == {"clip", "pickscore"}


def test_earlier_scores_are_kept_while_images_and_model_are_the_same(
    make_sample: MakeSample,
    settings: ScoringSettings,
    other_scorer_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = make_sample()
    first = score_images(read_source([folder]), settings, folder)
    scored: list[str] = []
    encode = ClipScore.encode_pixels

    def counted(self: ClipScore, pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 1:  # one alone is the trial of a scorer that was loaded
            scored.append(self.name)
        return encode(self, pixels)

    monkeypatch.setattr("ddecli.scoring.clip_model.ClipScorer.encode_pixels", counted)
    again = score_images(read_source([folder]), settings, folder)
    assert not scored
    assert_same_scores(again, first)

    score_images(read_source([folder]), replace(settings, metrics=("hps",)), folder)
    assert set(scored) == {"hps"}
    assert set(load_scores(folder).metrics) == {"clip", "pickscore", "diversity", "hps"}

    scored.clear()
    folders = settings.folders | {"clip": other_scorer_folder}
    score_images(read_source([folder]), replace(settings, folders=folders), folder)
    assert set(scored) == {"clip"}

    scored.clear()
    Image.new("RGB", (32, 32)).save(read_source([folder]).images[0].path)
    score_images(read_source([folder]), settings, folder)
    assert set(scored) == {"clip", "pickscore"}
    assert set(load_scores(folder).metrics) == {"clip", "pickscore", "diversity"}


def spoil(path: Path, how: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(buffer, format="JPEG")
    content = {"truncated": buffer.getvalue()[:300], "html": b"<html>404</html>", "empty": b""}
    path.write_bytes(content[how])


@pytest.mark.parametrize("how", ["truncated", "html", "empty", "missing"])
def test_a_bad_image_is_skipped_counted_and_listed(
    make_sample: MakeSample, settings: ScoringSettings, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_sample()
    score_images(read_source([folder]), settings, None)
    assert "skipped" not in capsys.readouterr().err
    image = read_source([folder]).images[2].path
    if how == "missing":
        image.unlink()
    else:
        spoil(image, how)
    scores = score_images(read_source([folder]), settings, folder)
    assert all(len(values.score) == 11 for values in scores.metrics.values())
    (listed,) = [json.loads(line) for line in (folder / "scores-skipped.jsonl").read_text().splitlines()]
    assert listed["file"] == str(image)
    assert listed["reason"] == ("missing image" if how == "missing" else "unreadable image")
    said = " ".join(capsys.readouterr().err.split())
    assert f"1 images skipped (1 {listed['reason']}), listed in " in said
    assert len(score_images(read_source([folder]), settings, folder).skipped) == 1


def test_many_bad_images_stop(make_sample: MakeSample, settings: ScoringSettings) -> None:
    folder = make_sample()
    for image in read_source([folder]).images[:2]:
        spoil(image.path, "html")
    with pytest.raises(UserError, match=r"2 of 12 images .* --max-bad"):
        score_images(read_source([folder]), settings, folder)
    assert not (folder / "scores.parquet").exists()
    assert len(score_images(read_source([folder]), replace(settings, max_bad=0.5), None).skipped) == 2


def test_a_bad_image_given_by_name_stops(settings: ScoringSettings, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    Image.new("RGB", (32, 32)).save(good)
    spoil(bad, "html")
    with pytest.raises(UserError, match=r"bad\.jpg"):
        score_images(read_source([good, bad], prompt="a"), settings, None)


def test_every_kind_of_picture_is_scored(settings: ScoringSettings, tmp_path: Path) -> None:
    red = Image.new("RGB", (32, 32), (255, 0, 0))
    red.save(tmp_path / "a.png")
    red.convert("CMYK").save(tmp_path / "cmyk.jpg")
    red.convert("P").save(tmp_path / "palette.png")
    red.convert("RGBA").save(tmp_path / "alpha.png")
    red.save(tmp_path / "rotated.png", exif=_exif_orientation(6))
    Image.fromarray(np.full((32, 32), 40_000, dtype=np.uint16)).save(tmp_path / "16-bit.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "1x1.png")
    Image.new("RGB", (20_000, 4)).save(tmp_path / "wide.png")
    source = read_source([tmp_path], prompt="a red circle")
    scores = score_images(source, settings, None).metrics["clip"].score
    assert np.isfinite(scores).all()
    by_name = {image.path.name: score for image, score in zip(source.images, scores, strict=True)}
    for name in ("palette.png", "alpha.png", "rotated.png"):
        assert by_name[name] == pytest.approx(by_name["a.png"], abs=1e-6)


def _exif_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def test_scorers_go_by_the_recorded_world(make_sample: MakeSample) -> None:
    assert choose_scorer_set(read_source([make_sample("world", world=TINY, resolution=512)])) == "tiny"
    assert choose_scorer_set(read_source([make_sample("own", world=None, resolution=32)])) == "real"
    # what earlier versions wrote tells the size alone
    assert choose_scorer_set(read_source([make_sample("small", world="unsaid", resolution=64)])) == "real"


@pytest.mark.parametrize("protocol", [{"world": FIRST_EDITION, "resolution": 512}, {"world": "unsaid"}])
def test_pictures_of_an_earlier_edition_of_the_world_are_not_scored(
    make_sample: MakeSample, protocol: dict[str, object]
) -> None:
    with pytest.raises(UserError, match=r"before is of the first edition of the tiny world"):
        choose_scorer_set(read_source([make_sample("before", **protocol)]))


def test_where_nothing_is_recorded_the_guess_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for size, scorer_set in (((64, 64), "real"), ((33, 32), "real"), ((32, 32), "tiny")):
        Image.new("RGB", size).save(tmp_path / "picture.png")
        assert choose_scorer_set(read_source([tmp_path / "picture.png"], prompt="a")) == scorer_set
        said = capsys.readouterr().err
        assert ("taken for drawings of the tiny world" in said and "--family real" in said) == (
            scorer_set == "tiny"
        )
