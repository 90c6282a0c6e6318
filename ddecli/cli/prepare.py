"""`ddecli prepare`: preference pairs to a pair store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ddecli.cli.completion import models
from ddecli.cli.feedback import GENERATED, draw, drawing_of, pairs_of_sample, refuse_options
from ddecli.cli.options import Device, SummaryAsJson, parse_shard
from ddecli.cli.prompts import named_prompts
from ddecli.cli.relabel import deciding_metrics, load_relabel, thresholds_of
from ddecli.cli.stores import WORLD, default_data, default_store, print_store
from ddecli.core.errors import UserError
from ddecli.core.limits import MAX_BATCH, MAX_COUNT, MAX_SEED, MAX_WORKERS
from ddecli.core.world import WORLD_PAIRS

if TYPE_CHECKING:
    from ddecli.data.relabel import Decided, Relabel


def prepare(
    model: Annotated[
        str,
        typer.Option(
            autocompletion=models,
            help="Whose autoencoder and text encoders are used: a preset (tiny, tiny-xl, sd15, sdxl), a "
            "diffusers folder, a run folder or a hub id (owner/name or owner/name@revision).",
        ),
    ] = "tiny",
    data: Annotated[
        str | None,
        typer.Option(
            help="world (pairs of the built-in world); a folder of votes of ddecli collect; one with metadata.jsonl or "
            "metadata.csv beside its pictures, with w/ and l/ (pictures of equal names, prompts in .txt), of parquet "
            "shards, WebDataset tars, or HPDv2's or HPDv3's train.json; a .parquet, .jsonl, .csv, .json or .tar file, "
            "or what Label Studio exported; "
            "pickapic, or any data set of the Hugging Face hub as owner/name, streamed; or, with --relabel, a folder "
            "of ddecli sample that was scored: its images are set against each other. world for tiny models if not "
            "given."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Split of the data, or a pattern such as 'train_*'; train where there are splits, if not given."
        ),
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(
            help="Subset of a data set of the hub that has several (datasets calls them configurations); the default "
            "one if not given."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the store; pairs/DATA-MODEL if not given.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CANONICAL=ACTUAL",
            help="Name a column of the data; repeat it, or separate with commas. Canonical names: prompt, "
            "chosen, rejected; or prompt, image_0, image_1 with label_0 (1, True or win: the first was preferred; 0, "
            "False or lose: the second; 0.5: a tie), votes_0, votes_1, or winner (number, name, side or model of a "
            "picture); or prompt, images, ranks. Usual names are found without it.",
        ),
    ] = None,
    winners_only: Annotated[
        bool,
        typer.Option(
            "--winners-only",
            help="The data are pictures with captions (an image folder with .txt files or metadata.jsonl, tars of .jpg "
            "and .txt, columns prompt and image), and no pairs: for --loss sft, and for self-play, whose rejected "
            "pictures the model draws.",
        ),
    ] = False,
    holdout: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="Keep the pairs of this share of the prompts out of training: they go to a second store, "
            "OUT-holdout. Which prompts depends on their texts alone.",
        ),
    ] = 0.0,
    exclude_prompts: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE or NAME",
            help="Drop pairs whose prompt is in this set (upper and lower case and spaces aside): what ddecli sample "
            "--prompts takes, such as world:validation or prompts.txt. Repeat it.",
        ),
    ] = None,
    relabel: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC",
            help="Let a scorer decide which picture is preferred, instead of the data's labels (AI feedback): any that "
            "ddecli score has. Repeat it, and the majority of the scorers decides. Equal scores and draws are ties. "
            "The tiny world's scorers for tiny models. none, or not given: the labels decide.",
        ),
    ] = None,
    relabel_threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[METRIC=]X",
            help="Scores that differ by less than X are equal to the scorer of --relabel; of several scorers "
            "METRIC=X, repeated. 0 if not given.",
        ),
    ] = None,
    pairs: Annotated[
        Literal["best-worst", "all"] | None,
        typer.Option(
            help="Of a sample's images: the best of each prompt against the worst, or every two that are not equal; "
            "best-worst if not given. Of several scorers the best wins most of all their comparisons."
        ),
    ] = None,
    generate: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_BATCH,
            metavar="N",
            help="Instead of --data: draw N images a prompt as ddecli sample does, into OUT-images, and score them "
            "with --relabel. For other steps or guidance, run ddecli sample and ddecli score, and give --data.",
        ),
    ] = None,
    from_model: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="What draws them: anything that ddecli sample takes; --model if not given.",
        ),
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[=PATH] or FILE",
            help="What they are drawn for: as of ddecli sample, but not what you evaluate with. Tiny models take "
            "world:train if not given.",
        ),
    ] = None,
    num_prompts: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, help="Draw for the first prompts only.")
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=FOLDER",
            help="Weights of a scorer of --relabel from a folder, as ddecli score takes them.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_COUNT,
            help=f"Use the first pairs only; if not given, all (of the world {WORLD_PAIRS:,}).",
        ),
    ] = None,
    max_bad: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Largest share of damaged or incomplete rows; above it nothing is written. Ties and "
            "duplicates are dropped and do not count.",
        ),
    ] = 0.01,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_BATCH,
            help="Pictures encoded at once: speed and memory only. 32 up to 256 pixels, 16 at 512, 4 at "
            "1024, if not given.",
        ),
    ] = None,
    latent_dtype: Annotated[
        Literal["auto", "float16", "float32"],
        typer.Option(
            help="Precision in which latents and text embeddings are stored; auto is float32 when a latent "
            "has at most 1,024 numbers, else float16."
        ),
    ] = "auto",
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option(help="Precision of the encoders. SDXL's own autoencoder stays in float32 with float16."),
    ] = "float32",
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MAX_WORKERS,
            help="Threads that read and decode pictures; one per core, at most 16, if not given.",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="Do only the I-th of N shards (1/4 ... 4/4), each in its own process, all with the same --out; the "
            "last to finish joins them, and so does the command without --shard. Under accelerate launch it is set "
            "for you, with one GPU per process.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_SEED,
            help="Decides the pairs of the world, and the images of --generate, whose own seed is 1,000,000 more: no "
            "evaluation has it by default. Other data ignore it.",
        ),
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a store that is there.")] = False,
    as_json: SummaryAsJson = False,
) -> None:
    """Encode every picture and prompt of preference pairs once, into a store that training reads.

    Example: `ddecli prepare --model sd15 --data my-pairs/ --holdout 0.1`

    Example: `ddecli prepare --model sd15 --generate 4 --prompts train.txt --relabel pickscore`

    A stopped command goes on where it stopped when it is run again, and gives the same store.
    """
    from ddecli.core.imports import importing

    with importing(defer=True):
        import torch

        from ddecli.core.devices import choose_device
        from ddecli.core.protocol import is_sample
        from ddecli.data.mapping import parse_mapping
        from ddecli.data.prepare import prepare_with
        from ddecli.data.sources.base import Wanted
        from ddecli.data.sources.registry import open_source
        from ddecli.data.splits import PromptSplit
        from ddecli.data.store_plan import refuse_other_content
        from ddecli.models.presets import resolve
        from ddecli.tinyworld.pairs import world_source

    encoder = resolve(model)
    decide = thresholds_of(deciding_metrics(relabel or []), relabel_threshold or [])
    drawing = None
    if generate is None:
        refuse_options("without", {"from": from_model, "prompts": prompts, "num-prompts": num_prompts})
    else:
        own = {"data": data, "split": split, "subset": subset, "columns": columns}
        refuse_options("with", own | {"winners-only": winners_only or None})
        drawing = drawing_of(from_model or model, generate, prompts, num_prompts, tuple(decide), seed)
        data = GENERATED
    data = data or default_data(encoder)
    out = out or default_store(model, data, subset)
    share = parse_shard(shard)
    refuse_other_content(out)  # whether a store that is there may stay is known when the data are
    kept = PromptSplit.make(holdout, _excluded(exclude_prompts or []))
    where = choose_device(device)
    if drawing is not None:
        data = draw(drawing, out, where, share, scorer or [], overwrite)
        scorer = None
    decides: Relabel | Decided | None = None
    if winners_only and (decide or data == WORLD):
        which = "--relabel has nothing to compare" if decide else "the world has pairs"
        raise UserError(f"--winners-only: {which}; leave one of both out.")
    if data != WORLD and not columns and not winners_only and is_sample(Path(data)):
        source, decides = pairs_of_sample(data, decide, pairs == "all", scorer or [])
    elif pairs is not None:
        raise UserError(f"--pairs {pairs} is for the images of a sample, which {data} is not: leave it out.")
    elif data == WORLD:
        source = world_source(limit or WORLD_PAIRS, seed)
        limit = None
    else:
        wanted = Wanted(
            parse_mapping(columns or []), split, subset, labelled=not decide, winners_only=winners_only
        )
        source = open_source(data, wanted)
    if decide and decides is None:
        decides = load_relabel(decide, scorer or [], encoder.is_tiny, where)
    summary = prepare_with(
        model,
        where,
        getattr(torch, precision),
        data,
        source,
        out,
        limit=limit,
        max_bad=max_bad,
        split=kept,
        relabel=decides,
        batch_size=batch_size,
        dtype=None if latent_dtype == "auto" else getattr(torch, latent_dtype),
        workers=workers,
        shard=share,
        overwrite=overwrite,
    )
    print_store(summary, as_json)


def _excluded(sets: list[str]) -> list[str]:
    """The prompts of some sets."""
    return [prompt for name in sets for prompt in named_prompts(name, [], None).prompts]
