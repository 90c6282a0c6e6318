"""Preference alignment of text-to-image diffusion models: DDE, Diffusion-DPO and their relatives."""

__version__ = "0.1.0"
