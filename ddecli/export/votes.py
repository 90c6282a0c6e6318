"""Votes of people as other tools read them: Label Studio, and the data sets that Rapidata publishes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import atomic_folder
from ddecli.core.inside import inside
from ddecli.core.paths import FOLDER, replaceable
from ddecli.core.text import to_json
from ddecli.data.pairs import read_image_bytes
from ddecli.data.votes import PICTURES, Tally, Vote, is_votes, read_votes, tallies

CONFIG = """<View>
  <Header value="$prompt"/>
  <Choices name="neither" toName="image1" choice="single" showInline="true">
    <Choice value="tie"/>
    <Choice value="both bad"/>
  </Choices>
  <Pairwise name="preference" toName="image1,image2"/>
  <View style="display: grid; grid-template-columns: 1fr 1fr; column-gap: 8px">
    <Image name="image1" value="$image1"/>
    <Image name="image2" value="$image2"/>
  </View>
</View>
"""
"""Label Studio's page: its Pairwise tag has left and right alone, so what is neither is a choice of its own.

It stands above the pictures: below them it would be out of sight.
"""
ROWS_AT_ONCE = 32


@dataclass(frozen=True)
class VotesExport:
    """What was written; `about` says what to do with it."""

    out: str
    layout: str
    pairs: int
    votes: int
    about: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def export_votes(folder: Path, layout: str, out: Path) -> VotesExport:
    """Write votes as another tool reads them; `out` is written whole, or not at all.

    Args:
        folder: of `ddecli collect`.
        layout: one of `VOTE_LAYOUTS`.

    Raises:
        UserError: `folder` holds no votes, or damaged ones, something lies at `out`, or a picture is missing.
    """
    if not is_votes(folder):
        raise UserError(f"{folder} is no folder of votes, which --layout {layout} takes: collect some first.")
    place = replaceable(out, FOLDER)
    if place.exists() and any(place.iterdir()):
        raise UserError(f"{out} is not empty: choose another --out, or remove it first.")
    counted = tallies(read_votes(folder))
    if not counted:
        raise UserError(f"{folder} holds no votes yet: cast some with ddecli collect --out {folder}.")
    with atomic_folder(out) as temporary:
        try:
            about = VOTE_LAYOUTS[layout](counted, folder, temporary, out)
        except BadRow as error:
            raise UserError(f"{folder} cannot be exported: {error}.") from error
    return VotesExport(str(out), layout, len(counted), sum(len(tally.votes) for tally in counted), about)


def _write_rapidata(counted: Sequence[Tally], folder: Path, temporary: Path, out: Path) -> str:
    """One parquet file with Rapidata's columns: pictures inside, whole numbers of votes, of ties none for either."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "prompt": pa.string(),
        "image1": image,
        "image2": image,
        "votes_image1": pa.int64(),
        "votes_image2": pa.int64(),
        "model1": pa.string(),
        "model2": pa.string(),
        "detailed_results": pa.string(),
        "image1_path": pa.string(),
        "image2_path": pa.string(),
    }
    kinds = {
        name: {"_type": "Image"} if kind == image else {"dtype": str(kind), "_type": "Value"}
        for name, kind in columns.items()
    }
    about = {"huggingface": json.dumps({"info": {"features": kinds}})}
    file = temporary / "data" / "train-00000-of-00001.parquet"
    file.parent.mkdir()
    with pq.ParquetWriter(file, pa.schema(list(columns.items()), about)) as writer:
        for start in range(0, len(counted), ROWS_AT_ONCE):
            rows = [_rapidata_row(tally, folder) for tally in counted[start : start + ROWS_AT_ONCE]]
            writer.write_table(pa.Table.from_pylist(rows, writer.schema))
    return f'load_dataset("{out}"), or upload it with: hf upload OWNER/NAME {out} --repo-type dataset'


def _rapidata_row(tally: Tally, folder: Path) -> dict[str, Any]:
    first, second = (
        {"bytes": read_image_bytes(inside(folder, name)), "path": Path(name).name} for name in tally.pictures
    )
    return {
        "prompt": tally.prompt,
        "image1": first,
        "image2": second,
        "votes_image1": tally.wins[0],
        "votes_image2": tally.wins[1],
        "model1": tally.sources[0],
        "model2": tally.sources[1],
        "detailed_results": to_json([_detail(vote, tally) for vote in tally.votes]),
        "image1_path": first["path"],
        "image2_path": second["path"],
    }


def _write_label_studio(counted: Sequence[Tally], folder: Path, temporary: Path, out: Path) -> str:
    """Tasks with an annotation a vote, the page that they are for, and the pictures, to be served as local files."""
    (temporary / PICTURES).mkdir()
    for name in sorted({name for tally in counted for name in tally.pictures}):
        source = inside(folder, name)
        if not source.is_file():
            raise BadRow("missing image", name)
        shutil.copyfile(source, temporary / name)
    (temporary / "label-config.xml").write_text(CONFIG, encoding="utf-8")
    tasks = [_task(tally, out) for tally in counted]
    (temporary / "tasks.json").write_text(to_json(tasks, indent=1) + "\n", encoding="utf-8")
    root = out.resolve().parent
    return (
        f"start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
        f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root}, add {out.resolve()} as local storage of a project whose "
        f"labeling interface is label-config.xml, and import tasks.json; what it exports later, put into {out}, is "
        f"read by ddecli prepare --data {out / 'EXPORT.json'}"
    )


def _task(tally: Tally, out: Path) -> dict[str, Any]:
    first, second = (
        f"/data/local-files/?d={quote(f'{out.resolve().name}/{name}')}" for name in tally.pictures
    )
    details = [_detail(vote, tally) for vote in tally.votes]
    data = {"prompt": tally.prompt, "image1": first, "image2": second, "pair": tally.pair, "votes": details}
    return {"data": data, "annotations": list(_annotations(tally))}


def _annotations(tally: Tally) -> Iterator[dict[str, Any]]:
    for vote in tally.votes:
        if vote.preferred:
            side = ("left", "right")[tally.pictures.index(vote.preferred)]
            result = {"from_name": "preference", "to_name": "preference", "type": "pairwise"}
            value: dict[str, Any] = {"selected": side}
        else:
            result = {"from_name": "neither", "to_name": "image1", "type": "choices"}
            value = {"choices": [vote.choice]}
        yield {"result": [result | {"value": value}], "lead_time": vote.seconds}


def _detail(vote: Vote, tally: Tally) -> dict[str, Any]:
    """A vote by the pictures of its row, wherever they stood."""
    number = tally.pictures.index(vote.preferred) + 1 if vote.preferred else None
    return {
        "voter": vote.voter,
        "choice": f"image{number}" if number else vote.choice,
        "left": f"image{tally.pictures.index(vote.left) + 1}",
        "seconds": vote.seconds,
        "time": vote.time,
    }


VOTE_LAYOUTS: dict[str, Callable[[Sequence[Tally], Path, Path, Path], str]] = {
    "label-studio": _write_label_studio,
    "rapidata": _write_rapidata,
}
