"""Running averages of weights: smoother than the last weights, and often better on new data.

The plain mean of all weights on the way is stochastic weight averaging (Polyak & Juditsky 1992, Izmailov et
al. 2018). The exponential moving average forgets: average = decay average + (1 - decay) weights, in which the
last 1 / (1 - decay) updates or so count (Tarvainen & Valpola 2017). Names are PyTorch's `optim.swa_utils`'s.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

from minidl.nn.module import Module
from minidl.ops import tensor
from minidl.tensor import Tensor, no_grad

__all__ = [
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
]


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """Exponential moving average: f(average, current, n) = decay average + (1 - decay) current."""
    if not 0 <= decay <= 1:
        raise ValueError(f"decay={decay} must lie between 0 and 1")

    def average(averaged: Tensor, current: Tensor, num_averaged) -> Tensor:
        return decay * averaged + (1 - decay) * current

    return average


def get_swa_avg_fn() -> Callable:
    """The plain mean of n weights so far and one more: f(average, current, n)."""

    def average(averaged: Tensor, current: Tensor, num_averaged) -> Tensor:
        return averaged + (current - averaged) / (num_averaged + 1)

    return average


def _for_lists(average: Callable) -> Callable:
    """The same for two lists of tensors; the first is changed in place."""

    @no_grad()
    def update(averaged: list[Tensor], current: list[Tensor], num_averaged) -> None:
        for mean, value in zip(averaged, current, strict=True):
            mean.copy_(average(mean, value, num_averaged))

    return update


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable:
    """`get_ema_avg_fn` for lists of tensors, in place: f(averages, currents, n)."""
    return _for_lists(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn() -> Callable:
    """`get_swa_avg_fn` for lists of tensors, in place: f(averages, currents, n)."""
    return _for_lists(get_swa_avg_fn())


def _copy(averaged: Iterable[Tensor], current: Iterable[Tensor], num_averaged=0) -> None:
    for mean, value in zip(averaged, current, strict=True):
        mean.copy_(value)


class AveragedModel(Module):
    """A copy of a model whose parameters are the running average of the model's.

    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999)); call
    `average.update_parameters(model)` after each step, and use it like the model.

    Args:
        avg_fn: f(average, current, n) -> new average, for one tensor.
        multi_avg_fn: f(averages, currents, n), in place, for lists of tensors. Without both: the plain mean.
        use_buffers: average buffers too; they are copied otherwise.
    """

    def __init__(
        self,
        model: Module,
        device: str | None = None,
        avg_fn: Callable | None = None,
        multi_avg_fn: Callable | None = None,
        use_buffers: bool = False,
    ):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("AveragedModel takes avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model).to(device=device)
        self.register_buffer("n_averaged", tensor(0))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args, **kwargs):
        """What the averaged copy of the model gives."""
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's parameters into the average. The first ones are copied."""
        means, values = ([t.detach() for t in self._averaged(m)] for m in (self.module, model))
        pairs = list(zip(means, values, strict=True))
        update = self.multi_avg_fn or _for_lists(self.avg_fn or get_swa_avg_fn())
        if self.n_averaged == 0:
            update = _copy
        for dtype in dict.fromkeys(mean.dtype for mean in means):
            same = [pair for pair in pairs if pair[0].dtype == dtype]
            update(*map(list, zip(*same, strict=True)), self.n_averaged)
        if not self.use_buffers:
            _copy(self.module.buffers(), model.buffers())
        self.n_averaged += 1

    def _averaged(self, model: Module) -> list[Tensor]:
        return [*model.parameters(), *(model.buffers() if self.use_buffers else ())]
