"""`ddecli train`: preference pairs to an aligned model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ddecli.core.errors import UserError
from ddecli.objectives.registry import LOSSES

LOSS_HELP = "What is optimised; dde if not given.\n" + "\n".join(
    f"- {loss.name}: {loss.summary}" for loss in LOSSES.values()
)
LAUNCH = Path(__file__).parents[1] / "training" / "launch"
"""Configurations of `accelerate launch`."""
EPILOG = (
    "Several GPUs: `accelerate launch --config_file LAUNCH/8-gpus-ddp.yaml -m ddecli train ...`, or 8-gpus-fsdp2.yaml "
    f"for a model that does not fit one GPU, where LAUNCH is `{LAUNCH}`."
)
DATA, OBJECTIVE, OPTIMIZATION = "Model and data", "Objective", "Optimization"
MEMORY, RUN = "Memory and speed", "Run"


def train(
    model: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=DATA,
            help="What is trained: tiny, tiny-xl, sd15, sdxl, a diffusers folder, a run folder, a checkpoint file "
            "(.safetensors) or a hub id (owner/name or owner/name@revision). Default: tiny.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=DATA,
            help="Pair store made by ddecli prepare for this model. Tiny models prepare the world's pairs if "
            "not given.",
        ),
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=DATA,
            help="Pair store that is never trained on (ddecli prepare --holdout makes one): margin and accuracy on its "
            "pairs go to holdout.jsonl. Default: none.",
        ),
    ] = None,
    evaluate_every: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=DATA,
            help="Optimizer steps between evaluations on --holdout. Default: 50, and the last step.",
        ),
    ] = None,
    loss: Annotated[str | None, typer.Option(rich_help_panel=OBJECTIVE, help=LOSS_HELP)] = None,
    beta: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=OBJECTIVE,
            help="Strength of the preference term; larger stays closer to the base model. Errors are means "
            "over a latent's numbers, so 5000 means for uniform what it means in Diffusion-DPO. Default: the "
            "recipe.",
        ),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=OBJECTIVE,
            metavar="noise|native",
            help="Whose errors are formed; the same for models that predict noise. native: of what the model predicts, "
            "v or the clean latent. noise: of the noise which that stands for, next to nothing near noise: abar_t "
            "times the error of v, 0 at zero SNR. Default: native for sft, uniform and discounted, as in the public "
            "code; noise for dde, dde-single and dde-step, as the paper derives them. Their weights follow the unit: "
            "with native they are the same losses, and can be used where the last timestep has zero SNR.",
        ),
    ] = None,
    ema_decay: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=OBJECTIVE,
            help="Decay per optimizer step of the delayed table behind DDE's correction terms, 0 to 1. Default: 0.95.",
        ),
    ] = None,
    segment: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=OBJECTIVE,
            help="Train only this part of the trajectory, as fractions: 0-0.1 is nearest the clean image, "
            "0.9-1 nearest noise. Default: all of it.",
        ),
    ] = None,
    size_condition: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=OBJECTIVE,
            metavar="target|own",
            help="What SDXL is told of the size of its training pictures. target: both of a pair are whole and of the "
            "model's resolution, as in Diffusion-DPO's code and in sampling. own: each picture's size and crop; where "
            "they differ, winner and loser can be told apart by them (on Pick-a-Pic, by the model they come from), and "
            "the preference may be learned for sizes. Default: target.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=OPTIMIZATION,
            help="Optimizer steps. Default: the recipe of model and loss (see --dry-run).",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=OPTIMIZATION,
            help="Pairs per optimizer step, over all micro-batches and processes. Default: the recipe.",
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=OPTIMIZATION,
            help="Learning rate after warm-up; never scaled by anything. Default: the recipe.",
        ),
    ] = None,
    warmup: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=OPTIMIZATION,
            help="Optimizer steps of linear warm-up, constant after. Default: the recipe.",
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=OPTIMIZATION,
            help="adamw; adamw8bit, state in 8 bits (GPU, needs bitsandbytes); or adafactor, state of a few numbers "
            "per row. Default: the recipe, mostly adamw.",
        ),
    ] = None,
    lora: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=OPTIMIZATION,
            metavar="RANK",
            help="Train LoRA adapters of this rank. Default: the whole U-Net.",
        ),
    ] = None,
    weight_ema: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=OPTIMIZATION,
            metavar="DECAY",
            help="Save an exponential moving average of the weights as the model, with this decay per step, such as "
            "0.999; it grows to it over the first steps. Not to be mixed up with --ema-decay. Default: the last "
            "weights are saved.",
        ),
    ] = None,
    micro_batch_size: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=MEMORY,
            help="Pairs per forward pass on each process: memory and speed only, the result is the same up to "
            "rounding. Default: 1, for pictures of up to 64 pixels the whole batch.",
        ),
    ] = None,
    gradient_checkpointing: Annotated[
        bool,
        typer.Option(
            "--gradient-checkpointing",
            rich_help_panel=MEMORY,
            help="Compute activations again in the backward pass: the same result, much less memory, about a third "
            "slower. Default: the recipe, on for sdxl; --no-gradient-checkpointing turns it off.",
        ),
    ] = False,
    no_gradient_checkpointing: Annotated[
        bool, typer.Option("--no-gradient-checkpointing", hidden=True)
    ] = False,
    compile_blocks: Annotated[
        bool,
        typer.Option(
            "--compile",
            rich_help_panel=MEMORY,
            help="Compile the U-Net's transformer blocks (torch.compile): the first steps take minutes, the others "
            "are faster; policy and reference then agree up to rounding. Default: off; --no-compile turns off what "
            "--config turned on.",
        ),
    ] = False,
    no_compile: Annotated[bool, typer.Option("--no-compile", hidden=True)] = False,
    device: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=MEMORY, help="auto, cpu or cuda. Default: auto, the GPU if there is one."
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=MEMORY,
            help="Of the forward passes: float32 (TensorFloat-32 on GPUs that have it), bfloat16 or float16; weights "
            "and errors stay float32. Default: auto, bfloat16 on a GPU that has it, else float32.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(rich_help_panel=RUN, help="Run folder. Default: runs/MODEL-LOSS.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(rich_help_panel=RUN, help="Seed of all draws: pairs, timesteps, noise. Default: 0."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=RUN,
            help="YAML file of settings, such as the run.yaml of a run to repeat (with another --out); options win "
            "over it. It alone can set correction_bins, gamma, max_grad_norm, weight_decay, holdout_pairs, "
            "prompt_dropout (the share of samples that are trained without their prompt) and dropped_prompt: "
            "unconditional, they get what sampling takes for the unconditional, for SDXL zeros; or encoded, the "
            "encoded empty prompt, as in Diffusion-DPO's code. --dry-run shows all settings in its format.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            rich_help_panel=RUN,
            help="Go on from the newest checkpoint in the run folder, if there is one. A finished run is left as it "
            "is; more --steps make it longer.",
        ),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            rich_help_panel=RUN,
            help="Go on with the run in the run folder if it has the same settings and pairs, else replace it.",
        ),
    ] = False,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=RUN,
            help="Optimizer steps between checkpoints; the last two are kept, of a finished run the last. Default: 50.",
        ),
    ] = None,
    credit_gradients: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=RUN,
            metavar="N",
            help="Measure of one pair in N the norm of the gradient of its loss in the weights, for credit.npz: credit "
            "without the unit of an error. It changes nothing else; each takes a step of that pair alone: 16 % more "
            "time for tiny on a processor with N of 16 (measured), 1/N where pairs go one by one. Default: none.",
        ),
    ] = None,
    max_winner_error: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=RUN,
            help="Stop when the error on preferred images exceeds the reference's this many times, and a quarter of "
            "the noise's variance: the model is breaking. inf never stops. Default: 4.",
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=RUN,
            metavar="OWNER/NAME",
            help="Upload the model to this repository of the Hugging Face hub when training is finished; it is made, "
            "private, if there is none: its Settings make it public. Needs a token (hf auth login). Default: nothing "
            "is uploaded.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", rich_help_panel=RUN, help="Print every resolved setting as YAML and stop."),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option(
            "--estimate",
            rich_help_panel=RUN,
            help="Run a few steps, then print the time and memory of the whole run and what "
            "would help; nothing is kept.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=RUN, help="Print the summary as JSON.")
    ] = False,
) -> None:
    """Align a diffusion model with preference pairs.

    Example: `ddecli train --model sd15 --loss dde --data pairs/my-pairs-sd15 --lora 16`
    """
    from ddecli.training.settings import resolve_settings

    given: dict[str, Any] = {
        "model": model, "loss": loss, "data": data, "steps": steps, "batch_size": batch_size,
        "micro_batch_size": micro_batch_size, "lr": lr, "warmup": warmup, "beta": beta, "ema_decay": ema_decay,
        "segment": segment, "seed": seed, "lora": lora, "device": device, "precision": precision,
        "out": str(out) if out else None, "checkpoint_every": checkpoint_every,
        "max_winner_error": max_winner_error, "optimizer": optimizer, "weight_ema": weight_ema,
        "holdout": holdout, "evaluate_every": evaluate_every, "size_condition": size_condition,
        "error": error, "credit_gradients": credit_gradients,
        "gradient_checkpointing": _switch(gradient_checkpointing, no_gradient_checkpointing),
        "compile": _switch(compile_blocks, no_compile),
    }  # fmt: skip
    settings = resolve_settings(given, config)
    if dry_run:
        import yaml

        from ddecli.core.console import echo

        echo(yaml.safe_dump(settings.model_dump(), sort_keys=False), end="")
        return
    settings = _with_pairs(settings)
    if estimate:
        from ddecli.training.estimate import estimate as estimate_run

        _print(estimate_run(settings), as_json)
        return
    from ddecli.training.hub import check_can_push, push
    from ddecli.training.loop import train as run

    if push_to_hub:
        check_can_push(push_to_hub)
    _print(run(settings, resume, overwrite), as_json)
    if push_to_hub:
        push(settings.folder / "model", push_to_hub)


def _switch(on: bool, off: bool) -> bool | None:
    """What an option and its negative say; None where neither was given."""
    return True if on and not off else False if off else None


def _with_pairs(settings: Any) -> Any:
    """Fill in the pair store of a tiny model, and prepare it where there is none yet."""
    if settings.data is not None:
        return settings
    from accelerate import PartialState

    from ddecli.cli.prepare import default_store, prepare
    from ddecli.models.presets import resolve

    if not resolve(settings.model).is_tiny:
        raise UserError(f"Give --data for --model {settings.model}: a pair store made by ddecli prepare.")
    store = default_store(settings.model)
    with PartialState(cpu=settings.device == "cpu").main_process_first():
        if not (store / "manifest.json").exists():
            try:
                prepare(model=settings.model, out=store, device=settings.device, shard="1/1")
            except UserError as error:
                raise UserError(
                    f"Without --data, train begins with ddecli prepare --model {settings.model} --out {store}, which "
                    f"said: {error}"
                ) from error
    return settings.model_copy(update={"data": str(store)})


def _print(summary: Any, as_json: bool) -> None:
    """Show a summary, on the main process only."""
    import dataclasses

    from accelerate import PartialState
    from rich.table import Table

    from ddecli.core.console import echo, show
    from ddecli.core.text import to_json

    if not PartialState().is_main_process:
        return
    values = dataclasses.asdict(summary)
    if as_json:
        echo(to_json(values))
        return
    table = Table(show_header=False)
    for name, value in values.items():
        if value is None:
            continue
        shown = (
            "\n".join(value)
            if isinstance(value, list)
            else f"{value:,.4g}"
            if isinstance(value, float)
            else value
        )
        table.add_row(name.replace("_", " "), str(shown))
    show(table)
