"""Names of the figures and what each shows. Importing this needs neither torch nor matplotlib."""

from __future__ import annotations

FIGURES = {
    "segments": "scores of training on parts of the trajectory (Fig. 3)",
    "beat-ratios": "share of image pairs that beat the base (Fig. 5)",
    "coefficients": "weights of the losses by timestep (Sec. 3.4)",
    "corrections": "DDE's correction terms, by timestep and step (Sec. 4.4)",
    "log-sigmoid": "the loss, its gradient, its saturation (Sec. 3.4)",
    "credit": "which timesteps got the gradient",
    "credit-steps": "which timesteps got it over training, at several beta",
    "curves": "loss, accuracy, margin and gradient norm over training",
    "images": "images of the same prompts side by side (Figs. 4, 6)",
}
