"""`ddecli score`: images to scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ddecli.cli.completion import metrics as complete_metrics
from ddecli.cli.options import Device, SummaryAsJson, by_metric
from ddecli.core.errors import UserError
from ddecli.core.limits import MAX_BATCH
from ddecli.scoring.published import METRICS

if TYPE_CHECKING:
    from ddecli.core.scores import ScoreSet
    from ddecli.scoring.score import ScoringSettings
    from ddecli.scoring.sources import ImageSet
    from ddecli.stats.changes import Changes
    from ddecli.stats.compare import MetricComparison
    from ddecli.stats.groups import Kind

BOLD = "bold: it excludes 0"
MAX_LISTED = 20
"""Images given by name that are listed one by one."""
ABOUT = (
    "Intervals are over prompts: they speak of these two models alone, not of how they were trained; another training "
    "with the same settings can come out otherwise."
)


def score(
    source: Annotated[
        list[Path],
        typer.Argument(help="A sample folder, a folder of images, or image files; or several folders."),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            autocompletion=complete_metrics,
            help="What is scored; repeat it. clip, hps and pickscore if not given.\n"
            + "\n".join(f"- {name}: {metric.summary}" for name, metric in METRICS.items()),
        ),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="One prompt for all images.")] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A table with file_name and prompt (.csv, .tsv, .jsonl, .json), or any list that ddecli sample "
            "--prompts takes, a prompt an image in the order of the files' names. Images of ddecli sample know their "
            "prompts: of them it is the list they are of, with what that says of each. If not given: metadata.jsonl, "
            "metadata.csv, or a .txt beside each image."
        ),
    ] = None,
    family: Annotated[
        Literal["auto", "tiny", "real"],
        typer.Option(
            help="Scorers of the tiny world or of real pictures; auto: what the sample's "
            "protocol.json says; where there is none, real unless the pictures have exactly its 32 pixels."
        ),
    ] = "auto",
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=FOLDER",
            help="Weights of a metric from a folder, not from the Hugging Face hub: a transformers CLIPModel; for "
            "hps also HPS_v2_compressed.pt, for aesthetic sac+logos+ava1-l14-linearMSE.pth, for imagereward "
            "ImageReward.pt with med_config.json (and, without a network, bert-base-uncased's tokenizer.json and "
            "tokenizer_config.json), for hpsv3 HPSv3.safetensors (and the small files of Qwen2-VL-7B-Instruct), "
            "for vqascore and soft-tifa a Qwen3-VL. The folder of clip also gives hps and pickscore their tokenizer.",
        ),
    ] = None,
    pin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=DIGEST",
            help="Refuse other weights of a metric than those whose SHA-256 or hub revision, as in scores.json, "
            "begins so; any are taken if not given.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="A second folder of the same protocol: print beat ratios and mean differences."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH, help="Images scored at once; speed and memory only.")
    ] = 32,
    max_bad: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of unusable images above which a folder is refused; one always passes."
        ),
    ] = 0.01,
    device: Device = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of scores.parquet and scores.json; the source folder if not given."),
    ] = None,
    as_json: SummaryAsJson = False,
) -> None:
    """Score images for their prompts, and compare two folders.

    Example: `ddecli score images/sd15-dde --against images/sd15`

    Images of a folder that was scored with the same models before are not scored again. Several folders are scored each
    on its own, with every scorer loaded once.
    """
    from ddecli.scoring.published import DEFAULT_METRICS, check_metrics
    from ddecli.scoring.sources import read_source

    metrics = check_metrics(metric or DEFAULT_METRICS)
    folders = {name: Path(folder) for name, folder in by_metric("--scorer", "FOLDER", scorer or [])}
    pins = dict(by_metric("--pin", "DIGEST", pin or []))
    check_metrics([*folders, *pins])
    several = len(source) > 1 and all(path.is_dir() for path in source)
    if several and (against or out):
        raise UserError(
            f"{'--against' if against else '--out'} takes one folder to score, not {len(source)}."
        )
    sets = [read_source([path], prompt, prompts) for path in source] if several else []
    images = sets[0] if several else read_source(source, prompt, prompts)
    other = read_source([against], prompt, prompts) if against else None
    if other:
        _require_comparable(images, other)

    # What follows imports torch: what cannot be scored has been refused by now.
    from ddecli.core.imports import importing

    with importing(defer=True):
        from ddecli.core.console import console, echo, show_text
        from ddecli.core.devices import choose_device
        from ddecli.core.text import to_json
        from ddecli.scoring.score import ScoringSettings, score_images, with_parts
        from ddecli.stats.changes import changes
        from ddecli.stats.compare import compare, summarize
        from ddecli.stats.decline import decline

        shown = with_parts(metrics)  # imports their scorers
    settings = ScoringSettings(metrics, family, folders, batch_size, max_bad, choose_device(device), pins)
    if several:
        _score_folders(sets, settings, as_json)
        return
    scores = score_images(images, settings, _out_folder(images.folder, out))
    mine = _chosen(scores, shown, with_protocol=not other or bool(other.protocol))
    comparison = []
    if other:
        other_scores = score_images(other, settings, _out_folder(other.folder, None))
        theirs = _chosen(other_scores, shown, with_protocol=bool(images.protocol))
        comparison = compare(mine, theirs)
        if warning := decline(mine, theirs, comparison):
            console.print(warning)

    summaries = [summary.as_dict() for summary in summarize(mine)]
    by_kind = _by_kind(_kinds_of(images), mine, theirs if other else None)
    if as_json:
        answer = {"source": images.name, "scores": summaries, "skipped": len(scores.skipped)}
        if images.left_out:
            answer["left_out"] = images.left_out
        if by_kind:
            answer["kinds"] = by_kind
        if images.folder is None:
            answer["images"] = _per_image(images, scores)
        if other:
            rows = [row.as_dict() for row in comparison]
            answer |= {"against": other.name, "comparison": rows, "about": ABOUT}
        echo(to_json(answer))
        return
    if images.folder is None and len(images.images) <= MAX_LISTED:
        _print_table("scores", _per_image(images, scores), keys=2)
    _print_table(f"scores of {images.name} (95 % intervals over prompts)", [*map(_summary_row, summaries)])
    if other:
        shown_rows = [_comparison_row(row) for row in comparison]
        _print_table(f"{images.name} against {other.name} (95 % intervals; {BOLD})", shown_rows)
    _print_kinds(by_kind, other.name if other else "")
    if other:
        show_text(ABOUT)
        _show_pictures(images, other, changes(mine, theirs))


def _kinds_of(images: ImageSet) -> list[Kind]:
    """The kinds that the prompts fall into, as --prompts or the sample's own list has them."""
    from ddecli.stats.groups import kinds_beside, kinds_of

    if images.prompts_file is not None:
        return kinds_of(images.rows)
    return kinds_beside([images.folder]) if images.folder is not None and images.protocol else []


