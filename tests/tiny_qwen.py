"""Small random Qwen vision language models of the real classes, in the layouts they are published in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from transformers import (
    Qwen2Tokenizer,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

SIGNS = (
    *("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>system\nYou are a "
    "helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n{% for content in "
    "message['content'] %}{% if content['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif "
    "'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}{% if "
    "add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What Qwen2-VL's template makes of a picture and a text."""
TEMPLATE_3 = TEMPLATE[: TEMPLATE.index("{% if loop.first")] + TEMPLATE[TEMPLATE.index("<|im_start|>{{") :]
"""What Qwen3-VL's makes of them: nothing stands before."""
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""Mean and deviation of the colours by Qwen3-VL."""
CLIP_NORM = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
WIDTH = 32


def tokenizer(corpus: str) -> Qwen2Tokenizer:
    """A byte-level tokenizer that has learnt the words of a text, so that it is not a token a letter."""
    learnt = Tokenizer(BPE())
    learnt.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=700, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False, special_tokens=[]
    )
    learnt.train_from_iterator([corpus], trainer)
    model = json.loads(learnt.to_str())["model"]
    merges = [
        tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in model["merges"]
    ]
    words = Qwen2Tokenizer(vocab=model["vocab"], merges=merges)
    words.add_tokens(list(SIGNS), special_tokens=True)
    return words


def randomise(module: nn.Module, seed: int) -> None:
    """Weights that no two tensors share, so large that every part of the input counts."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn_like(weight) * 1.2 / weight[0].numel() ** 0.5)
            else:
                weight.copy_(torch.randn_like(weight) * 0.2 + ("norm" in name and name.endswith("weight")))


def patches_of(
    image: Image.Image,
    grid: tuple[int, int],
    side: int = 14,
    norm: tuple[tuple[float, ...], tuple[float, ...]] = CLIP_NORM,
) -> Tensor:
    """Squares of a resized picture, twice as if of two moments, four neighbours after one another.

    Args:
        grid: squares across and down.
        side: of a square, pixels.
        norm: mean and deviation of the colours.

    Returns:
        (squares, 3 * 2 * side * side).
    """
    across, down = grid
    resized = image.resize((side * across, side * down), Image.Resampling.BICUBIC)
    pixels = (np.asarray(resized) / 255 - norm[0]) / norm[1]
    rows = []
    for top in range(0, down, 2):
        for left in range(0, across, 2):
            for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                square = pixels[side * row : side * row + side, side * column : side * column + side]
                rows.append(np.stack([[square[..., colour]] * 2 for colour in range(3)]).ravel())
    return torch.tensor(np.array(rows), dtype=torch.float32)


def save_processor(folder: Path, words: Qwen2Tokenizer, template: str, processor: dict[str, object]) -> None:
    """What lies beside a Qwen-VL's weights, with the chat template in a file of its own, as Qwen publishes it."""
    words.save_pretrained(folder)
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    both = {"temporal_patch_size": 2, "merge_size": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(both | processor))


def save_qwen2_vl(folder: Path, words: Qwen2Tokenizer) -> Path:
    """The small files of Qwen2-VL-7B-Instruct, whose config.json is flat, of a model of WIDTH numbers."""
    processor = {
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "patch_size": 14,
        "image_mean": CLIP_NORM[0],
        "image_std": CLIP_NORM[1],
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2VLProcessor",
    }
    save_processor(folder, words, TEMPLATE, processor)
    ids = {f"{name}_token_id": words.convert_tokens_to_ids(f"<|{name}_pad|>") for name in ("image", "video")}
    config = {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        **ids,
        "vision_start_token_id": words.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": words.convert_tokens_to_ids("<|vision_end|>"),
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "max_position_embeddings": 4096,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": len(words) + 7,  # more rows than tokens, as published
        "vision_config": {
            "depth": 2,
            "embed_dim": 24,
            "mlp_ratio": 2,
            "num_heads": 2,
            "in_chans": 3,
            "hidden_size": WIDTH,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "spatial_patch_size": 14,
            "temporal_patch_size": 2,
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def reward_model(
    backbone: Path, words: int, seed: int = 0
) -> tuple[Qwen2VLForConditionalGeneration, nn.Sequential]:
    """A Qwen2-VL with an embedding for each of `words` tokens, and HPSv3's head."""
    config = Qwen2VLConfig.from_pretrained(backbone)
    config.text_config.vocab_size = words
    model = Qwen2VLForConditionalGeneration(config).float()
    head = nn.Sequential(
        nn.Linear(WIDTH, 1024), nn.ReLU(), nn.Dropout(0.05), nn.Linear(1024, 16), nn.ReLU(), nn.Linear(16, 2)
    )
    randomise(model, seed)
    randomise(head, seed + 1)
    return model.eval(), head.eval()


def as_published(model: Qwen2VLForConditionalGeneration, head: nn.Module) -> dict[str, Tensor]:
    """HPSv3's tensors by the names they had in transformers 4.45."""
    state = {}
    for name, tensor in model.state_dict().items():
        for new, old in (("model.visual.", "visual."), ("model.language_model.", "model.")):
            name = name.replace(new, old)
        state[name] = tensor
    return state | {f"rm_head.{name}": tensor for name, tensor in head.state_dict().items()}


def save_hpsv3(folder: Path, state: dict[str, Tensor]) -> Path:
    """Its one file."""
    folder.mkdir(exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "HPSv3.safetensors")
    return folder


def save_qwen3_vl(folder: Path, words: Qwen2Tokenizer, seed: int = 0) -> Path:
    """A random Qwen3-VL as Qwen publishes it, in two files of weights."""
    processor = {
        "size": {"longest_edge": 16777216, "shortest_edge": 65536},
        "patch_size": 16,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "Qwen2VLImageProcessorFast",
        "processor_class": "Qwen3VLProcessor",
    }
    config = Qwen3VLConfig(
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
        text_config={
            "hidden_size": WIDTH,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 5000000.0,
                "mrope_section": [4, 2, 2],
                "mrope_interleaved": True,
            },
            "vocab_size": len(words) + 5,
            "bos_token_id": None,
            "eos_token_id": None,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_heads": 2,
            "patch_size": 16,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
    )
    model = Qwen3VLForConditionalGeneration(config)
    randomise(model, seed)
    model.bfloat16().save_pretrained(folder, max_shard_size="100KB")
    save_processor(folder, words, TEMPLATE_3, processor)
    return folder


def generated(
    model: Qwen3VLForConditionalGeneration,
    words: Qwen2Tokenizer,
    image: Image.Image,
    grid: tuple[int, int],
    text: str,
) -> torch.Tensor:
    """Probabilities of the first token that is generated, (V,), of inputs made by hand."""
    pixels = patches_of(image, grid, 16, HALVES)
    shown = "<|vision_start|>" + "<|image_pad|>" * (len(pixels) // 4) + "<|vision_end|>"
    told = f"<|im_start|>user\n{shown}{text}<|im_end|>\n<|im_start|>assistant\n"
    tokens = torch.tensor([words(told).input_ids])
    out = model.generate(
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        pixel_values=pixels,
        image_grid_thw=torch.tensor([[1, grid[1], grid[0]]]),
        mm_token_type_ids=(tokens == words.convert_tokens_to_ids("<|image_pad|>")).int(),
        max_new_tokens=1,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
    )
    return out.scores[0].softmax(-1)[0]
