"""How many trainings, prompts and images it takes to decide a difference, from scores of a pilot.

A score of the picture `i` of prompt `p` after training `k`, less that of the other model, is
`mean + prompt_p + image_pi + training_k + (prompt, training)_pk + rest_pki`, all but the mean drawn at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet, check_same_protocol
from ddecli.stats.compare import check_same_images

POINTS = 2_000
"""Quantiles of the variance between trainings that the probability is a mean over: exact to .001."""


@dataclass(frozen=True)
class Pilot:
    """What differences vary by: variances of one prompt, picture, training, pair of these, and rest; in score squared.

    Attributes:
        base_spread: standard deviation of the base over prompts, the unit of a difference.
    """

    prompt: float
    image: float
    training: float
    interaction: float
    rest: float
    base_spread: float

    def parts(self, trainings: int, prompts: int, images: int) -> tuple[float, float]:
        """Variance of the mean difference: what more trainings leave, and what they lessen."""
        over_prompts = (self.prompt + self.image / images) / prompts
        over_trainings = self.training + (self.interaction + self.rest / images) / prompts
        return over_prompts, over_trainings / trainings


def pilot_of(
    base: ScoreSet, trainings: Sequence[ScoreSet], metric: str, rivals: Sequence[ScoreSet] = ()
) -> Pilot:
    """The variances in a pilot, by the analysis of variance.

    Args:
        base: what the trainings are held against, where there are no rivals; its spread is the unit.
        trainings: two or more, of one method.
        rivals: trainings of another method, of the same seeds in the same order, which the first are held against.

    Raises:
        UserError: other images or protocols; one training, prompt, or image a prompt; unequal numbers of images, or
            of trainings and rivals.
    """
    every = [base, *trainings, *rivals]
    check_same_protocol(every)
    for scores in every:
        check_same_images(base, scores, metric)
    first = base.metric(metric)
    _, prompt = np.unique(first.prompt_id, return_inverse=True)
    counts = np.bincount(prompt)
    if len(trainings) < 2 or len(counts) < 2 or counts.min() < 2 or counts.min() < counts.max():
        raise UserError(
            "A pilot needs two or more trainings, prompts, and images of each prompt, equally many; here are "
            f"{len(trainings)} trainings and {len(counts)} prompts with {counts.min()} to {counts.max()} images."
        )
    if rivals and len(rivals) != len(trainings):
        raise UserError(
            f"{len(trainings)} trainings and {len(rivals)} rivals make no pairs: give one for each."
        )
    order = np.argsort(prompt, kind="stable")
    values = [each.metric(metric).score[order].reshape(len(counts), -1) for each in every]
    before, one, other = values[0], values[1 : len(trainings) + 1], values[len(trainings) + 1 :]
    differences = np.stack(one, axis=2) - (np.stack(other, axis=2) if rivals else before[:, :, None])
    return pilot(differences, float(before.mean(axis=1).std()))


def pilot(differences: np.ndarray, base_spread: float) -> Pilot:
    """The variances of differences `(prompts, images, trainings)`; those that come out below zero are zero."""
    prompts, images, trainings = differences.shape
    values = np.asarray(differences, dtype=float)
    middle = values.mean()
    by_prompt = values.mean(axis=(1, 2), keepdims=True)
    by_image = values.mean(axis=2, keepdims=True)
    by_training = values.mean(axis=(0, 1), keepdims=True)
    by_both = values.mean(axis=1, keepdims=True)
    crossed = by_both - by_prompt - by_training + middle
    rest = values - by_image - by_both + by_prompt

    def square(parts: np.ndarray, each: int, freedom: int) -> float:
        return each * float((parts**2).sum()) / freedom

    of_rest = square(rest, 1, prompts * (images - 1) * (trainings - 1))
    of_both = square(crossed, images, (prompts - 1) * (trainings - 1))
    of_image = square(by_image - by_prompt, trainings, prompts * (images - 1))
    of_prompt = square(by_prompt - middle, images * trainings, prompts - 1)
    of_training = square(by_training - middle, prompts * images, trainings - 1)
    return Pilot(
        prompt=max(0.0, of_prompt - of_image - of_both + of_rest) / (images * trainings),
        image=max(0.0, of_image - of_rest) / trainings,
        training=max(0.0, of_training - of_both) / (prompts * images),
        interaction=max(0.0, of_both - of_rest) / images,
        rest=of_rest,
        base_spread=base_spread,
    )


def power(
    found: Pilot, difference: float, trainings: int, prompts: int, images: int, level: float = 0.95
) -> float:
    """Probability that an interval of `ddecli.stats.intervals.estimate` excludes 0 on the right side.

    Args:
        difference: the true one, in standard deviations of the base.
        trainings: two or more.
        level: of the interval, corrected for the number of rows.
    """
    from scipy.special import chdtri, ndtr, stdtrit

    over_prompts, over_trainings = found.parts(trainings, prompts, images)
    true = abs(difference) * found.base_spread
    freedom = trainings - 1
    shares = (np.arange(POINTS) + 0.5) / POINTS
    seen = over_trainings * chdtri(freedom, shares) / freedom  # what a table takes the second part for
    quantiles = stdtrit(prompts - 1, (1 + level) / 2), stdtrit(freedom, (1 + level) / 2)
    with np.errstate(invalid="ignore"):
        half = (over_prompts * quantiles[0] + seen * quantiles[1]) / np.sqrt(over_prompts + seen)
    half = np.nan_to_num(half)
    error = np.sqrt(over_prompts + over_trainings)
    if error == 0:
        return float(true > 0)
    return float(ndtr((true - half) / error).mean())
