"""Files of the Hugging Face hub: from its cache on this machine, else over the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ddecli.core.errors import UserError

Problem = Literal["gated", "missing", "offline", "unreachable"]


def hub_problem(error: Exception) -> Problem:
    """What an error of the hub's client, of its network library or of the system means for a repository.

    `missing` is also one that the token may not see; `unreachable` is everything that is not known better.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    if isinstance(error, GatedRepoError):  # before the next: it is one of those too
        return "gated"
    if isinstance(error, RepositoryNotFoundError | HFValidationError):
        return "missing"
    return "offline" if isinstance(error, OfflineModeIsEnabled) else "unreachable"


def gated(repository: str, repo_type: str = "model") -> UserError:
    """What to do about a gated repository."""
    page = f"https://huggingface.co/{'datasets/' if repo_type == 'dataset' else ''}{repository}"
    return UserError(
        f"{repository} is gated: accept its terms on {page} and log in (hf auth login, or set HF_TOKEN)."
    )


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

    reason = ""
    try:
        folder = Path(snapshot_download(repository, repo_type=repo_type, allow_patterns=[*needed, *wanted]))
        if all(any(folder.glob(pattern)) for pattern in needed):
            return folder
    except Exception as error:
        problem = hub_problem(error)
        if problem == "gated":
            raise gated(repository, repo_type) from error
        reason = {
            "missing": " (the hub has no such repository, or HF_TOKEN may not see it)",
            "offline": " (HF_HUB_OFFLINE is set)",
        }.get(problem, f" ({type(error).__name__})")
    raise UserError(
        f"{what} ({repository}) are neither in the Hugging Face cache nor can they be fetched{reason}: {way_out}."
    )
