"""A real, small byte-level BPE tokenizer of CLIP's kind, trained on the world's captions."""

from __future__ import annotations

import json

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from ddecli.core.seeds import numpy_rng
from ddecli.tinyworld.scenes import caption, random_description

VOCABULARY = 640
"""Upper bound on entries: 2 x 256 bytes, so that any script can be written, and the world's words."""
MAX_TOKENS = 24
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def train_tokenizer(captions: int = 4000) -> CLIPTokenizer:
    """Train on `captions` random captions of the training split; always gives the same tokenizer."""
    rng = numpy_rng("tokenizer")
    corpus = [caption(random_description(rng, "train"), rng) for _ in range(captions)]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()
    words = pre_tokenizers.Split(Regex(r"[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), behavior="removed", invert=True)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, end_of_word_suffix="</w>", show_progress=False)
    bpe.train_from_iterator(corpus, trainer)
    learned = [(left, right) for left, right in _merges(bpe)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    entries = letters + [f"{letter}</w>" for letter in letters] + ["".join(pair) for pair in learned]
    vocabulary = {entry: index for index, entry in enumerate(dict.fromkeys([*entries, BOS, EOS]))}
    return CLIPTokenizer(vocab=vocabulary, merges=learned, model_max_length=MAX_TOKENS)


def _merges(bpe: Tokenizer) -> list[list[str]]:
    merges = json.loads(bpe.to_str())["model"]["merges"]
    return [merge if isinstance(merge, list) else merge.split(" ") for merge in merges]
