"""Soft-TIFA, by which GenEval 2 judges images (Kamath et al. 2025, arXiv 2512.16853; facebookresearch/GenEval2).

Each prompt comes with questions, one for each thing it says, which a Qwen3-VL answers. What counts is how probable the
right answer is: written small or with a capital, with a blank before it or none, a number also as a digit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text
from ddecli.core.parsing import check_shape
from ddecli.core.prompts import PromptRow
from ddecli.core.protocol import clean_prompt
from ddecli.core.text import to_json
from ddecli.scoring.published import ScorerSource
from ddecli.scoring.vqascore import QwenJudge

QUESTIONS, SKILLS_ASKED = "vqa_list", "skills"
"""Keys of a prompt's row."""
SKILLS = ("object", "attribute", "count", "position", "verb")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True)
class Atom:
    """One thing that a prompt says: a question, its right answer, and the skill it takes, where that is known."""

    question: str
    answer: str
    skill: str | None

    @property
    def ways(self) -> list[str]:
        """The ways to write the answer."""
        words = {self.answer.lower(), self.answer.capitalize()}
        if self.answer.lower() in NUMBERS:
            words.add(str(NUMBERS.index(self.answer.lower()) + 1))
        return [before + word for word in sorted(words) for before in ("", " ")]


class SoftTifa(QwenJudge):
    """Geometric mean over a prompt's questions of how probable their right answers are, as the benchmark ranks models.

    Beside it stand their arithmetic mean and, for each skill, the mean over its questions. Over prompts each counts
    once; the tool's own analysis of skills counts each question once.
    """

    name = "soft-tifa"
    scale = "geometric mean of the probabilities of right answers, 0 to 1"
    part_scales: ClassVar[dict[str, str]] = {
        "soft-tifa.am": "arithmetic mean of the probabilities of right answers, 0 to 1",
        **{
            f"soft-tifa.{skill}": f"arithmetic mean of those of the questions about {skill}, 0 to 1"
            for skill in SKILLS
        },
    }
    asks = True

    def __init__(self, source: ScorerSource, device: str | torch.device) -> None:
        self.atoms: dict[str, list[Atom]] = {}
        super().__init__(source, device)

    def _try(self) -> None:
        self.atoms = {self.example: [Atom("Is this a picture?", "Yes", None)]}
        super()._try()
        self.atoms = {}

    def learn(self, rows: Sequence[PromptRow]) -> None:
        """Take the questions of `rows` for those to ask; the card tells them from others.

        Raises:
            UserError: questions that are none, or two rows of one prompt that ask differently.
        """
        self.atoms = read_atoms(rows)
        asked = {
            prompt: [[atom.question, atom.answer, atom.skill] for atom in atoms]
            for prompt, atoms in sorted(self.atoms.items())
        }
        self.card = self.card | {"questions_sha256": sha256_text(to_json(asked))}

    def check_prompts(self, prompts: Sequence[str]) -> None:
        for prompt in prompts:
            if prompt not in self.atoms:
                raise UserError(
                    f'{self.name} has no questions for "{prompt[:80]}": they stand in geneval2_data.jsonl of GenEval '
                    f"2. Sample with --prompts geneval2=FILE, or give that list to ddecli score as --prompts, or leave "
                    f"{self.name} out."
                )
        super().check_prompts(
            [atom.question for prompt in dict.fromkeys(prompts) for atom in self.atoms[prompt]]
        )

    def embed(self, pixels: Sequence[Tensor], prompts: Sequence[str]) -> Tensor:
        """The probability of each right answer, (N, A): NaN beyond a prompt's own questions.

        As many questions are asked at once as there are pictures.
        """
        self.check_prompts(prompts)
        asked = [
            (picture, f"{atom.question} Answer in one word.", atom.ways)
            for picture, prompt in zip(pixels, prompts, strict=True)
            for atom in self.atoms[prompt]
        ]
        parts = [asked[start : start + len(pixels)] for start in range(0, len(asked), len(pixels))]
        found = torch.cat([self.probabilities(*zip(*part, strict=True)) for part in parts])
        table = torch.full((len(pixels), max(map(len, self.atoms.values()))), torch.nan)
        of_prompt = found.split([len(self.atoms[prompt]) for prompt in prompts])
        for row, values in zip(table, of_prompt, strict=True):
            row[: len(values)] = values
        return table

    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """The geometric mean of each picture; 0 where an answer has probability 0."""
        return embeddings.double().log().nanmean(1).exp().float()

    def parts(self, embeddings: Tensor, prompts: Sequence[str]) -> dict[str, np.ndarray]:
        """The arithmetic mean, and that over the questions about each skill."""
        most = embeddings.shape[1]
        skills = np.array(
            [_padded([atom.skill for atom in self.atoms[prompt]], most) for prompt in prompts], dtype=object
        )
        found = {"soft-tifa.am": embeddings.nanmean(1).numpy()}
        for skill in SKILLS:
            own = embeddings.where(torch.from_numpy(skills == skill), torch.nan)
            found[f"soft-tifa.{skill}"] = own.nanmean(1).numpy()
        return found


def _padded(skills: list[str | None], length: int) -> list[str | None]:
    return skills + [None] * (length - len(skills))


def read_atoms(rows: Iterable[PromptRow]) -> dict[str, list[Atom]]:
    """The questions of each prompt, as images have it, of the rows that have any.

    Raises:
        UserError: see `SoftTifa.learn`.
    """
    found: dict[str, list[Atom]] = {}
    for row in rows:
        if QUESTIONS not in row.about:
            continue
        prompt, atoms = clean_prompt(row.prompt), _atoms(row)
        if found.setdefault(prompt, atoms) != atoms:
            raise UserError(
                f'Two rows of the list ask differently about "{prompt[:80]}": leave one of them out.'
            )
    return found


def _atoms(row: PromptRow) -> list[Atom]:
    """The questions of a row; a list without skills has none."""
    asked, skills = row.about[QUESTIONS], row.about.get(SKILLS_ASKED)
    try:
        check_shape(asked, list[list[str]])
        if skills is None:
            skills = [None] * len(asked)
        else:
            check_shape(skills, list[str])
        atoms = [
            Atom(question, answer.strip(), skill)
            for (question, answer), skill in zip(asked, skills, strict=True)
        ]
        if not atoms or not all(atom.question.strip() and atom.answer for atom in atoms):
            raise ValueError("a question or an answer is empty")
        if unknown := next((skill for skill in skills if skill is not None and skill not in SKILLS), None):
            raise ValueError(f"{unknown} is no skill of GenEval 2")
    except ValueError as error:
        raise UserError(
            f'What the list asks about "{row.prompt[:80]}" is not as in geneval2_data.jsonl of GenEval 2 ({error}): '
            f'write {QUESTIONS} as [["question", "answer"], ...] and {SKILLS_ASKED} as one of {", ".join(SKILLS)} each.'
        ) from error
    return atoms
