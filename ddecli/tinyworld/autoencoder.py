"""The world's variational autoencoder: 32 x 32 pictures to 8 x 8 latents, shared by both pipelines."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from ddecli.core.seeds import torch_generator
from ddecli.tinyworld.bank import Bank, batch_indices
from ddecli.tinyworld.fit import fit

LATENT_CHANNELS = 12
KL_WEIGHT = 1e-6
BATCH_SIZE = 48


def new_autoencoder() -> AutoencoderKL:
    """An untrained autoencoder: factor 4 in width and height, twelve latent channels."""
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=32,
        mid_block_add_attention=False,
    )


def train_autoencoder(bank: Bank, steps: int, folder: Path) -> AutoencoderKL:
    """Train on flawed scenes with L1 + L2 reconstruction and a small KL term; set the scaling factor."""
    autoencoder = new_autoencoder()

    def loss_of_step(step: int) -> Tensor:
        pixels = bank.pixels(batch_indices("autoencoder", step, len(bank), BATCH_SIZE))
        posterior = autoencoder.encode(pixels).latent_dist
        latents = posterior.sample(torch_generator("autoencoder", step))
        restored = autoencoder.decode(latents).sample
        errors = functional.mse_loss(restored, pixels) + 0.1 * functional.l1_loss(restored, pixels)
        return errors + KL_WEIGHT * posterior.kl().mean()

    # Two cycles, the second from where the first ended; averaged weights gave 3 dB less than the last ones.
    first, second = round(steps * 0.57), steps - round(steps * 0.57)
    fit(
        "autoencoder",
        autoencoder,
        loss_of_step,
        steps=first,
        learning_rate=2.5e-3,
        folder=folder,
        ema_decay=0,
    )
    fit(
        "autoencoder-2",
        autoencoder,
        loss_of_step,
        steps=second,
        learning_rate=2e-3,
        folder=folder,
        ema_decay=0,
    )
    with torch.inference_mode():
        latents = autoencoder.encode(bank.pixels(torch.arange(min(2048, len(bank))))).latent_dist.mean
    autoencoder.register_to_config(scaling_factor=float(1 / latents.std()))
    return autoencoder


@torch.inference_mode()
def encode_bank(autoencoder: AutoencoderKL, bank: Bank, batch_size: int = 256) -> Tensor:
    """Scaled latents of every picture, (N, 12, 8, 8) float32."""
    scale = autoencoder.config["scaling_factor"]
    batches = torch.arange(len(bank)).split(batch_size)
    return torch.cat([autoencoder.encode(bank.pixels(batch)).latent_dist.mean * scale for batch in batches])


@torch.inference_mode()
def reconstruction_psnr(autoencoder: AutoencoderKL, bank: Bank) -> float:
    """Mean peak signal-to-noise ratio of encoding and decoding, dB, over the bank's first 512 pictures."""
    pixels = bank.pixels(torch.arange(min(512, len(bank))))
    restored = autoencoder.decode(autoencoder.encode(pixels).latent_dist.mean).sample.clamp(-1, 1)
    errors = ((restored - pixels) / 2).pow(2).mean(dim=(1, 2, 3))
    return float((-10 * errors.log10()).mean())
