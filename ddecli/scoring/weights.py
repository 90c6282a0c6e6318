"""Find a scorer's weights on this machine, or say in one sentence what to download."""

from __future__ import annotations

from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_file, sha256_text
from ddecli.scoring.presets import METRICS, ScorerSource

WANTED = ["*.json", "merges.txt", "model*.safetensors"]
UNWANTED = ["open_clip*"]


def find_folder(metric: str, source: ScorerSource) -> Path:
    """The local folder of a scorer's model; a hub model is downloaded into the Hugging Face cache first.

    Raises:
        UserError: no such folder, or neither cache nor network has the model.
    """
    if isinstance(source.location, Path):
        if not (source.location / "config.json").is_file():
            raise UserError(
                f"The {metric} scorer is not in {source.location} (no config.json): "
                f"give --scorer {metric}=FOLDER, a transformers CLIPModel folder."
            )
        return source.location
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(source.location, allow_patterns=WANTED, ignore_patterns=UNWANTED))
    except Exception as error:  # the hub's client raises its own, httpx's and the system's errors alike
        raise UserError(
            f"The weights of {metric} ({source.location}) are not in the Hugging Face cache, "
            "and cannot be fetched: "
            f"{METRICS[metric].way_out}."
        ) from error


def identity(source: ScorerSource, folder: Path) -> dict[str, str]:
    """What tells two versions of a model apart: the hub's revision, or the SHA-256 of a folder's weights."""
    if isinstance(source.location, str):
        return {"revision": folder.name}
    digests = [sha256_file(file) for file in sorted(folder.glob("*.safetensors"))]
    if not digests:
        raise UserError(f"{folder} has no .safetensors weights: save the model with safe serialization.")
    return {"sha256": digests[0] if len(digests) == 1 else sha256_text("\n".join(digests))}
