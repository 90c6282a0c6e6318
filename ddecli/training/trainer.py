"""One optimizer step: draw, errors, objective, backward, update."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from ddecli.models.base import load_unet_weights
from ddecli.objectives.base import PairObjective
from ddecli.training.auto_beta import measured_beta
from ddecli.training.batches import Batch
from ddecli.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ddecli.training.errors import pair_errors
from ddecli.training.holdout import HeldOut
from ddecli.training.inputs import (
    micro_batches,
    open_pairs,
)
from ddecli.training.micro_batch import measured_micro_batch_size
from ddecli.training.moving_reference import MovingReference
from ddecli.training.opened import Opened, OpenStore
from ddecli.training.pair_gradients import pair_gradient_norms
from ddecli.training.precision import (
    load_scaler_state,
    scaler_state,
)
from ddecli.training.record import OF_REFERENCE, Brake, CreditMap, columns_of, errors_of, step_metrics
from ddecli.training.settings import TrainSettings
from ddecli.training.sharding import (
    gathered,
    optimizer_shards,
    shards_of,
    whole_number,
)


class Trainer(Opened):
    """Takes the steps of a run, on one of its processes."""

    def __init__(self, settings: TrainSettings, open_store: OpenStore = open_pairs) -> None:
        super().__init__(settings, open_store)
        if settings.micro_batch_size == "auto":
            self._set_micro_batch_size()
        if settings.beta == "auto":
            self._set_beta()
        T = self.model.schedule.num_timesteps
        self.held_out = self._held_out(T)
        self.credit = CreditMap(settings.steps, T, self.model.schedule.to_noise_errors)
        self.first_step = 0
        self.is_updating = False  # of no step are the weights then

    def _set_beta(self) -> None:
        """Measure beta, and go on as if it had been given."""
        assert isinstance(self.objective, PairObjective)
        assert self.settings.beta_share is not None
        self.objective.beta = measured_beta(self, self.settings.beta_share)
        self.settings = self.settings.model_copy(update={"beta": self.objective.beta})
        self.drop_base()

    def _set_micro_batch_size(self) -> None:
        """Measure it with the reference at hand, so that runs agree on it whether errors are kept yet or not."""
        size = measured_micro_batch_size(self)
        self.settings = self.settings.model_copy(update={"micro_batch_size": size})
        self.kept = self.kept_errors(self.settings)
        self.drop_base()

    def _held_out(self, T: int) -> HeldOut | None:
        if self.settings.holdout is None:
            return None
        store = open_pairs(self.settings.holdout, self.settings, self.model)
        return HeldOut(store, self.settings, T, self.accelerator)

    def learning_rate(self, step: int) -> float:
        """Linear warm-up, then constant; a pure function of the step."""
        return self.settings.lr * min(1.0, (step + 1) / max(1, self.settings.warmup))

    def micro_batches(self, step: int) -> list[range]:
        """This process's share of the draws of global batch `step`, cut into micro-batches."""
        where = self.accelerator.process_index, self.accelerator.num_processes
        return micro_batches(self.settings, step, *where)

    def step(self, step: int, brake: Brake) -> dict[str, float | None]:
        """One optimizer step; returns its metrics."""
        settings, accelerator = self.settings, self.accelerator
        micro_batches = self.micro_batches(step)
        seen = []
        for number, draws in enumerate(micro_batches):
            batch = self.batches(draws)
            with self.sync(is_last=number == len(micro_batches) - 1):
                known = self.known_errors(draws)
                errors = pair_errors(
                    self.model, self.reference, batch, self.autocast(), self.objective, known
                )
                output = self.objective(errors)
                # Processes average their gradients: the sum over all of them, divided by the global batch.
                mean_loss = output.loss.sum() * accelerator.num_processes / settings.batch_size
                accelerator.backward(mean_loss)
            seen.append(columns_of(errors, output, self.gradient_norms(draws, batch)))
        columns = accelerator.gather(torch.cat(seen)).cpu()  # the whole batch, in the order of its draws
        metrics = step_metrics(columns, self.objective.has_margin)
        parameters = list(self.parameters.values())
        gradient_norm = whole_number(accelerator.clip_grad_norm_(parameters, settings.max_grad_norm))
        brake.check(step, metrics, gradient_norm, is_scaled=accelerator.scaler is not None)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.is_updating = True
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(step)
        if isinstance(self.reference, MovingReference):
            self.reference.average.update(step)
        if self.kept is not None:
            self.kept.add(step * settings.batch_size, columns[:, OF_REFERENCE])
        self.objective.observe(errors_of(columns))
        self.credit.add(step, columns, self.objective.corrections())
        self.is_updating = False
        shown = gradient_norm if math.isfinite(gradient_norm) else None
        return metrics | {"gradient_norm": shown, "lr": self.learning_rate(step)}

    def known_errors(self, draws: range) -> torch.Tensor | None:
        """The reference's errors on these draws, (2, B), where they are kept."""
        found = None if self.kept is None else self.kept(draws)
        if found is not None and self.accelerator.device.type == "cuda":
            return found.pin_memory().to(self.accelerator.device, non_blocking=True)
        return found

    def gradient_norms(self, draws: range, batch: Batch) -> torch.Tensor | None:
        """Norms of the gradients of single pairs, (B,), NaN of pairs that are not measured; None where none is."""
        every, scaler = self.settings.credit_gradients, self.accelerator.scaler
        if every is None:
            return None
        scale = scaler.get_scale() if scaler is not None else 1.0
        with self.sync(is_last=False):
            return pair_gradient_norms(
                draws, batch, every, self.loss_of, list(self.parameters.values()), scale
            )

    def evaluate(self, step: int) -> dict[str, float]:
        """What held-out pairs say after this step, where it is time to ask. Every process has to call it."""
        is_time = (step + 1) % self.settings.evaluate_every == 0 or step + 1 == self.settings.steps
        if self.held_out is None or not is_time:
            return {}
        assert self.base is not None
        return self.held_out.evaluate(self.model, self.base, self.autocast)

    def weights(self) -> dict[str, torch.Tensor]:
        """What is saved as the model: the average of the weights if there is one. Every process has to call it."""
        values = self.average.values if self.average is not None else self.parameters
        return gathered({name: value.detach() for name, value in values.items()}, self.is_main)

    def reference_draws(self) -> dict[str, int]:
        """How many draws' errors of the reference were there, and how many were computed here."""
        if self.kept is not None:
            return {"read": self.kept.read, "computed": self.kept.computed}
        made = (self.settings.steps - self.first_step) * self.settings.batch_size
        return {"read": 0, "computed": made if self.objective.needs_reference else 0}

    def save(self, folder: Path, step: int) -> None:
        """Write a checkpoint after `step` optimizer steps. Every process has to call it, the main one writes."""
        average, reference = self.average, self.reference
        progress_state = {f"credit.{name}": value for name, value in self.credit.state().items()}
        progress_state |= {f"scaler.{name}": value for name, value in scaler_state(self.accelerator).items()}
        progress_state |= {f"table.{name}": value for name, value in self.objective.state_dict().items()}
        checkpoint = Checkpoint(
            step,
            gathered({name: value.detach() for name, value in self.parameters.items()}, self.is_main),
            gathered(self.optimizer.state_dict(), self.is_main),
            progress_state,
            None if average is None else gathered(average.values, self.is_main),
            reference.average.values if isinstance(reference, MovingReference) else None,
        )
        if self.is_main:
            save_checkpoint(folder, checkpoint)
            if self.kept is not None:
                self.kept.keep()

    def resume(self, folder: Path) -> None:
        """Go on from the newest whole checkpoint, if there is one, whatever the number of processes that wrote it."""
        found = load_checkpoint(folder, torch.device("cpu") if self.is_sharded else self.accelerator.device)
        if found is None:
            return
        self.first_step = found.step
        load_unet_weights(self.model.pipeline.unet, shards_of(found.trainable, self.parameters))
        self.optimizer.load_state_dict(optimizer_shards(found.optimizer, list(self.parameters.values())))
        if self.average is not None and found.average is not None:
            self.average.load(shards_of(found.average, self.parameters))
        if isinstance(self.reference, MovingReference) and found.reference is not None:
            self.reference.average.load(found.reference)
        parts: dict[str, dict[str, torch.Tensor]] = {"credit": {}, "table": {}, "scaler": {}}
        for name, value in found.progress.items():
            part, key = name.split(".", 1)
            parts[part][key] = value
        self.credit.load(parts["credit"])
        load_scaler_state(self.accelerator, parts["scaler"])
        self.objective.load_state_dict(parts["table"])
