"""From draws to what a training step works on: latents, noise, timesteps, conditioning of a few pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ddecli.core.seeds import starting_noise
from ddecli.data.draws import Draws
from ddecli.data.store import PairStore


@dataclass(frozen=True)
class Batch:
    """`B` pairs; the `2 B` rows of `latents`, `eps`, `conditioning` and `sizes` are winners, then losers."""

    latents: Tensor  # (2B, C, H, W) float32, clean
    eps: Tensor  # (2B, C, H, W) float32, the same for both sides of a pair, unless each has that it was drawn from
    t: Tensor  # (2B,) long
    conditioning: dict[str, Tensor]  # each (2B, ...)
    sizes: Tensor  # (2B, 6) long
    strength: Tensor | None = None  # (2B,) float32, of each row's label; None where labels are certain

    def winners(self) -> Batch:
        """The winners' half, (B, ...)."""
        return self._rows(slice(len(self.t) // 2))

    def pair(self, row: int) -> Batch:
        """One pair alone, (2, ...)."""
        return self._rows(slice(row, None, len(self.t) // 2))

    def _rows(self, rows: slice) -> Batch:
        conditioning = {key: value[rows] for key, value in self.conditioning.items()}
        strength = None if self.strength is None else self.strength[rows]
        return Batch(
            self.latents[rows], self.eps[rows], self.t[rows], conditioning, self.sizes[rows], strength
        )


class Batches:
    """Reads the batch of any draws from a pair store."""

    def __init__(
        self,
        store: PairStore,
        draws: Draws,
        device: torch.device,
        own_sizes: bool = False,
        zeros_for_no_prompt: bool = False,
        strengths: Tensor | None = None,
        noise_seeds: Tensor | None = None,
    ) -> None:
        """Set up the reading.

        Args:
            own_sizes: condition each picture on its own size and crop; else both of a pair on the model's resolution.
            zeros_for_no_prompt: where the prompt is dropped the conditioning is zero; else the encoded empty prompt.
            strengths: of the labels of the store's pairs, (pairs,) float32; None where labels are taken to be certain.
            noise_seeds: of the noise that the pictures were drawn from, (pairs, 2) long, which they are noised with
                again; None: a pair has noise of the draw, the same for both pictures.
        """
        self.store, self.draws, self.device = store, draws, device
        self.own_sizes, self.zeros_for_no_prompt = own_sizes, zeros_for_no_prompt
        self.strengths, self.noise_seeds = strengths, noise_seeds

    def __call__(self, numbers: range) -> Batch:
        """The pairs of draws `numbers`, on the device."""
        drawn = self.draws.batch(numbers)
        winners, losers = self.store.chosen_index, self.store.rejected_index
        losers = winners if losers is None else losers  # of a loss that looks at none
        images = torch.cat([winners[drawn.pair_index], losers[drawn.pair_index]])
        prompts = self.store.prompt_index[drawn.pair_index]
        prompts = torch.where(drawn.drop_prompt, self.store.empty_prompt_index, prompts)
        conditioning = self.store.conditioning(prompts)
        if self.zeros_for_no_prompt:
            for value in conditioning.values():
                value[drawn.drop_prompt] = 0
        sizes = self.store.sizes(images) if self.own_sizes else self.store.target_sizes(len(images))
        return Batch(
            latents=self._moved(self.store.latents(images)),
            eps=self._both(drawn.eps) if self.noise_seeds is None else self._kept_noise(drawn.pair_index),
            t=self._both(drawn.t),
            conditioning={key: self._both(value) for key, value in conditioning.items()},
            sizes=self._moved(sizes),
            strength=None if self.strengths is None else self._both(self.strengths[drawn.pair_index]),
        )

    def _kept_noise(self, pair_index: Tensor) -> Tensor:
        """What the pictures of some pairs began as, (2B, C, H, W)."""
        assert self.noise_seeds is not None
        seeds = self.noise_seeds[pair_index].T.flatten().tolist()  # winners, then losers
        generators = (torch.Generator().manual_seed(seed) for seed in seeds)
        return self._moved(
            torch.stack([starting_noise(self.store.latent_shape, each) for each in generators])
        )

    def _both(self, rows: Tensor) -> Tensor:
        """One row a pair to one row an image: winners, then losers."""
        rows = self._moved(rows)
        return torch.cat([rows, rows])

    def _moved(self, rows: Tensor) -> Tensor:
        """On the device; from pinned memory, as any other copy waits for all that a GPU has to do."""
        if self.device.type == "cuda":
            rows = rows.pin_memory()
        return rows.to(self.device, non_blocking=True)
