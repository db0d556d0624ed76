"""The base of optimisers: parameters and gradients in flat buffers, so that one kernel updates everything.

The parameters of a group become views into one flat array, their gradients views into another: `backward`
writes into it directly, and a step is one pass over memory however many layers there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from minidl.tensor import Tensor


class FlatGroup:
    """Parameters of one dtype laid out one after the other."""

    def __init__(self, parameters: list[Tensor]):
        self.parameters = parameters
        self.bounds = np.cumsum([0, *(p.numel() for p in parameters)]).tolist()
        self.steps = [0] * len(parameters)
        self.state: dict[str, np.ndarray] = {}
        self._lay_out()

    def _lay_out(self) -> None:
        """Copy values and gradients into fresh flat arrays and make the parameters views of them."""
        self.weight = np.empty(self.bounds[-1], self.parameters[0].dtype)
        self.gradient = np.zeros_like(self.weight)
        for p, start, stop in self._spans():
            view = self.weight[start:stop].reshape(p.shape)
            view[...] = p.array
            gradient, p._grad = p._grad, None
            p.array, p._buffer = view, self.gradient[start:stop].reshape(p.shape)
            if gradient is not None:
                p._accumulate(gradient)

    def _spans(self) -> Iterator[tuple[Tensor, int, int]]:
        return zip(self.parameters, self.bounds, self.bounds[1:], strict=False)

    def buffer(self, name: str) -> np.ndarray:
        """A flat array of optimiser state, zero at first."""
        if name not in self.state:
            self.state[name] = np.zeros_like(self.weight)
        return self.state[name]

    def ranges(self) -> Iterator[tuple[slice, int]]:
        """Slices of the flat arrays to update, with their step number; neighbours are merged.

        Parameters without a gradient are left out, as in PyTorch. Usually this is one slice.
        """
        if not all(p.array.base is self.weight for p in self.parameters):
            self._lay_out()  # values were replaced, or another optimiser took the parameters over
        begin = end = step = None
        for i, (p, start, stop) in enumerate(self._spans()):
            if p._grad is None:
                continue
            self.steps[i] += 1
            if begin is not None and (start, self.steps[i]) == (end, step):
                end = stop
                continue
            if begin is not None:
                yield slice(begin, end), step
            begin, end, step = start, stop, self.steps[i]
        if begin is not None:
            yield slice(begin, end), step


class Optimizer:
    """Holds parameter groups; subclasses say in `_update` what one step does to a flat slice.

    Args:
        params: parameters, or dicts with "params" and settings of their own (PyTorch's groups).
        defaults: settings of groups that do not say otherwise.

    `param_groups[i]["lr"]` and its kin may be changed at any time.
    """

    def __init__(self, params: Iterable, defaults: dict):
        params = list(params)
        if not params:
            raise ValueError("an optimiser needs at least one parameter. Fix: pass model.parameters()")
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        self.param_groups: list[dict] = []
        self._flat: list[list[FlatGroup]] = []
        for group in groups:
            self.add_param_group({**defaults, **group})

    def add_param_group(self, group: dict) -> None:
        """Optimise these parameters as well."""
        params = group["params"]
        group["params"] = params = [params] if isinstance(params, Tensor) else list(params)
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise TypeError("an optimiser takes leaf tensors (Parameters), not results of operations")
            if any(p is q for other in self.param_groups for q in other["params"]):
                raise ValueError("a parameter appears in two groups")
        if len({id(p) for p in params}) != len(params):
            raise ValueError("a parameter appears twice in one group")
        self.param_groups.append(group)
        dtypes = dict.fromkeys(p.dtype for p in params)
        self._flat.append([FlatGroup([p for p in params if p.dtype == d]) for d in dtypes])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (or fill them with zeros)."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    p._grad[...] = 0

    def step(self) -> None:
        """Change every parameter that has a gradient."""
        for settings, flats in zip(self.param_groups, self._flat, strict=True):
            for flat in flats:
                for where, step in flat.ranges():
                    self._update(flat, where, step, settings)

    def _update(self, flat: FlatGroup, where: slice, step: int, settings: dict) -> None:
        raise NotImplementedError

    def state_dict(self) -> dict:
        """Everything needed to go on exactly from here: settings, step counts and flat state (copies)."""
        return {
            "groups": [{k: v for k, v in g.items() if k != "params"} for g in self.param_groups],
            "steps": [[list(f.steps) for f in flats] for flats in self._flat],
            "state": [[{k: v.copy() for k, v in f.state.items()} for f in flats] for flats in self._flat],
        }

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what `state_dict` of the same optimiser over the same model gave."""
        for group, settings in zip(self.param_groups, state_dict["groups"], strict=True):
            group.update(settings)
        for flats, steps, states in zip(self._flat, state_dict["steps"], state_dict["state"], strict=True):
            for flat, counts, state in zip(flats, steps, states, strict=True):
                if len(counts) != len(flat.parameters):
                    raise ValueError("optimiser state of another model: numbers of parameters differ")
                flat.steps = list(counts)
                flat.state = {k: np.array(v, flat.weight.dtype) for k, v in state.items()}


def check_settings(**settings: float) -> None:
    """Refuse negative settings by name."""
    for name, value in settings.items():
        if not value >= 0:
            raise ValueError(f"invalid {name}: {value}; it must not be negative")
