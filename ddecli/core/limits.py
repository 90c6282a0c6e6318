"""The largest numbers that options and settings take: past them something would overflow, or fill all memory."""

from __future__ import annotations

MAX_STEPS = 1_000_000
"""Optimizer steps, whose credit map takes up to 3.2 GB then."""
MAX_ITERATIONS = 100
"""Of self-play, each of which leaves a model and its pairs."""
MAX_BATCH = 1_000_000
"""Pairs or images that are worked on together, and images of one prompt."""
MAX_COUNT = 1_000_000_000
"""Whatever is only counted; twice as many pictures still have a number of 32 bits in a pair store."""
MAX_IMAGES = 10_000_000
"""Images of one sample: every one is listed in memory."""
MAX_RANK = 4096
"""Of LoRA adapters, above which they are no smaller than what they are added to."""
MAX_SHARDS = 100_000
MAX_SEED = 2**63 - 1
"""What a signed number of 64 bits holds, in every file that keeps it."""
MAX_WORKERS = 1024
"""Threads."""