def _by_kind(kinds: list[Kind], mine: ScoreSet, theirs: ScoreSet | None) -> list[dict[str, Any]]:
    """Scores of each kind of prompts, and their comparison with another folder's."""
    from ddecli.stats.compare import compare, summarize
    from ddecli.stats.groups import of_prompts, sampled_kinds

    found = []
    for kind, own in sampled_kinds(kinds, mine):
        row: dict[str, Any] = {"division": kind.division, "kind": kind.name}
        row["scores"] = [summary.as_dict() for summary in summarize(own)]
        if theirs is not None:
            row["comparison"] = [each.as_dict() for each in compare(own, of_prompts(theirs, kind.prompts))]
        found.append(row)
    return found


def _print_kinds(by_kind: list[dict[str, Any]], against: str) -> None:
    """A line a kind of prompts, a column a metric."""
    for division in dict.fromkeys(row["division"] for row in by_kind):
        own = [row for row in by_kind if row["division"] == division]
        for title, rows, value, interval in (
            (f"scores by {division}", "scores", "mean", "interval"),
            (f"differences to {against} by {division}", "comparison", "difference", "difference_interval"),
        ):
            lines = [
                {division: row["kind"], "prompts": row[rows][0]["prompts"]}
                | {
                    each["metric"]: _with_interval(each[value], each[interval], stands_out=rows != "scores")
                    for each in row[rows]
                }
                for row in own
                if rows in row
            ]
            if lines:
                said = "95 % intervals" + (f"; {BOLD}" if rows != "scores" else "")
                _print_table(f"{title} ({said})", lines)


def _score_folders(sets: list[ImageSet], settings: ScoringSettings, as_json: bool) -> None:
    """Score folders, show the means of each, and name those that could not be scored."""
    from ddecli.core.console import echo
    from ddecli.core.text import to_json
    from ddecli.scoring.score import score_folders, with_parts
    from ddecli.stats.compare import summarize

    folders = [images.folder for images in sets if images.folder is not None]
    if twice := next((folder for folder in folders if folders.count(folder) > 1), None):
        raise UserError(f"{twice} is given twice.")
    for folder in folders:
        if not os.access(folder, os.W_OK):
            raise UserError(f"{folder} cannot be written to: score it alone, with --out.")
    found = score_folders(sets, settings, folders)
    shown = with_parts(settings.metrics)
    rows, failed = [], []
    for folder, scores in zip(folders, found, strict=True):
        if isinstance(scores, UserError):
            failed.append(f"{folder}: {scores}")
            continue
        summaries = [summary.as_dict() for summary in summarize(_chosen(scores, shown, with_protocol=True))]
        rows.append({"folder": str(folder), "scores": summaries})
    if as_json:
        echo(to_json({"folders": rows, "failed": failed}))
    elif rows:
        _print_table("scores", [{"folder": row["folder"], **_means(row["scores"])} for row in rows])
    if failed:
        raise UserError(
            f"{len(failed)} of {len(sets)} folders could not be scored, the others were. {' '.join(failed)}"
        )


