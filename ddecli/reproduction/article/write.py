"""The article and the judged claims as files."""

from __future__ import annotations

from pathlib import Path

from ddecli.core.errors import BadRow, UserError
from ddecli.core.files import make_folder, write_json, write_text
from ddecli.core.inside import inside
from ddecli.document.html import to_html
from ddecli.document.markdown import to_markdown
from ddecli.document.pdf import typst_is_there, write_pdf
from ddecli.reproduction.article.article import article
from ddecli.reproduction.article.findings import Findings, find
from ddecli.reproduction.evidence import Coefficients, LastSampled
from ddecli.reproduction.experiment import read_experiment

NAME = "reproduction"


def write_report(
    experiment: Path, out: Path, coefficients: Coefficients, last_sampled: LastSampled | None = None
) -> tuple[Findings, list[Path]]:
    """Judge an experiment and write reproduction.md, .html, .pdf (if typst is installed) and claims.json.

    Args:
        experiment: its description; see `ddecli.reproduction.experiment`.
        out: folder to write to; the pictures of the experiment lie in it.
        coefficients: gives the single-shot coefficients of a model, by its name.
        last_sampled: gives the largest timestep that sampling visits; without it the article does not say it.

    Returns:
        What was found, and the files in the order they were written.

    Raises:
        UserError: what the experiment names is missing, damaged or not comparable, or a file cannot be written.
    """
    described = read_experiment(experiment)
    for picture in described.figures:
        try:
            inside(out, picture.file)
        except BadRow as error:
            raise UserError(f"{experiment} names a figure that the report may not show: {error}.") from error
        if not (out / picture.file).is_file():
            raise UserError(
                f"{out / picture.file} does not exist: draw it with `ddecli figure`, or leave it out."
            )
    findings = find(described, coefficients, last_sampled)
    document = article(findings)
    make_folder(out)
    files = [out / f"{NAME}.md", out / f"{NAME}.html"]
    write_text(files[0], to_markdown(document))
    write_text(files[1], to_html(document, out))
    pdf = out / f"{NAME}.pdf"
    if typst_is_there():
        write_pdf(document, out, pdf)
        files.append(pdf)
    else:
        pdf.unlink(missing_ok=True)  # an older one would tell of other results
    files.append(out / "claims.json")
    write_json(files[-1], findings.as_dict())
    return findings, files
