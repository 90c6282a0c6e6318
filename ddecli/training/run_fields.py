"""The settings of a training run, all of them: what it learns, and how it is run and seen. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Le

from ddecli.core.limits import MAX_COUNT
from ddecli.training.described import DATA, MEMORY, RUN, WATCH, InFile, Option
from ddecli.training.fields import LearningFields


class TrainFields(LearningFields):
    """Every setting of `ddecli train`; what has no default has one in every recipe."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Option(MEMORY, "auto, cpu or cuda. Default: {default}, the GPU if there is one."),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "float16", "bfloat16"],
        Option(
            MEMORY,
            "Of the forward passes: float32 (TensorFloat-32 on GPUs that have it), bfloat16 or float16; weights "
            "and errors stay float32. Default: {default}, bfloat16 on a GPU that has it, else float32.",
        ),
    ] = "auto"
    gradient_checkpointing: Annotated[
        bool,
        Option(
            MEMORY,
            "Compute activations again in the backward pass: the same result, much less memory, about a third "
            "slower. Default: the recipe, on for sdxl; --no-gradient-checkpointing turns it off.",
        ),
    ] = False
    compile: Annotated[
        bool,
        Option(
            MEMORY,
            "Compile the U-Net's transformer blocks (torch.compile): the first steps take minutes, the others "
            "are faster; policy and reference then agree up to rounding. Default: off; --no-compile turns off what "
            "--config turned on.",
        ),
    ] = False
    checkpoint_every: Annotated[
        int,
        Ge(1),
        Le(MAX_COUNT),
        Option(
            RUN,
            "Optimizer steps between checkpoints; the last two are kept, of a finished run the last. "
            "Default: {default}.",
        ),
    ] = 50
    holdout: Annotated[
        str | None,
        Option(
            DATA,
            "Pair store that is never trained on (ddecli prepare --holdout makes one): margin and accuracy on its "
            "pairs go to holdout.jsonl. Default: none.",
        ),
    ] = None
    holdout_pairs: Annotated[int, Ge(1), Le(MAX_COUNT), InFile()] = 256
    """Pairs of `holdout` that are looked at."""
    evaluate_every: Annotated[
        int,
        Ge(1),
        Le(MAX_COUNT),
        Option(
            DATA, "Optimizer steps between evaluations on --holdout. Default: {default}, and the last step."
        ),
    ] = 50
    reference: Annotated[
        Literal["keep", "read", "compute"],
        Option(
            MEMORY,
            "The reference's errors depend on model, pairs, seed, timesteps and precision, and on no beta or rate. "
            "keep: they are read where another run left them, in STORE-reference beside the pair store, the others are "
            "computed and left there; with all at hand no reference is loaded. read: nothing is left there. compute: "
            "nothing is read either. The result is the same to the last bit. Default: {default}.",
            metavar="keep|read|compute",
        ),
    ] = "keep"
    credit_gradients: Annotated[
        int | None,
        Ge(1),
        Le(MAX_COUNT),
        Option(
            RUN,
            "Measure of one pair in N the norm of the gradient of its loss in the weights, for credit.npz: credit "
            "without the unit of an error. It changes nothing else; each takes a step of that pair alone: 16 % more "
            "time for tiny on a processor with N of 16 (measured), 1/N where pairs go one by one. Default: none.",
            metavar="N",
        ),
    ] = None
    report_to: Annotated[
        str | None,
        Option(
            WATCH,
            "Log metrics, settings, held-out margins, contact sheets and in the end the credit map to a tracker: "
            "tensorboard (into OUT/tensorboard), wandb, trackio or another that accelerate knows; several with commas. "
            "It has to be installed. Default: metrics.jsonl alone.",
            metavar="NAME[,NAME]",
        ),
    ] = None
    sample_every: Annotated[
        int | None,
        Ge(1),
        Le(MAX_COUNT),
        Option(
            WATCH,
            "Optimizer steps between contact sheets, and one at the end: what the model draws so far beside what it "
            "drew before, two images a prompt from the noise that ddecli sample takes. OUT/samples/step-N.png is a "
            "sheet, OUT/samples/step-N has its images. Training stays the same to the "
            "last bit. Default: none.",
            metavar="N",
        ),
    ] = None
    sample_prompts: Annotated[
        str | None,
        Option(
            WATCH,
            "Prompts of --sample-every: a file, one a line, or what ddecli sample --prompts takes. A sheet shows the "
            "first 8. Default: for tiny models 8 of world:validation.",
            metavar="NAME[=PATH] or FILE",
        ),
    ] = None
    sample_metric: Annotated[
        list[str] | None,
        Option(
            WATCH,
            "Score the images of --sample-every by this metric of ddecli score; repeat it. The mean difference to the "
            "base, with its interval over prompts, is shown, and kept in OUT/samples.jsonl and the tracker. All "
            "scorers stay in main memory, and one at a time is on the device while it scores. Default: none.",
            metavar="METRIC",
        ),
    ] = None
    sample_scorer: Annotated[
        list[str] | None,
        Option(
            WATCH,
            "Weights of a --sample-metric from a folder, as --scorer of ddecli score.",
            metavar="METRIC=FOLDER",
        ),
    ] = None
