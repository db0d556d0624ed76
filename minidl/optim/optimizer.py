"""The base of optimisers: parameters and gradients in flat buffers, so that one kernel updates everything.

The parameters of a group become views into one flat array, their gradients views into another: `backward`
writes into it directly, and a step is one pass over memory however many layers there are. Parameters move
into the flat array when the optimiser is made; what shared memory with one before no longer does.
"""

from __future__ import annotations

import copy
import itertools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

import numpy as np

from minidl import writes
from minidl.devices import device_of, moved
from minidl.quiet import quietly
from minidl.tensor import Tensor, enable_grad

IMPLEMENTATIONS = ("foreach", "fused", "capturable", "differentiable")
"""Options by which PyTorch chooses how to compute a step. Here is one way: they must be False or None."""


class FlatGroup:
    """Parameters of one dtype laid out one after the other; gradients and optimiser state beside them.

    state: the state of each parameter that has some; starts: what a new array of state is filled with.
    """

    def __init__(self, parameters: list[Tensor], state: Mapping, starts: Mapping):
        self.parameters = parameters
        self.bounds = np.cumsum([0, *(p.numel() for p in parameters)]).tolist()
        self.weight = np.empty_like(parameters[0].array, shape=self.bounds[-1:])
        self.gradient = np.zeros_like(self.weight)
        self.place = writes.Place(self.weight)
        for p, view, buffer in zip(parameters, *map(self.parts, (self.weight, self.gradient)), strict=True):
            view[...] = p.array
            gradient, p._grad = p._grad, None
            p.array, p._buffer = view, buffer
            if gradient is not None:
                p._accumulate(gradient)
        self.set_state(state, starts)

    def parts(self, flat: np.ndarray) -> list[np.ndarray]:
        """The part of each parameter in a flat array, in the parameter's shape."""
        spans = zip(self.parameters, self.bounds, self.bounds[1:], strict=False)
        return [flat[start:stop].reshape(p.shape) for p, start, stop in spans]

    def buffer(self, name: str, start: float) -> np.ndarray:
        """A flat array of optimiser state, `start` everywhere at first."""
        if name not in self.buffers:
            self.buffers[name] = np.full_like(self.weight, start)
        return self.buffers[name]

    def set_state(self, state: Mapping, starts: Mapping) -> None:
        """Take over step number and arrays of the parameters in `state`; all others begin anew."""
        self.buffers: dict[str, np.ndarray] = {}
        states = [state.get(p) for p in self.parameters]
        self.steps = [int(own.get("step", 1)) if own else None for own in states]  # None: no state yet
        for name in dict.fromkeys(name for own in states for name in own or () if name != "step"):
            parts = self.parts(self.buffer(name, starts.get(name) or 0))
            for part, own in zip(parts, states, strict=True):
                if own and name in own:
                    value = own[name]
                    value = value.array if isinstance(value, Tensor) else np.asarray(value)
                    part[...] = moved(value, device_of(part))

    def runs(self, count: bool) -> Iterator[tuple[slice, int | None]]:
        """Slices of the flat arrays to update, with their step number; neighbours are merged.

        Parameters without a gradient are left out, as in PyTorch. Usually this is one slice.
        """
        ready = [p._grad is not None for p in self.parameters]
        if count:
            self.steps = [(n or 0) + 1 if go else n for n, go in zip(self.steps, ready, strict=True)]
        if False not in ready and len(set(self.steps)) == 1:  # the usual case, without the search for cuts
            yield slice(0, self.bounds[-1]), self.steps[0]
            return
        marks = list(zip(ready, self.steps, strict=True))
        cuts = [i for i, (before, mark) in enumerate(itertools.pairwise(marks), 1) if mark != before]
        for first, end in itertools.pairwise([0, *cuts, len(marks)]):
            go, step = marks[first]
            if go:
                yield slice(self.bounds[first], self.bounds[end]), step


