"""A reference that follows the policy (`--reference-ema`)."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.models.base import Conditioning, DiffusionModel
from ddecli.training.weight_average import WeightAverage


class MovingReference:
    """The exponential moving average of the policy's weights as the reference; at first they are the same.

    It has no U-Net of its own: while it is asked the averages lie in the policy's. Under LoRA they are averages of the
    adapters.
    """

    def __init__(self, model: DiffusionModel, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        """Begin at the policy's weights.

        Args:
            parameters: those that are trained, whole on this process.
            decay: per optimizer step, from the first on.
        """
        self.model = copy.copy(model)
        self.model.unet = model.pipeline.unet  # not the wrapped one: several processes need not agree on it
        self.average = WeightAverage(parameters, decay, grows=False)

    @property
    def schedule(self) -> NoiseSchedule:
        """The policy's."""
        return self.model.schedule

    def predict(self, latents: Tensor, t: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """See `DiffusionModel.predict`; within `as_reference`."""
        return self.model.predict(latents, t, conditioning, sizes)

    @contextlib.contextmanager
    def as_reference(self) -> Iterator[None]:
        """The averages in the U-Net within the block, its own weights again after it, whatever happens in it."""
        parameters, averages = self.average.parameters, self.average.values
        own = {name: parameter.data for name, parameter in parameters.items()}
        try:
            for name, parameter in parameters.items():
                parameter.data = averages[name]
            yield
        finally:
            for name, parameter in parameters.items():
                parameter.data = own[name]
