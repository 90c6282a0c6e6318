"""Upload of a finished model to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from accelerate import PartialState
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ddecli.core.console import console
from ddecli.core.errors import UserError


def check_can_push(repository: str) -> None:
    """What can be known before hours of training.

    Raises:
        UserError: no name of a repository, or no token.
    """
    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"--push-to-hub {repository}: {str(error).splitlines()[0]}") from error
    if repository.count("/") != 1:
        raise UserError(f"--push-to-hub {repository} must be OWNER/NAME.")
    if get_token() is None:
        raise UserError("--push-to-hub needs a token of the hub: run hf auth login first, or set HF_TOKEN.")


def push(folder: Path, repository: str) -> None:
    """Upload a model's folder; a private repository is made if there is none. Only the main process does.

    Raises:
        UserError: it failed; the model stays where it is.
    """
    if not PartialState().is_main_process:
        return
    try:
        api = HfApi()
        api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload from ddecli train")
    except Exception as error:  # whatever the network or the hub does: the training is done, and said so
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".:")
        raise UserError(
            f"The model is whole in {folder}, but was not uploaded to {repository} ({reason}): repeat it with "
            f"hf upload --private {repository} {folder}"
        ) from error
    console.print(
        f"Uploaded to https://huggingface.co/{repository}. A repository that was made for it is private: to make it "
        "public, open its Settings there.",
    )