class Optimizer:
    """Holds parameter groups. Subclasses say in `_starts` what state a step needs, in `_update` what it does.

    Args:
        params: parameters, pairs (name, parameter), or dicts with "params" and settings of their own.
        defaults: settings of groups that do not say otherwise.

    `param_groups[i]["lr"]` and its kin may be changed at any time.
    """

    saves_step = True
    """Does the state of a parameter hold its number of steps?"""

    def __init__(self, params: Iterable, defaults: dict):
        if isinstance(params, Tensor):
            raise TypeError("an optimiser takes a list of tensors, not a tensor. Fix: write [tensor]")
        params = list(params)
        if not params:
            raise ValueError("an optimiser needs at least one parameter. Fix: pass model.parameters()")
        self.defaults = defaults
        self.param_groups: list[dict] = []
        self._flat: list[list[FlatGroup]] = []  # of each group, one a dtype
        self._views: list[np.ndarray] = []  # the arrays of all parameters as laid out
        for group in params if isinstance(params[0], dict) else [{"params": params}]:
            self.add_param_group(group)
        self._arranged()

    def __repr__(self):
        text = ""
        for i, group in enumerate(self.param_groups):
            text += f"\nParameter Group {i}\n"
            text += "".join(f"    {name}: {group[name]}\n" for name in sorted(group) if name != "params")
        return f"{type(self).__name__} ({text})"

    # -- what subclasses define ----------------------------------------------------------------------

    def _starts(self, group: dict) -> dict[str, float | None]:
        """Name -> first value of every array of state; None if the group's settings do not need it."""
        return {}

    def _update(self, group: dict, step: int | None, *arrays: np.ndarray | None) -> None:
        """One step, in place, on slices of the flat arrays: weights, gradients, and those of `_starts`."""
        raise NotImplementedError(f"{type(self).__name__} has no _update: define it, or a step of its own")

    # -- parameters ----------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict) -> None:
        """Optimise more parameters: a dict with "params", and settings that differ from the defaults.

        Raises:
            TypeError, ValueError: no dict; no list of leaf tensors; a parameter that is there already; names
                for some and not for others.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f'a parameter group must be a dict {{"params": ...}}, not {type(param_group)}')
        group = {**self.defaults, **param_group}
        names, group["params"] = _names_and_tensors(param_group["params"])
        if names:
            group["param_names"] = names
        known = [p for other in self.param_groups for p in other["params"]]
        if len({*map(id, known), *map(id, group["params"])}) < len(known) + len(group["params"]):
            raise ValueError("some parameters appear in more than one parameter group, or twice in one")
        if any(("param_names" in group) != ("param_names" in other) for other in self.param_groups):
            raise ValueError("all parameter groups must have names, or none")
        for name in filter(group.get, IMPLEMENTATIONS):
            raise NotImplementedError(
                f"{name}=True is not part of minidl: there is one way. Fix: leave it out"
            )
        self.param_groups.append(group)

    def _arranged(self) -> list[list[FlatGroup]]:
        """The flat arrays of each group; laid out anew if parameters or their arrays were replaced."""
        arrays = [p.array for group in self.param_groups for p in group["params"]]
        if len(arrays) != len(self._views) or not all(map(operator.is_, arrays, self._views)):
            state = self.state
            self._flat = [self._lay_out(group, state) for group in self.param_groups]
            self._views = [p.array for group in self.param_groups for p in group["params"]]
        return self._flat

    def _lay_out(self, group: dict, state: Mapping) -> list[FlatGroup]:
        """Flat arrays for a group, one set a dtype and device; its parameters become views of them."""
        params, starts = group["params"], self._starts(group)
        kinds = dict.fromkeys((p.dtype, p.device) for p in params)
        return [
            FlatGroup([p for p in params if (p.dtype, p.device) == kind], state, starts) for kind in kinds
        ]

    # -- training ------------------------------------------------------------------------------------

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p._grad = None
                elif p._grad is not None:
                    p._grad[...] = 0

    def step(self, closure: Callable | None = None):
        """Change every parameter that has a gradient.

        Args:
            closure: computes the loss and its gradients anew, and returns the loss, which is returned here.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group, flats in zip(self.param_groups, self._arranged(), strict=True):
            for flat in flats:
                quietly(self._step, (group, flat))
        return loss

    def _step(self, group: dict, flat: FlatGroup) -> None:
        starts = self._starts(group)
        state = [None if start is None else flat.buffer(name, start) for name, start in starts.items()]
        for where, step in flat.runs(count=any(buffer is not None for buffer in state)):
            g = flat.gradient[where]
            rest = [None if buffer is None else buffer[where] for buffer in state]
            self._update(group, step, flat.weight[where], -g if group.get("maximize") else g, *rest)
        flat.place.written()

    # -- state ---------------------------------------------------------------------------------------

    @property
    def state(self) -> Mapping[Tensor, Mapping[str, Tensor]]:
        """Parameter -> name -> tensor: the state so far, to be read. Arrays are views of the flat ones."""
        state = defaultdict(lambda: MappingProxyType({}))
        for flat in itertools.chain(*self._flat):
            parts = {name: flat.parts(buffer) for name, buffer in flat.buffers.items()}
            for i, (p, step) in enumerate(zip(flat.parameters, flat.steps, strict=True)):
                if step is not None:
                    own = {"step": Tensor(np.array(step, np.float32))} if self.saves_step else {}
                    own |= {name: Tensor(views[i]) for name, views in parts.items()}
                    state[p] = MappingProxyType(own)
        return MappingProxyType(state)

    def state_dict(self) -> dict:
        """Everything needed to go on exactly from here, in PyTorch's format; tensors are copies.

        {"state": {number of the parameter: {name: tensor}}, "param_groups": [settings and "params": numbers]}
        """
        self._arranged()
        place = {p: i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}
        state = {
            place[p]: {name: Tensor(t.array.copy()) for name, t in own.items()}
            for p, own in self.state.items()
        }
        groups = [{**group, "params": [place[p] for p in group["params"]]} for group in self.param_groups]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what `state_dict` of the same optimiser over the same model gave, PyTorch's too.

        Parameters are matched by their order. Nothing is changed unless everything fits.

        Raises:
            ValueError: other groups, another kind of optimiser, or state of another shape.
        """
        groups = state_dict["param_groups"]
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError(
                "the loaded state has other parameter groups. Fix: build the optimiser it is from"
            )
        state, merged = {}, []
        for group, saved in zip(self.param_groups, groups, strict=True):
            for p, number in zip(group["params"], saved["params"], strict=True):
                own = state_dict["state"].get(number, {})
                state[p] = {name: value for name, value in own.items() if value is not None}
            merged.append(self._merged(group, saved))
        _check_shapes(state)
        self.param_groups = merged
        for group, flats in zip(merged, self._arranged(), strict=True):
            for flat in flats:
                flat.set_state(state, self._starts(group))

    def _merged(self, group: dict, saved: dict) -> dict:
        """The saved settings for our parameters; how a step is computed stays as it is here."""
        lacking = [k for k, v in self.defaults.items() if k not in saved and v is not None and v is not False]
        if lacking:
            raise ValueError(f"the loaded state is not one of {type(self).__name__}: it lacks {lacking}")
        kept = {k: group[k] for k in ("params", *IMPLEMENTATIONS) if k in group}
        return {**group, **copy.deepcopy(saved), **kept}


def _names_and_tensors(params) -> tuple[list[str], list[Tensor]]:
    """Parameters, or pairs (name, parameter), as two lists; no names if there are none."""
    if isinstance(params, (set, frozenset)):
        raise TypeError("parameters must come in order, and a set has none. Fix: pass a list")
    params = [params] if isinstance(params, Tensor) else list(params)
    names = [p[0] for p in params if isinstance(p, tuple)]
    tensors = [p[1] if isinstance(p, tuple) else p for p in params]
    if names and len(names) < len(params):
        raise ValueError("all parameters must have names, or none. Fix: pass model.named_parameters()")
    for p in tensors:
        if not isinstance(p, Tensor):
            raise TypeError(
                f"an optimiser takes tensors, not {type(p).__name__}. Fix: pass model.parameters()"
            )
        if not p.is_leaf:
            raise ValueError("an optimiser takes leaf tensors (parameters), not results of operations")
    return names, tensors


def _check_shapes(state: Mapping[Tensor, Mapping]) -> None:
    for p, own in state.items():
        for name, value in own.items():
            if name != "step" and tuple(value.shape) != p.shape:
                raise ValueError(
                    f"loaded state {name!r} has shape {tuple(value.shape)}, its parameter {p.shape}. "
                    "Fix: build the model that the state is from, parameters in the same order"
                )


def check_settings(**settings: float) -> None:
    """Refuse negative settings by name, and an lr that is more than one number."""
    for name, value in settings.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ValueError(f"{name} as a tensor must hold one number, not {value.shape}")
        if not float(value) >= 0:
            raise ValueError(f"invalid {name}: {value}; it must not be negative")


def numbers(group: dict, *names: str) -> list[float]:
    """Settings as Python's numbers, which leave an array's dtype alone."""
    return [float(group[name]) for name in names]
