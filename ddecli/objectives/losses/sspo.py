"""SSPO, the second version of SePPO (arXiv 2410.05255v2): where the reference may draw better, it is left out.

Its abstract says that a training, by random checkpoint replay and self-sampling regularisation, "switches from DPO to
SFT" where a sampled picture is likely to be a winning one. Reconstructed: that the anchor criterion of the first
version decides that, and that the switch leaves the reference's picture out of the logit, so that the winner is learned
under the same sigmoid. Plain fine-tuning beside Diffusion-DPO would have a gradient smaller by beta / 4. The paper
itself was not read.
"""

from __future__ import annotations

from ddecli.objectives.loss import DPO_WEIGHT, Loss
from ddecli.objectives.losses.seppo import SePPO

LOSS = Loss(
    "sspo",
    "SSPO",
    "SSPO, SePPO's second version: where an earlier model may draw better, the preferred pictures alone are learned",
    SePPO,
    paper="arXiv:2410.05255",
    settings=("beta", "anchor"),
    defaults={"pairs": "semi-policy", "iterations": 7, "anchor": "switch"},
    mean_weight=DPO_WEIGHT,
    formula="1/2",
    colour="#999933",
    marker="1",
    line=(0, (6, 1, 1, 1)),
)
