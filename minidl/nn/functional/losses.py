"""Losses: how wrong an output is, as one number.

`reduction` is "mean", "sum" or "none", a loss for each element or sample. The mean of an empty batch is
refused, and so are shapes that would have to be broadcast. What stands behind `*` goes by name only: PyTorch
has size_average and reduce there, its older words for reduction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl import kernels
from minidl.devices import device_of, moved, to_host
from minidl.nn.functional.activations import log_softmax, logsigmoid
from minidl.ops import abs, broadcast_to, exp, where
from minidl.ops.dtypes import need_float, result_dtype
from minidl.ops.indexing import check_labels
from minidl.tensor import ShapeError, Tensor, describe, op, same_dtype

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "ctc_loss", "huber_loss",
    "kl_div", "l1_loss", "mse_loss", "nll_loss", "smooth_l1_loss",
]  # fmt: skip


def _reduce(loss: Tensor, reduction: str, weight: Tensor | None = None) -> Tensor:
    """loss * weight, reduced; the mean is divided by the summed weight."""
    loss = loss if weight is None else loss * weight
    if reduction == "none":
        return loss
    if reduction not in ("mean", "sum"):
        raise ValueError(f'reduction must be "mean", "sum" or "none", not {reduction!r}')
    if reduction == "sum":
        return loss.sum()
    if not loss.numel():
        raise ValueError("the mean loss of an empty batch does not exist. Fix: skip empty batches")
    return loss.mean() if weight is None else loss.sum() / weight.sum()


def _check_shapes(name: str, input: Tensor, **others: Tensor | None) -> None:
    for key, t in others.items():
        if t is not None and t.shape != input.shape:
            raise ShapeError(
                f"{name}(input: {input.shape}, {key}: {t.shape}): losses do not broadcast, shapes must "
                "agree. Fix: squeeze or unsqueeze one of them"
            )


# -- distances -------------------------------------------------------------------------------------


def _difference(name: str, input: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """input - target; they and weight must have one shape."""
    _check_shapes(name, input, target=target, weight=weight)
    dtype = result_dtype(input.array, target.array)
    difference = input.to(dtype) - target.to(dtype)
    need_float(difference, name)
    return difference


@op
def _mean_squared_error(input, target):
    d = input - target
    flat, count = d.ravel(), d.size
    loss = flat.dot(flat) / d.dtype.type(count)
    return loss, (lambda g: d * (g * (2 / count)), lambda g: d * (g * (-2 / count)))


def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Squared error (x - t)^2. The mean of weighted ones is divided by the summed weight."""
    x, t = input.array, target.array
    plain = weight is None and reduction == "mean" and x.dtype is t.dtype and x.dtype.kind == "f"
    if plain and x.shape == t.shape and x.size:
        return _mean_squared_error(input, target)
    return _reduce(_difference("mse_loss", input, target, weight).square(), reduction, weight)


def l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """Absolute error |x - t|. The mean of weighted ones is divided by the summed weight."""
    _check_shapes("l1_loss", input, target=target, weight=weight)
    return _reduce(abs(input - target), reduction, weight)