def _means(summaries: Any) -> dict[str, float]:
    return {summary["metric"]: summary["mean"] for summary in summaries}


def _out_folder(folder: Path | None, out: Path | None) -> Path | None:
    """Where scores go: `out`, else the source folder if it can be written to, else nowhere."""
    from ddecli.core.console import console
    from ddecli.core.files import make_folder

    if out is not None:
        return make_folder(out)
    if folder is not None and not os.access(folder, os.W_OK):
        console.print(f"{folder} cannot be written to: the scores are printed only; give --out to keep them.")
        return None
    return folder


def _per_image(images: ImageSet, scores: ScoreSet) -> list[dict[str, Any]]:
    """One row per image given by name, one column per metric."""
    files = {(image.prompt_id, image.image_index): image for image in images.images}
    rows = {key: {"file": str(image.path), "prompt": image.prompt} for key, image in files.items()}
    for name, values in scores.metrics.items():
        keys = zip(values.prompt_id.tolist(), values.image_index.tolist(), strict=True)
        for key, value in zip(keys, values.score.tolist(), strict=True):
            rows[key][name] = value
    return list(rows.values())


def _chosen(scores: ScoreSet, metrics: tuple[str, ...], with_protocol: bool) -> ScoreSet:
    """Some metrics in alphabetical order, as the comparison takes them."""
    from ddecli.core.scores import ScoreSet

    found = {name: scores.metrics[name] for name in sorted(metrics) if name in scores.metrics}
    return ScoreSet(scores.name, found, scores.protocol if with_protocol else {}, scores.scorers)


def _require_comparable(images: ImageSet, other: ImageSet) -> None:
    """The same protocol, or, where one has none, the same prompts; checked before anything is scored."""
    from ddecli.core.scores import ScoreSet, check_same_protocol
    from ddecli.scoring.sources import require_same_prompts

    if images.protocol and other.protocol:
        check_same_protocol([ScoreSet(each.name, protocol=each.protocol or {}) for each in (images, other)])
    else:
        require_same_prompts(images, other)


def _show_pictures(images: ImageSet, other: ImageSet, changed: Changes | None) -> None:
    """Draw images of both folders side by side into the source folder, and say where and which."""
    from ddecli.core.console import echo, show_text
    from ddecli.figures.beside import first_prompts, most_changed

    if images.folder is None or not images.protocol or not os.access(images.folder, os.W_OK):
        return  # only into sample folders, where it is not taken for a picture
    echo(f"Side by side: {first_prompts(images, other, images.folder)}")
    if changed is None:
        return
    show_text(
        f"Of {len(changed.images)} images {changed.better} score higher than those of {other.name}, {changed.worse} "
        f"lower (mean of {', '.join(changed.metrics)}, in standard deviations). "
        f"Those that changed most, up or down: {most_changed(images, other, changed, images.folder)}"
    )


class _StandsOut(str):
    """A text that is to be seen first."""


def _summary_row(summary: dict[str, Any]) -> dict[str, Any]:
    return {
        "metric": summary["metric"],
        "mean": _with_interval(summary["mean"], summary["interval"]),
        "standard error": summary["standard_error"],
        "prompts": summary["prompts"],
        "images": summary["images"],
    }


def _comparison_row(row: MetricComparison) -> dict[str, Any]:
    ties = {"ties": f"{100 * row.tie_share:.0f} %"} if row.tie_share else {}
    return {
        "metric": row.metric,
        "mean": row.mean_a,
        "against": row.mean_b,
        "difference": _with_interval(row.difference, row.difference_interval, stands_out=True),
        "beat ratio": _with_interval(row.beat_ratio, row.beat_interval, 2),
        **ties,
    }


def _with_interval(
    value: float, interval: tuple[float, float] | None, digits: int = 4, stands_out: bool = False
) -> str:
    """The value and its 95 % interval; `stands_out` if that excludes 0 and is to be seen."""
    if interval is None:
        return f"{value:.{digits}f}"
    low, high = interval
    text = f"{value:.{digits}f} ({low:.{digits}f} .. {high:.{digits}f})"
    return _StandsOut(text) if stands_out and not low <= 0 <= high else text


def _print_table(title: str, rows: list[dict[str, Any]], keys: int = 1) -> None:
    """Print rows as a table on standard output; the first `keys` columns say what a row is."""
    from ddecli.core.console import show_grid

    names = list(dict.fromkeys(name for row in rows for name in row))
    bold = {
        (number, column)
        for number, row in enumerate(rows)
        for column, name in enumerate(names)
        if isinstance(row.get(name), _StandsOut)
    }
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    show_grid(title, [name.replace("_", " ") for name in names], cells, bold, keys)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
