"""Scorers on a Qwen vision language model, which reads a picture and a text as a chat.

transformers' own processors of these models need torchvision, for videos. Of tokenizer, image processor and chat
template they make little more than what stands here: the picture's token is written once for each of its patches that
the model merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, Qwen2VLImageProcessorPil

from ddecli.core.errors import UserError
from ddecli.core.files import read_json
from ddecli.scoring.scorer import Scorer, centre

IMAGE_TOKEN = "<|image_pad|>"
CHAT_TEMPLATE = "chat_template.json"
MAX_ASPECT = 200
"""The image processor takes no longer picture: of one that is, the centre is seen."""


class QwenScorer(Scorer):
    """A score that a Qwen-VL computes from a picture and a text about it.

    The model runs in bfloat16 on a GPU, as it was published, and in float32 on a processor; its card says in which.
    """

    def load_chat(self, folder: Path, pixels: int | None = None) -> None:
        """Load tokenizer, image processor and chat template.

        Args:
            folder: of a Qwen-VL.
            pixels: about how many each picture is resized to, where the scorer was trained so.
        """
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        sizes = {} if pixels is None else {"min_pixels": pixels, "max_pixels": pixels}
        self.image_processor = Qwen2VLImageProcessorPil.from_pretrained(folder, **sizes)
        self.template = self.tokenizer.chat_template
        if (folder / CHAT_TEMPLATE).is_file():  # the processor's, which comes before the tokenizer's
            self.template = read_json(folder / CHAT_TEMPLATE, dict[str, str], "fetch it again")[
                "chat_template"
            ]

    @property
    def dtype(self) -> torch.dtype:
        """What the model runs in."""
        return torch.bfloat16 if torch.device(self.device).type == "cuda" else torch.float32

    def describe_preprocessing(self) -> dict[str, Any]:
        processor = self.image_processor
        return {
            "precision": str(self.dtype).removeprefix("torch."),
            "pixels": [processor.size["shortest_edge"], processor.size["longest_edge"]],
            "multiple_of": processor.patch_size * processor.merge_size,
            "resample": Image.Resampling(processor.resample).name.lower(),
            "mean": list(processor.image_mean),
            "std": list(processor.image_std),
        }

    def preprocess(self, image: Image.Image) -> Tensor:
        """An RGB picture to its patches, (rows, columns, numbers of a patch) float32, in the order the model reads."""
        found = self.image_processor(centre(image, MAX_ASPECT), return_tensors="pt")
        _, rows, columns = found.image_grid_thw[0].tolist()
        return cast(Tensor, found.pixel_values.view(rows, columns, -1))

    def check_prompts(self, prompts: Sequence[str]) -> None:
        tokens = [str(token) for token in self.tokenizer.added_tokens_decoder.values()]
        for prompt in prompts:
            if held := next((token for token in tokens if token in prompt), None):
                raise UserError(
                    f'{self.name} cannot be told for "{prompt[:80]}": {held} is no text for its model, but a sign that '
                    f"the chat is built with. Leave {self.name} out, or that prompt."
                )

    def chat(self, pictures: Sequence[Tensor], texts: Sequence[str]) -> dict[str, Tensor]:
        """The model's inputs for a picture and a text each, in which the user shows the one and says the other.

        Args:
            pictures: N as `preprocess` leaves them, of any sizes.
            texts: N.

        Returns:
            On the model's device: `input_ids` and `attention_mask`, (N, L), padded at the right; `pixel_values`,
            (patches of all pictures, numbers of a patch); `image_grid_thw`, (N, 3).
        """
        merged = self.image_processor.merge_size**2
        told = [
            self._told(text, len(picture.flatten(0, 1)) // merged)
            for picture, text in zip(pictures, texts, strict=True)
        ]
        tokens = [torch.tensor(numbers) for numbers in self.tokenizer(told).input_ids]
        inputs = {
            "input_ids": pad_sequence(tokens, batch_first=True, padding_value=self.tokenizer.pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(each) for each in tokens], batch_first=True),
            "pixel_values": torch.cat([picture.flatten(0, 1) for picture in pictures]),
            "image_grid_thw": torch.tensor([[1, *picture.shape[:2]] for picture in pictures]),
        }
        return {name: tensor.to(self.device) for name, tensor in inputs.items()}

    def _told(self, text: str, tokens: int) -> str:
        """The chat, in which a picture takes so many tokens."""
        said = [{"type": "image"}, {"type": "text", "text": text}]
        chat = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": said}],
            chat_template=self.template,
            tokenize=False,
            add_generation_prompt=True,
        )
        return cast(str, chat).replace(IMAGE_TOKEN, IMAGE_TOKEN * tokens, 1)
