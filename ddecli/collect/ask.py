"""Ask people: from folders of pictures to votes in a folder, and what they say."""

from __future__ import annotations

import contextlib
import signal
import webbrowser
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from ddecli.collect.ballot import Ballot
from ddecli.collect.order import Order
from ddecli.collect.pairs import pairs_of, said
from ddecli.collect.summary import VotesSummary, summary_of
from ddecli.collect.votes_file import open_votes
from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import write_json
from ddecli.data.votes import read_votes

SUMMARY = "summary.json"
ORDERS = {
    "random": "in random order (--order informative asks first where votes are missing or divided)",
    "informative": "first where votes are missing or divided (--order informative)",
}


def ask(
    folders: Sequence[Path],
    out: Path,
    prompt: str | None = None,
    prompts_file: Path | None = None,
    order: Order = "random",
    limit: int | None = None,
    seed: int = 0,
    port: int = 0,
    open_page: bool = False,
) -> VotesSummary:
    """Serve the page on which people vote, until Ctrl-C ends it; then write `summary.json` beside the votes.

    Args:
        folders, prompt, prompts_file, limit: see `pairs_of`.
        out: the folder of votes.
        port: of the page; 0 for one that is free.

    Raises:
        UserError: starlette or uvicorn is missing, there are no pairs, somebody else has the votes open, they are
            damaged, or the port is taken.
    """
    if lacking := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise UserError(f"collect needs {' and '.join(lacking)}: pip install 'ddecli[collect]'.")
    from ddecli.collect.server import address, listen, new_token, serve

    asked = pairs_of(folders, prompt, prompts_file, limit, seed)
    with open_votes(out) as file, contextlib.closing(listen(port)) as listening:
        ballot = Ballot(asked.pairs, file, seed, order)
        token = new_token()
        place = address(listening, token)
        if asked.left_out:
            console.print(f"Left out: {said(asked.left_out)}.")
        if file.lines:
            console.print(f"{out} has {len(read_votes(out))} votes already: it is gone on with.")
        console.print(f"{len(asked.pairs)} pairs to vote on, {ORDERS[order]}.")
        console.print(f"Open this address in a browser of this machine; Ctrl-C ends it:\n\n  {place}\n")
        if open_page:
            webbrowser.open(place)
        ended_by = serve(ballot, listening, token)
        summary = sum_up(out)
        write_json(out / SUMMARY, summary.as_dict())
    if ended_by != signal.SIGINT:
        raise KeyboardInterrupt
    return summary


def sum_up(out: Path) -> VotesSummary:
    """What the votes of a folder say.

    Raises:
        UserError: it holds none, or they are damaged.
    """
    return summary_of(str(out), read_votes(out))
