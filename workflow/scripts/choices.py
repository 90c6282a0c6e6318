"""Take beta and learning rate of one loss out of a record of `ddecli choose`."""

import json
from pathlib import Path

chosen = json.loads(Path(snakemake.input[0]).read_text(encoding="utf-8"))["chosen"]  # noqa: F821
loss = snakemake.wildcards.loss  # noqa: F821
if loss not in chosen:
    raise SystemExit(f"{snakemake.input[0]} has no choice for {loss}: run the grid again.")  # noqa: F821
text = "".join(f"{name}: {value!r}\n" for name, value in chosen[loss].items())
Path(snakemake.output[0]).write_text(text, encoding="utf-8")  # noqa: F821
