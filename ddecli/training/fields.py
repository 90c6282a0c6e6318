"""What a training run learns: of each setting its type, bounds, default, and what is said of it. Imports nothing heavy.

All else is made from these fields: the checks of `settings.TrainSettings`, the options of `ddecli train` and their
help, the keys of `--config` and run.yaml.
"""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from ddecli.core.limits import MAX_BATCH, MAX_COUNT, MAX_ITERATIONS, MAX_RANK, MAX_SEED, MAX_STEPS
from ddecli.training.described import DATA, MEMORY, OBJECTIVE, OPTIMIZATION, RUN, Finite, InFile, Option
from ddecli.training.losses import LOSS_HELP, WITHOUT_STRENGTHS


class LearningFields:
    """What is learned, from what and how; `run_fields.TrainFields` has the other settings, too."""

    model: Annotated[
        str,
        Option(
            DATA,
            "What is trained: tiny, tiny-xl, sd15, sdxl, a diffusers folder, a run folder, a checkpoint file "
            "(.safetensors) or a hub id (owner/name or owner/name@revision); with LoRA weights on top MODEL+FILE. "
            "Default: {default}.",
        ),
    ] = "tiny"
    model_revision: str | None = None  # its commit on the hub; filled in by the run
    model_sha256: str | None = None  # of all its weights; filled in by the run
    loss: Annotated[str, Option(OBJECTIVE, LOSS_HELP)] = "dde"
    data: Annotated[
        str | None,
        Option(
            DATA,
            "Pair store made by ddecli prepare for this model. Tiny models prepare the world's pairs if not given.",
        ),
    ] = None
    pairs: Annotated[
        Literal["data", "self-play", "semi-policy"],
        Option(
            DATA,
            "data: both pictures of a pair are those of --data. self-play: its preferred pictures, against pictures "
            "that the model draws for the same prompts; the model that draws is the reference as well, and the next "
            "iteration's opponent is what it became. semi-policy: the same, but the model that draws and is the "
            "reference is drawn at random from the one that training starts from and those of all iterations so far. "
            "Default: self-play for spin, semi-policy for seppo and sspo, else data.",
            metavar="data|self-play|semi-policy",
        ),
    ] = "data"
    iterations: Annotated[
        int,
        Ge(1),
        Le(MAX_ITERATIONS),
        Option(
            DATA,
            "Iterations of self-play and semi-policy, each of --steps steps. The model of every one is kept, all but "
            "the last in OUT/iteration-K. Default: {default}; 3 for spin, 7 for seppo and sspo.",
        ),
    ] = 1
    pairs_sha256: str | None = None  # of the pair store's manifest; filled in by the run
    reference_model: Annotated[
        str | None,
        InFile(" (the reference, where it is not the model that training starts from, as in semi-policy)"),
    ] = None
    reference_sha256: str | None = None  # of all its weights; filled in by the run
    out: Annotated[str, Option(RUN, "Run folder. Default: runs/MODEL-LOSS.", path=True)] = ""
    steps: Annotated[
        int,
        Ge(1),
        Le(MAX_STEPS),
        Option(OPTIMIZATION, "Optimizer steps. Default: the recipe of model and loss (see --dry-run)."),
    ]
    batch_size: Annotated[
        int,
        Ge(1),
        Le(MAX_BATCH),
        Option(
            OPTIMIZATION,
            "Pairs per optimizer step, over all micro-batches and processes. Default: the recipe.",
        ),
    ]
    micro_batch_size: Annotated[
        Annotated[int, Ge(1), Le(MAX_BATCH)] | Literal["auto"],
        Option(
            MEMORY,
            "Pairs per forward pass on each process: memory and speed only, the result is the same up to rounding. "
            "auto: the most that fit the memory, tried before the first step; the number is in run.yaml. "
            "Default: auto, for pictures of up to 64 pixels the whole batch.",
            metavar="NUMBER|auto",
        ),
    ]
    lr: Annotated[
        float,
        Gt(0),
        Finite(),
        Option(OPTIMIZATION, "Learning rate after warm-up; never scaled by anything. Default: the recipe."),
    ]
    warmup: Annotated[
        int,
        Ge(0),
        Le(MAX_COUNT),
        Option(OPTIMIZATION, "Optimizer steps of linear warm-up, constant after. Default: the recipe."),
    ] = 0
    error: Annotated[
        Literal["noise", "native"],
        Option(
            OBJECTIVE,
            "Whose errors are formed; the same for models that predict noise. native: of what the model predicts, "
            "v or the clean latent. noise: of the noise which that stands for, next to nothing near noise: abar_t "
            "times the error of v, 0 at zero SNR. Default: noise for dde, dde-single and dde-step, as the "
            "paper derives them; native for all others, as in public code. The weights of DDE follow the unit: "
            "with native they are the same losses, and can be used where the last timestep has zero SNR.",
            metavar="noise|native",
        ),
    ] = "noise"
    beta: Annotated[
        Annotated[float, Gt(0), Finite()] | Literal["auto"],
        Option(
            OBJECTIVE,
            "Strength of the preference term; larger stays closer to the base model. Errors are means over a "
            "latent's numbers, so 5000 means for uniform what it means in Diffusion-DPO. auto: what leaves "
            "--beta-share of the gradient at a typical margin, measured before the first step; the number is in "
            "run.yaml. Default: the recipe.",
            metavar="NUMBER|auto",
        ),
    ] = 1.0
    beta_share: Annotated[
        float | None,
        Gt(0),
        Lt(1),
        Option(
            OBJECTIVE,
            "With --beta auto: the share of a pair's gradient that is left where its margin is typical, which is the "
            "weighted difference of the reference's errors on the two pictures, on average over 512 draws that are the "
            "same for every seed. Default: 0.5.",
            metavar="SHARE",
        ),
    ] = None
    ema_decay: Annotated[
        float,
        Ge(0),
        Lt(1),
        Option(
            OBJECTIVE,
            "Decay per optimizer step of the delayed table behind DDE's correction terms, 0 to 1. Default: {default}.",
        ),
    ] = 0.95
    correction_bins: Annotated[int | None, Ge(1), Le(MAX_STEPS), InFile()] = None
    """Bins of the delayed table; None: one a timestep."""
    label_smoothing: Annotated[
        float,
        Ge(0),
        Lt(0.5),
        Option(
            OBJECTIVE,
            "Share of the labels that cdpo and robust take to be wrong, 0 to 0.5. Default: {default}.",
        ),
    ] = 0.1
    anchor: Annotated[
        Literal["push-pull", "switch", "none"],
        Option(
            OBJECTIVE,
            "Of the losses seppo and sspo: what the reference's picture is where the policy draws the winner no better "
            "than the reference does. push-pull: it is learned, too (SePPO). switch: it is left out, and the winner "
            "alone learned (SSPO). none: a loser, as everywhere else. Default: {default}, for sspo switch.",
            metavar="push-pull|switch|none",
        ),
    ] = "push-pull"
    labels: Annotated[
        Literal["hard", "soft"],
        Option(
            OBJECTIVE,
            "hard: the preferred picture of a pair is so for certain. soft: with the probability p that the pair store "
            "has for it, such as 0.7 for seven votes to three; a pair's loss is then p loss(z) + (1 - p) loss(-z), "
            f"z its logit. Not for {WITHOUT_STRENGTHS}. Default: {{default}}.",
            metavar="hard|soft",
        ),
    ] = "hard"
    noise: Annotated[
        Literal["fresh", "kept"],
        Option(
            OBJECTIVE,
            "What a pair's pictures are noised with. fresh: noise drawn anew, the same for both. kept: each with the "
            "noise that it was drawn from (as PNAPO does); for pairs of prepare --generate, or of a scored sample. "
            "Default: {default}.",
            metavar="fresh|kept",
        ),
    ] = "fresh"
    reference_ema: Annotated[
        float | None,
        Gt(0),
        Lt(1),
        Option(
            OBJECTIVE,
            "The reference follows the policy: it is an exponential moving average of its weights, with this decay per "
            "step, such as 0.99. Its errors are then not kept for other runs. Default: for linear-dpo 0.99; for all "
            "others the reference stays the model that training starts from.",
            metavar="DECAY",
        ),
    ] = None
    winner_preserving: Annotated[
        float,
        Ge(0),
        Le(1),
        Option(
            OBJECTIVE,
            "Of the loss sdpo: the share of what a step does for a winner that its loser may not take away, 0 to 1. "
            "Default: {default}, for sdxl 0.6.",
        ),
    ] = 0.9
    segment: Annotated[
        str | None,
        Option(
            OBJECTIVE,
            "Train only this part of the trajectory, as fractions: 0-0.1 is nearest the clean image, 0.9-1 nearest "
            "noise. Default: all of it.",
        ),
    ] = None
    gamma: Annotated[float, Gt(0), Le(1), InFile()] = 0.9
    """Discount of the discounted loss."""
    prompt_dropout: Annotated[
        float, Ge(0), Le(1), InFile(" (the share of samples that are trained without their prompt)")
    ] = 0.0
    dropped_prompt: Annotated[
        Literal["unconditional", "encoded"],
        InFile(
            ": unconditional, they get what sampling takes for the unconditional, for SDXL zeros; or encoded, the "
            "encoded empty prompt, as in Diffusion-DPO's code"
        ),
    ] = "unconditional"
    size_condition: Annotated[
        Literal["target", "own"],
        Option(
            OBJECTIVE,
            "What SDXL is told of the size of its training pictures. target: both of a pair are whole and of the "
            "model's resolution, as in Diffusion-DPO's code and in sampling. own: each picture's size and crop; where "
            "they differ, winner and loser can be told apart by them (on Pick-a-Pic, by the model they come from), and "
            "the preference may be learned for sizes. Default: {default}.",
            metavar="target|own",
        ),
    ] = "target"
    optimizer: Annotated[
        Literal["adamw", "adamw8bit", "adafactor"],
        Option(
            OPTIMIZATION,
            "adamw; adamw8bit, state in 8 bits (GPU, needs bitsandbytes); or adafactor, state of a few numbers "
            "per row. Default: the recipe, mostly {default}.",
        ),
    ] = "adamw"
    max_grad_norm: Annotated[float, Gt(0), InFile()] = 1.0
    """The gradient's norm is clipped to this."""
    max_winner_error: Annotated[
        float,
        Gt(1),
        Option(
            RUN,
            "Stop when the error on preferred images exceeds the reference's this many times, and a quarter of "
            "the noise's variance: the model is breaking. inf never stops. Default: {default}.",
        ),
    ] = 4.0
    weight_decay: Annotated[float, Ge(0), InFile()] = 0.01
    """The optimizer's."""
    weight_ema: Annotated[
        float | None,
        Gt(0),
        Lt(1),
        Option(
            OPTIMIZATION,
            "Save an exponential moving average of the weights as the model, with this decay per step, such as "
            "0.999; it grows to it over the first steps. Not to be mixed up with --ema-decay. Default: the last "
            "weights are saved.",
            metavar="DECAY",
        ),
    ] = None
    lora: Annotated[
        int | None,
        Ge(1),
        Le(MAX_RANK),
        Option(OPTIMIZATION, "Train LoRA adapters of this rank. Default: the whole U-Net.", metavar="RANK"),
    ] = None
    lora_format: Annotated[
        Literal["diffusers", "kohya", "both"],
        Option(
            RUN,
            "With --lora: under whose names the weights are saved: diffusers (model/pytorch_lora_weights.safetensors), "
            "kohya (model/RUN-kohya.safetensors, which ComfyUI, A1111 and kohya's scripts read) or both. "
            "Default: {default}.",
            metavar="diffusers|kohya|both",
        ),
    ] = "both"
    seed: Annotated[
        int,
        Ge(0),
        Le(MAX_SEED),
        Option(RUN, "Seed of all draws: pairs, timesteps, noise. Default: {default}."),
    ] = 0
