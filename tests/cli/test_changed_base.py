"""The weights that a run started from: noted, pinned where the hub has them, and refused when they have changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import yaml
from cli_checks import assert_one_sentence, contents
from hub_cache import OTHER_REVISION, REVISION, make_hub
from safetensors.torch import load_file, save_file
from stored_models import STORED, TENSORS

Run = Callable[..., Any]
ID = "someone/model"
STEPS = ("--device", "cpu", "--batch-size", 2, "--checkpoint-every", 1)


def settings(run: Path) -> dict[str, Any]:
    return yaml.safe_load((run / "run.yaml").read_text())


def train(ddecli: Run, model: object, store: Path, *options: object) -> Any:
    out = () if "--out" in options else ("--out", "run")
    return ddecli("train", "--model", model, "--data", store, "--loss", "uniform", *STEPS, *out, *options)


def sample(ddecli: Run, model: object, out: str) -> Any:
    short = ("--prompt", "a red circle", "--steps", 1, "--images-per-prompt", 1, "--guidance-scale", 1)
    return ddecli("sample", model, *short, "--out", out, "--device", "cpu")


def change(folder: Path, part: str = "unet") -> Callable[[], None]:
    """Replace a network's weights; returns what puts the old ones back."""
    file = next(file for file in sorted((folder / part).iterdir()) if file.suffix == ".safetensors")
    before = file.read_bytes()
    tensors = load_file(file)
    save_file({name: value * 1.5 for name, value in tensors.items()}, file, TENSORS)
    return lambda: file.write_bytes(before) and None


@pytest.mark.parametrize("stored", ["full_precision", "in_pieces", "half_precision"])
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_lora_run_whose_base_has_changed(
    ddecli: Run, sd_folder: Path, sd_store: Path, stored: str, part: str
) -> None:
    base = STORED[stored](sd_folder, Path("base"))
    data = sd_store
    if stored == "half_precision":
        data = Path("pairs")
        assert ddecli("prepare", "--model", base, "--data", own_pairs(), "--out", data).code == 0
    assert train(ddecli, base, data, "--lora", 2, "--steps", 2).code == 0
    assert sample(ddecli, "run", "before").code == 0
    put_back = change(base, part)
    kept = contents("run")
    assert_one_sentence(sample(ddecli, "run", "after"), "The weights of base have changed", "LoRA run run")
    assert not contents("after")
    resumed = train(ddecli, base, data, "--lora", 2, "--steps", 3, "--resume")
    assert_one_sentence(resumed, "The weights of base have changed since run was started")
    again = ddecli("train", "--config", "run/run.yaml", "--out", "again")
    assert_one_sentence(again, "The weights of base are not those of the run to repeat")
    on_top = train(ddecli, "run", data, "--lora", 2, "--steps", 1, "--out", "second")
    assert_one_sentence(on_top, "The weights of base have changed since the LoRA run run")
    assert contents("run") == kept and not contents("again") and not contents("second")
    put_back()
    assert sample(ddecli, "run", "after").code == 0
    assert contents("after") == contents("before")
    assert train(ddecli, base, data, "--lora", 2, "--steps", 3, "--resume").code == 0


def own_pairs() -> Path:
    from pair_data import write_folder

    rows = [{"prompt": "a", "chosen": f"{2 * i}.png", "rejected": f"{2 * i + 1}.png"} for i in range(4)]
    return write_folder(Path("data"), rows, pictures=8)