def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """(x - t)^2 / (2 beta) up to beta, |x - t| - beta / 2 beyond; beta=0 is l1_loss (Girshick 2015)."""
    distance = abs(_difference("smooth_l1_loss", input, target))
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta={beta} must not be negative")
    if beta:
        distance = where(distance < beta, 0.5 / beta * distance.square(), distance - 0.5 * beta)
    return _reduce(distance, reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """(x - t)^2 / 2 up to delta, delta (|x - t| - delta / 2) beyond (Huber 1964). In input's dtype.

    The mean of weighted ones is divided by their number.
    """
    need_float(input, "huber_loss")
    distance = abs(_difference("huber_loss", input, target, weight))
    if delta <= 0:
        raise ValueError(f"huber_loss: delta={delta} must be positive")
    loss = where(distance <= delta, 0.5 * distance.square(), delta * (distance - 0.5 * delta)).to(input.dtype)
    return _reduce(loss if weight is None else loss * weight, reduction)


# -- yes or no -------------------------------------------------------------------------------------

STEEPEST = float(np.float32(1e-12))
"""The smallest x (1 - x) that a gradient is divided by; PyTorch's constant, which it has in float32."""


def _constant(name: str, weight: Tensor, like: Tensor) -> Tensor:
    """A weight broadcast to `like`, in its dtype."""
    if weight.requires_grad:
        raise RuntimeError(f"{name}: a weight gets no gradient here. Fix: weight.detach()")
    return broadcast_to(weight.to(like.dtype), like.shape)


@op
def _binary_cross_entropy(input, target):
    same_dtype(input, target)
    need_float(input, "a loss")
    for name, x in {"input": input, "target": target}.items():
        if x.size and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(
                f"{name} must be probabilities in [0, 1]. Fix: apply sigmoid, or use "
                "binary_cross_entropy_with_logits"
            )
    yes, no = np.log(input), np.log1p(-input)
    return -(target * np.maximum(yes, -100) + (1 - target) * np.maximum(no, -100)), (
        lambda g: g * (input - target) / np.maximum(input * (1 - input), STEEPEST),
        lambda g: g * (no - yes),
    )


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-(t log x + (1 - t) log(1 - x)) for probabilities x; the logarithms are cut at -100 as in PyTorch.

    weight is a constant that is broadcast.
    """
    _check_shapes("binary_cross_entropy", input, target=target)
    loss = _binary_cross_entropy(input, target)
    if weight is not None:
        loss = loss * _constant("binary_cross_entropy", weight, like=loss)
    return _reduce(loss, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), without overflow. In target's dtype.

    pos_weight multiplies t log x: above 1, a missed "yes" costs more. Both weights are constants, broadcast.
    """
    name = "binary_cross_entropy_with_logits"
    _check_shapes(name, input, target=target)
    need_float(target, name)
    yes = logsigmoid(input)
    if pos_weight is not None:
        yes = yes * ((_constant(name, pos_weight, like=input) - 1) * target + 1)
    loss = ((1 - target) * input - yes).to(target.dtype)
    if weight is not None:
        loss = loss * _constant(name, weight, like=loss)
    return _reduce(loss, reduction)


# -- one of several classes ------------------------------------------------------------------------


@op
def _pick(logp, labels, share):
    """-logp[n, labels[n], ...] * share, 0 where the label is negative: it does not count."""
    index, counted = np.expand_dims(np.maximum(labels, 0), 1), labels >= 0

    def dlogp(g):
        out = np.zeros_like(logp)
        np.put_along_axis(out, index, np.expand_dims(np.where(counted, -g * share, 0), 1), axis=1)
        return out

    picked = np.take_along_axis(logp, index, axis=1).squeeze(1)
    return np.where(counted, -picked * share, 0), (dlogp,)


def _class_weight(name: str, weight: Tensor | None, input: Tensor) -> np.ndarray:
    """(C,), all 1 if there is none."""
    if weight is None:
        return np.ones_like(input.array, shape=input.shape[1:2])
    if weight.requires_grad or weight.shape != input.shape[1:2] or weight.dtype != input.dtype:
        given = f"input: {describe(input.array)}, weight: {describe(weight.array)}"
        raise ShapeError(
            f"{name}({given}): weight must be one constant for each of {input.shape[1]} classes, in input's "
            "dtype. Fix: check its length; weight.detach() if it requires a gradient"
        )
    return weight.array


def _labels(name: str, input: Tensor, target: Tensor, ignore_index: int) -> np.ndarray:
    """The labels (N, ...) for input (N, C, ...), -1 where they do not count."""
    if target.dtype not in (np.int64, np.uint8):
        raise TypeError(f"{name}: labels must be integers (int64), not {target.dtype}. Fix: y.long()")
    labels = target.array.astype(np.int64)
    if labels.shape != input.shape[:1] + input.shape[2:]:
        raise ShapeError(
            f"{name}(input: {input.shape}, target: {target.shape}): input must be (N, C, ...) and target "
            "(N, ...). Fix: put the classes on axis 1, and labels as class numbers, not one-hot"
        )
    counted = labels != ignore_index
    check_labels(name, labels[counted], input.shape[1])
    return np.where(counted, labels, -1)


def _label_loss(name, logp, target, weight, ignore_index, reduction, smoothing=0.0) -> Tensor:
    """-(1 - smoothing) logp[label] - smoothing mean(logp), each class times its weight."""
    if logp.ndim == 1 and target.ndim <= 1:  # one sample: (C,) and () or (1,)
        logp, target = logp.unsqueeze(0), target.reshape(-1)
        reduction = "sum" if reduction == "none" else reduction
    labels = _labels(name, logp, target, ignore_index)
    class_weight = _class_weight(name, weight, logp)
    share = np.where(labels >= 0, np.take(class_weight, np.maximum(labels, 0)), class_weight.dtype.type(0))
    loss = _pick(logp, labels, share)
    if smoothing:
        along = Tensor(class_weight.reshape(-1, *[1] * (logp.ndim - 2)))
        even = (logp * along).sum(1).masked_fill(Tensor(labels < 0), 0)
        loss = (1 - smoothing) * loss - smoothing / logp.shape[1] * even
    if reduction != "mean" or not labels.size:
        return _reduce(loss, reduction)
    if not (labels >= 0).any():
        return loss.sum() + np.nan  # the mean of nothing; gradients are 0
    return loss.sum() / (float(share.sum()) or np.nan)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-weight[t] input[n, t] with t = target[n]: the negative log-likelihood of the right classes.

    input (N, C, ...) log-probabilities and target (N, ...) class indices; or (C,) and (). weight (C,), a
    constant. "mean" divides by the summed weight of the labels that count, those that are not ignore_index.
    """
    need_float(input, "nll_loss")
    return _label_loss("nll_loss", input, target, weight, ignore_index, reduction)


@op
def _softmax_cross_entropy(logits, labels):
    loss, dlogits = kernels.find("softmax_cross_entropy", logits)(logits, labels)
    return loss, (lambda g: _times(dlogits, g), lambda g: None)


def _times(dlogits, g):
    """dlogits * g. Usually g is 1, and to multiply is a waste; but to ask a GPU for g is to wait for it."""
    return dlogits if device_of(g) == "cpu" and g == 1 else dlogits * g


def _are_labels(labels: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Are these valid class indices (N,) for logits of shape (N, C)? Of a GPU's none is read back."""
    fits = len(shape) == 2 and labels.shape == shape[:1] and labels.dtype == np.int64 and labels.size
    if device_of(labels) != "cpu":
        return bool(fits)
    return bool(fits and labels.min() >= 0 and labels.max() < shape[1])


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy in nats between softmax(input) and the target: -log of the right class's probability.

    Args:
        input: logits (C,), (N, C) or (N, C, ...).
        target: class indices (N, ...), or class probabilities of input's shape.
        weight: (C,) weight of each class; "mean" divides by the weights that count, for probabilities by N.
        ignore_index: label that does not count.
        reduction: "mean", "sum" or "none".
        label_smoothing: share of the target spread evenly over all classes (Szegedy et al. 2016).

    Raises:
        IndexError: a label outside [0, C). ShapeError, TypeError: input and target do not fit.
        ValueError: the mean of an empty batch. (Where no label counts, it is nan, as in PyTorch.)
    """
    plain = weight is None and reduction == "mean" and not label_smoothing and ignore_index < 0
    if plain and input.is_floating_point() and _are_labels(target.array, input.shape):
        return _softmax_cross_entropy(input, target)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy: label_smoothing={label_smoothing} must lie in [0, 1]")
    dim = 0 if input.ndim == 1 else 1
    logp = log_softmax(input, dim)
    if target.shape == input.shape:
        need_float(target, "cross_entropy with a target of input's shape, that is probabilities,")
        if ignore_index >= 0:
            raise ValueError("cross_entropy: ignore_index is for labels, and the target holds probabilities")
        return _soft_cross_entropy(logp, target, weight, reduction, label_smoothing, dim)
    return _label_loss("cross_entropy", logp, target, weight, ignore_index, reduction, label_smoothing)


def _soft_cross_entropy(logp, target, weight, reduction, smoothing, dim) -> Tensor:
    """Targets are probabilities; "mean" divides by the number of positions."""
    classes = logp.shape[dim]
    if not classes or (weight is not None and weight.shape != (classes,)):
        given = "" if weight is None else f", weight: {weight.shape}"
        raise ShapeError(
            f"cross_entropy(input: {logp.shape}{given}): one weight for each class, and some classes"
        )
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    if weight is not None:
        logp = logp * weight.reshape(-1, *[1] * (logp.ndim - dim - 1))
    return _reduce(-(target * logp).sum(dim), reduction)


@op
def _x_log_x(x):
    """x log x, 0 where x is 0; there the slope is nan, as in PyTorch."""
    return np.where(x == 0, 0, x * np.log(x)), (lambda g: g * (np.log(x) + x / x),)


def kl_div(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Kullback-Leibler divergence t (log t - x): the extra nats of coding t by what e^x says (1951).

    input (N, ...) holds log-probabilities, target (N, ...) probabilities or with log_target their logarithms.
    "mean" is over all elements; "batchmean" divides by N, which makes it the mean divergence.
    """
    _check_shapes("kl_div", input, target=target)
    need_float(input, "kl_div")
    need_float(target, "kl_div")
    loss = exp(target) * (target - input) if log_target else _x_log_x(target) - target * input
    if reduction == "batchmean":
        reduction, loss = "mean", loss.sum(tuple(range(1, loss.ndim))) if loss.ndim > 1 else loss
    return _reduce(loss, reduction)


# -- sequences of labels ---------------------------------------------------------------------------


@op
def _ctc(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    given = (log_probs, targets, input_lengths, target_lengths, blank)
    loss, alpha = kernels.find("ctc", log_probs)(*given)
    dropped = np.isinf(loss) & zero_infinity

    def dlog_probs(g):
        slopes = kernels.find("ctc_backward", log_probs)(*given, loss, alpha)
        return np.where(dropped[:, None], 0, g[:, None] * slopes)

    return np.where(dropped, 0, loss), (dlog_probs,)


def _lengths(key: str, lengths: Tensor | Sequence[int], n: int, most: int, on_host: bool) -> np.ndarray:
    """(N,) whole numbers in [0, most]. Those that stay on a GPU are not read back: there its loss is nan."""
    array = lengths.array if isinstance(lengths, Tensor) else np.asarray(lengths)
    array = to_host(array) if on_host else array
    if array.dtype.kind not in "iu" or array.size != n or array.ndim > 1:
        raise ShapeError(f"ctc_loss: {key} must be {n} whole numbers, not {array.shape} {array.dtype}")
    if device_of(array) == "cpu" and (array.min() < 0 or array.max() > most):
        raise ValueError(f"ctc_loss: {key} {array.tolist()} must lie in [0, {most}]")
    return array.reshape(n).astype(np.int64)


def _padded(targets: np.ndarray, lengths: np.ndarray, blank: int) -> np.ndarray:
    """Targets one after the other, or padded with anything, as (N, S) padded with the blank."""
    counted = np.arange(lengths.max()) < lengths[:, None]
    out = np.full(counted.shape, blank)
    out[counted] = targets if targets.ndim == 1 else targets[:, : counted.shape[1]][counted]
    return out


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability that a sequence of labels was said, at whatever times (Graves et al. 2006).

    Args:
        log_probs: (T, N, C) log-probabilities of C classes at T times, from `log_softmax`; or (T, C).
        targets: (N, S) labels, padded; or all of them one after the other (sum of target_lengths,).
        input_lengths: (N,), how many of the T times count. target_lengths: (N,), how many labels.
        blank: the class that says nothing.
        reduction: "mean" divides each loss by its target's length first.
        zero_infinity: a loss is 0 where the target does not fit into the time, instead of inf.

    The gradient is PyTorch's: right for what log_softmax made log_probs of; to that of log_probs itself
    exp(log_probs) is added.

    Padded targets, and lengths with them, may lie on a GPU beside log_probs. They are not read back: where
    one is outside its range, the loss is nan. Others are checked, and padded, on the host.

    Raises:
        IndexError: a label outside [0, C). ShapeError, ValueError: what does not fit, or is empty.
    """
    need_float(log_probs, "ctc_loss")
    if log_probs.ndim == 2:
        log_probs = log_probs.unsqueeze(1)
        reduction = "sum" if reduction == "none" else reduction
    if log_probs.ndim != 3 or not log_probs.numel() or not 0 <= blank < log_probs.shape[2]:
        raise ShapeError(
            f"ctc_loss(log_probs: {log_probs.shape}, blank={blank}): log_probs must be (T, N, C) or (T, C), "
            "not empty, and blank one of the C classes"
        )
    times, n, classes = log_probs.shape
    place, longest = device_of(log_probs.array), targets.shape[-1] if targets.ndim else 0
    on_host = targets.ndim != 2 or "cpu" in (place, device_of(targets.array))
    input_lengths = _lengths("input_lengths", input_lengths, n, times, on_host)
    target_lengths = _lengths("target_lengths", target_lengths, n, longest, on_host)
    fits = targets.shape == ((n, longest) if targets.ndim == 2 else (target_lengths.sum(),))
    if not fits or targets.dtype.kind not in "iu":
        raise ShapeError(
            f"ctc_loss(log_probs: {log_probs.shape}, targets: {describe(targets.array)}): targets must be "
            f"whole numbers ({n}, S), or ({int(target_lengths.sum())},), the sum of target_lengths"
        )
    labels = _padded(to_host(targets.array), target_lengths, blank) if on_host else targets.array
    check_labels("ctc_loss", labels, classes)
    labels, input_lengths, target_lengths = (moved(a, place) for a in (labels, input_lengths, target_lengths))
    loss = _ctc(log_probs, labels, input_lengths, target_lengths, blank, zero_infinity)
    return _reduce(loss / Tensor(np.maximum(target_lengths, 1)) if reduction == "mean" else loss, reduction)
