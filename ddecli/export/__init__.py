"""Sampled images as the official tools of benchmarks read them."""