def test_a_run_on_top_of_runs(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    """Each notes what it started from, LoRA weights of the earlier ones included."""
    for name, model in (("first", sd_folder), ("second", "first"), ("third", "second")):
        assert train(ddecli, model, sd_store, "--lora", 2, "--steps", 1, "--out", name).code == 0
    assert sample(ddecli, "third", "images").code == 0
    assert len({settings(Path(name))["model_sha256"] for name in ("first", "second", "third")}) == 3
    shutil.copytree("second/model", "first/model", dirs_exist_ok=True)
    assert_one_sentence(sample(ddecli, "third", "images"), "LoRA run second")


def test_a_full_run_whose_base_has_changed(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    """It is its own model, and is sampled; it cannot be resumed, nor repeated."""
    base = Path(shutil.copytree(sd_folder, "base"))
    assert train(ddecli, base, sd_store, "--steps", 2).code == 0
    change(base)
    assert sample(ddecli, "run", "images").code == 0
    resumed = train(ddecli, base, sd_store, "--steps", 3, "--resume")
    assert_one_sentence(resumed, "The weights of base have changed since run was started from them")
    assert train(ddecli, base, sd_store, "--steps", 2, "--overwrite").code == 0
    other = ("--model", sd_folder, "--config", "run/run.yaml", "--out", "other")
    assert ddecli("train", *other).code == 0  # another model, said so


def test_runs_of_earlier_versions_noted_no_weights(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    base = Path(shutil.copytree(sd_folder, "base"))
    assert train(ddecli, base, sd_store, "--lora", 2, "--steps", 2).code == 0
    older = {key: value for key, value in settings(Path("run")).items() if not key.startswith("model_")}
    Path("run/run.yaml").write_text(yaml.safe_dump(older))
    assert sample(ddecli, "run", "images").code == 0
    assert train(ddecli, base, sd_store, "--lora", 2, "--steps", 3, "--resume").code == 0
    assert settings(Path("run"))["model_sha256"]


@pytest.fixture
def two_revisions(tmp_path: Path, sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A model of the hub whose main branch has the weights of `sd_folder`, and others under the tag v2."""
    add = make_hub(tmp_path / "hub", monkeypatch)
    add(ID, sd_folder)
    other = tmp_path / "other"
    pipeline = tiny_models.sd_pipeline(seed=1)
    first = tiny_models.sd_pipeline()
    pipeline.register_modules(vae=first.vae, text_encoder=first.text_encoder)  # the pairs fit both
    pipeline.save_pretrained(other)
    add(ID, other, revision=OTHER_REVISION, name="v2")
    return lambda: add(ID, other, revision=OTHER_REVISION)


def unet_of(images: str) -> str:
    return json.loads((Path(images) / "protocol.json").read_text())["model"]["unet_sha256"]


def test_a_model_of_the_hub_at_a_revision(
    ddecli: Run, sd_store: Path, two_revisions: Callable[..., Path]
) -> None:
    for name, out in ((ID, "main"), (f"{ID}@{REVISION}", "commit"), (f"{ID}@v2", "tag")):
        assert sample(ddecli, name, out).code == 0
    assert unet_of("main") == unet_of("commit") != unet_of("tag")
    assert_one_sentence(
        sample(ddecli, f"{ID}@v3", "none"), f"{ID}@v3 is not in the local cache", "--revision v3"
    )
    assert train(ddecli, f"{ID}@v2", sd_store, "--steps", 1).code == 0
    assert settings(Path("run"))["model_revision"] == OTHER_REVISION
    command = ("--prompt", "a", "--steps", 1, "--images-per-prompt", 1, "--device", "cpu")
    assert ddecli("sample", f"{ID}@v2", *command).code == 0
    assert Path("images/model@v2").is_dir()


@pytest.mark.parametrize("options", [(), ("--lora", 2)])
def test_a_run_stays_on_the_revision_it_started_from(
    ddecli: Run, sd_store: Path, two_revisions: Callable[..., Path], options: tuple[object, ...]
) -> None:
    assert train(ddecli, ID, sd_store, "--steps", 2, *options).code == 0
    assert sample(ddecli, "run", "before").code == 0
    two_revisions()  # main moves on
    assert sample(ddecli, ID, "new").code == 0
    assert sample(ddecli, "run", "after").code == 0
    assert unet_of("after") == unet_of("before")
    assert train(ddecli, ID, sd_store, "--steps", 3, "--resume", *options).code == 0
    assert ddecli("train", "--config", "run/run.yaml", "--out", "again").code == 0
    noted = [settings(Path(run)) for run in ("run", "again")]
    assert {run["model_revision"] for run in noted} == {REVISION}
    assert len({run["model_sha256"] for run in noted}) == 1


def test_what_a_run_tells_of_its_base(
    ddecli: Run, sd_folder: Path, sd_store: Path, two_revisions: Callable[..., Path]
) -> None:
    from ddecli.models.digests import model_sha256

    assert train(ddecli, ID, sd_store, "--lora", 2, "--steps", 1).code == 0
    digest = model_sha256(sd_folder)
    noted = settings(Path("run"))
    assert (noted["model"], noted["model_revision"], noted["model_sha256"]) == (ID, REVISION, digest)
    performance = json.loads(Path("run/perf.json").read_text())
    assert performance["model"] == {"name": ID, "revision": REVISION, "sha256": digest}
    card = Path("run/model/README.md").read_text()
    assert f"| model_revision | {REVISION} |" in card and f"| model_sha256 | {digest} |" in card
    assert f'from_pretrained(base, revision="{REVISION}", dtype=torch.float32)' in card
    assert f"base_model: {ID}\n" in card
