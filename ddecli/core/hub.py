"""Files of the Hugging Face hub: from its cache on this machine, else over the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddecli.core.errors import UserError


def hub_files(
    repository: str,
    needed: Sequence[str],
    what: str,
    way_out: str,
    wanted: Sequence[str] = (),
    repo_type: str = "model",
) -> Path:
    """The local folder of a hub repository (named after its revision), with the files asked for in it.

    Args:
        needed: file names or patterns, each of which must be there.
        what: what the files are, in the plural, for the error ("The weights of hps").
        way_out: what to do instead, for the error.
        wanted: patterns of files that are taken along if there are any.
        repo_type: `model` or `dataset`.

    Raises:
        UserError: neither cache nor network has them, or the repository is gated.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    reason = ""
    try:
        folder = Path(snapshot_download(repository, repo_type=repo_type, allow_patterns=[*needed, *wanted]))
        if all(any(folder.glob(pattern)) for pattern in needed):
            return folder
    except GatedRepoError:
        reason = f" (its terms must be accepted on huggingface.co/{repository}, then `hf auth login`)"
    except (
        Exception
    ) as error:  # the hub's client raises its own errors, those of its network library and the system's
        reason = f" ({type(error).__name__})"
    raise UserError(
        f"{what} ({repository}) are neither in the Hugging Face cache nor can they be fetched{reason}: {way_out}."
    )
