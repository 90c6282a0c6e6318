"""A tiny encoder of the real classes, and pictures to encode."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


class TinyEncoder:
    """What `prepare` needs of a model: 32x32 pixels -> 4x8x8 latents, prompts of 16 tokens."""

    resolution = 32
    latent_shape = (4, 8, 8)
    fingerprint = "tiny-encoder-0"
    max_tokens = 16

    def __init__(self) -> None:
        torch.manual_seed(0)
        blocks = 3
        self.vae = AutoencoderKL(
            block_out_channels=(8,) * blocks,
            down_block_types=("DownEncoderBlock2D",) * blocks,
            up_block_types=("UpDecoderBlock2D",) * blocks,
            norm_num_groups=4,
        ).eval()
        letters = sorted(ByteLevel.alphabet())
        entries = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
        vocabulary = {entry: index for index, entry in enumerate(entries)}
        self.tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=self.max_tokens)
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(entries),
                hidden_size=16,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=self.max_tokens,
                bos_token_id=self.tokenizer.bos_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        ).eval()
        self.encoded_images = 0
        self.encoded_prompts: list[str] = []

    def encode_images(self, pixels: Tensor) -> Tensor:
        assert pixels.shape[1:] == (3, 32, 32)
        self.encoded_images += len(pixels)
        return self.vae.encode(pixels).latent_dist.mode()

    def encode_prompts(self, prompts: list[str]) -> dict[str, Tensor]:
        self.encoded_prompts += prompts
        tokens = self.tokenizer(prompts, padding="max_length", truncation=True, return_tensors="pt")
        states = self.text_encoder(tokens.input_ids)
        return {"prompt_embeds": states.last_hidden_state, "pooled_prompt_embeds": states.pooler_output}

    def token_counts(self, prompts: list[str]) -> list[int]:
        return [len(ids) for ids in self.tokenizer(prompts).input_ids]


@pytest.fixture
def encoder() -> TinyEncoder:
    return TinyEncoder()


def picture(number: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A picture that no other number gives."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(number: int, size: tuple[int, int] = (32, 32)) -> bytes:
    """The same, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture(number, size).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(folder: Path, rows: list[dict[str, object]], pictures: int = 0) -> Path:
    """A folder with metadata.jsonl and pictures 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        (folder / f"{number}.png").write_bytes(png(number))
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder
