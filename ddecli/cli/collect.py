"""`ddecli collect`: people vote on pairs of pictures, in a page on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ddecli.cli.options import SummaryAsJson
from ddecli.core.limits import MAX_COUNT, MAX_SEED

if TYPE_CHECKING:
    from ddecli.collect.summary import Share, VotesSummary

PORT = 8765


def collect(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER ...",
            help="Folders of pictures: of ddecli sample, or any. Of several, pictures of one prompt are set against "
            "each other, those of one number, or of equal names; of one folder every two pictures of a prompt.",
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The folder of votes; votes that are there are gone on with.")
    ] = Path("votes"),
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The prompts, where the folders do not say them: as of ddecli score. If not given, metadata.jsonl, "
            "metadata.csv or a .txt beside each picture.",
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="One prompt for all pictures.")] = None,
    order: Annotated[
        Literal["random", "informative"],
        typer.Option(
            help="Which pair is asked next. informative: first those that nobody voted on, of prompts with the "
            "fewest votes, then those with the most divided votes."
        ),
    ] = "random",
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_COUNT, help="Ask so many pairs at most, drawn at random; all if not given."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED, help="Of the random order, and of what stands on the left.")
    ] = 0,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of the page, on 127.0.0.1 alone; 0 takes one that is free.")
    ] = PORT,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the page in this machine's browser.")
    ] = False,
    summary_only: Annotated[
        bool, typer.Option("--summary", help="Print what the votes say, and ask nobody.")
    ] = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Collect votes of your own: a page shows two pictures of a prompt, and people say which one is better.

    Example: `ddecli collect images/sd15 images/sd15-dde --out votes`, then `ddecli prepare --model sd15 --data votes`

    Which folder a picture came from is not shown, and sides are drawn at random. A vote is on the disk before the next
    pair is shown; Ctrl-C ends it, and the same command goes on. Several people can vote, each by name, one after the
    other or at the same time.
    """
    from ddecli.collect.ask import ask, sum_up
    from ddecli.core.console import console, echo
    from ddecli.core.errors import UserError
    from ddecli.core.text import to_json

    if summary_only:
        summary = sum_up(out)
    elif folders:
        summary = ask(
            folders, out, prompt, prompts, order=order, limit=limit, seed=seed, port=port, open_page=open_page
        )
    else:
        raise UserError(
            "Give a folder with several pictures a prompt, or two folders to set against each other."
        )
    if as_json:
        echo(to_json(summary.as_dict()))
    else:
        _print(summary)
    again = "" if summary_only else "Run the same command again to go on. "
    console.print(f"{again}To train on these votes: ddecli prepare --model MODEL --data {out}")


def _print(summary: VotesSummary) -> None:
    from rich.table import Table

    from ddecli.core.console import echo, show

    table = Table("voter", "votes", "ties", "both bad", "s a vote", "left preferred")
    for each in summary.voters:
        pace = "" if each.median_seconds is None else f"{each.median_seconds:.1f}"
        table.add_row(
            each.voter, str(each.votes), str(each.ties), str(each.both_bad), pace, _share(each.position)
        )
    show(table)
    ties = summary.pairs - summary.decided
    echo(f"{summary.pairs} pairs voted on: {summary.decided} with a preferred picture, {ties} ties.")
    side = ": a side is favoured" if summary.position.excludes_half else ""
    echo(f"Left preferred in {_share(summary.position)}{side}.")
    if summary.several:
        alpha = "" if summary.alpha is None else f"; Krippendorff's alpha {summary.alpha:.2f}"
        echo(
            f"{summary.several} pairs with several voters, {summary.unanimous} of them unanimous. Two who both "
            f"preferred a picture agreed in {_share(summary.agreement)}{alpha}."
        )
    for wins in summary.folders:
        echo(
            f"{wins.first} won {wins.first_won} pairs, {wins.second} {wins.second_won}, neither {wins.undecided}."
        )


def _share(share: Share) -> str:
    if share.low is None or share.high is None:
        return "-"
    return f"{share.count} of {share.total}, {share.count / share.total:.2f} ({share.low:.2f} .. {share.high:.2f})"
