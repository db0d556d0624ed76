"""Products of vectors and matrices, and sums of products in Einstein's notation."""

from __future__ import annotations

import functools
import math
import re
import string

from minidl.kernels import products
from minidl.ops.arithmetic import mul
from minidl.ops.dtypes import refuse_bool
from minidl.ops.shapes import diagonal, permute, reshape, unsqueeze
from minidl.tensor import ShapeError, Tensor, op, same_dtype

__all__ = [
    "bmm", "dot", "einsum", "matmul", "mm", "mv", "outer",
]  # fmt: skip


def _product(a, b):
    """Rows of a with columns of b; a vector is one row or one column, which the result does not show."""
    same_dtype(a, b)
    refuse_bool(a, fix="x.float()")
    left, right = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    if right.ndim == 2:  # one large product instead of one for each matrix of a
        left = left.reshape(math.prod(left.shape[:-1]), left.shape[-1])
    out = products.matmul(left, right)
    shape = a.shape[:-1] if right.ndim == 2 else out.shape[:-2] + a.shape[-2:-1]
    full = out.shape

    def da(g):
        d = products.matmul(g.reshape(full), right.swapaxes(-1, -2))
        return d.reshape(a.shape) if right.ndim == 2 else d

    def db(g):
        d = products.matmul(left.swapaxes(-1, -2), g.reshape(full))
        return d.reshape(b.shape) if right.ndim == 2 else d

    return out.reshape(shape + b.shape[1:] if b.ndim == 1 else shape + b.shape[-1:]), (da, db)


@op(
    rule="inner sizes must agree: (..., n, k) @ (..., k, m)",
    fix="transpose one of them (.T), or reshape so that both share the axis that is summed over",
)
def matmul(input, other):
    """Matrix product of the last two axes, broadcast over the others.

    (n, k) @ (k, m) -> (n, m);  (..., n, k) @ (..., k, m) -> (..., n, m);  a vector (k,) is a row on the left,
    a column on the right, and that axis is left out of the result:  (..., n, k) @ (k,) -> (..., n).
    """
    if not (getattr(input, "ndim", 0) and getattr(other, "ndim", 0)):
        raise ValueError("an operand has no axis: use * for numbers")
    return _product(input, other)


def _need_axes(*pairs) -> None:
    for x, ndim in pairs:
        if getattr(x, "ndim", None) != ndim:
            raise ValueError(f"one of the operands has not {ndim} axes")


@op(rule="two matrices whose inner sizes agree: (n, k), (k, m)", fix="matmul takes vectors and batches too")
def mm(input, mat2):
    """The product of two matrices.  (n, k), (k, m) -> (n, m)."""
    _need_axes((input, 2), (mat2, 2))
    return _product(input, mat2)


@op(rule="equally many matrices whose inner sizes agree: (N, n, k), (N, k, m)", fix="matmul broadcasts")
def bmm(input, mat2):
    """The products of matrices pair by pair.  (N, n, k), (N, k, m) -> (N, n, m)."""
    _need_axes((input, 3), (mat2, 3))
    if len(input) != len(mat2):
        raise ValueError(f"{len(input)} and {len(mat2)} matrices")
    return _product(input, mat2)


@op(rule="a matrix and a vector whose inner sizes agree: (n, k), (k,)", fix="matmul takes batches too")
def mv(input, vec):
    """A matrix times a vector.  (n, k), (k,) -> (n,)."""
    _need_axes((input, 2), (vec, 1))
    return _product(input, vec)


@op(rule="two vectors of one size", fix="(a * b).sum() for more axes")
def dot(input, tensor):
    """The sum of the products of two vectors' elements.  (n,), (n,) -> ()."""
    _need_axes((input, 1), (tensor, 1))
    return _product(input, tensor)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """Every element of one vector times every element of another.  (n,), (m,) -> (n, m)."""
    if (input.ndim, vec2.ndim) != (1, 1):
        raise ShapeError(f"outer(input: {input.shape}, vec2: {vec2.shape}): two vectors. Fix: flatten()")
    return mul(unsqueeze(input, 1), vec2)


# -- Einstein's notation -------------------------------------------------------------------------------


def einsum(equation: str, *operands) -> Tensor:
    """Sums of products, written with a letter for each axis: einsum("ij,jk->ik", a, b) is a @ b.

    Elements are multiplied where their letters agree, and summed over the letters that are not in the output
    (Einstein 1916). A letter twice in one operand takes its diagonal; "..." stands for any further axes, and
    is broadcast. Without "->" the output is "..." and, in alphabetical order, the letters that occur once.

    Operands are contracted from left to right, each pair as one batched matrix product: letters of both that
    stay are the batch, letters of both that are summed are the inner size.

    Args:
        operands: tensors, or one list of them. einsum(a, [0, 1], b, [1, 2], [0, 2]) may be written as well.

    Raises:
        ShapeError: names the equation and the shapes.
    """
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    if not operands or not all(isinstance(x, Tensor) for x in operands):
        raise TypeError(f"einsum({equation!r}): tensors must follow, or one list of them")
    try:
        terms, output = _read(equation, tuple(x.shape for x in operands))
    except ValueError as error:
        shapes = ", ".join(str(x.shape) for x in operands)
        raise ShapeError(f"einsum({equation!r}, {shapes}): {error}") from error
    (out, term), *waiting = [_diagonals(x, term) for x, term in zip(operands, terms, strict=True)]
    while waiting:
        other = waiting.pop(0)
        later = {label for x, term in waiting for label, n in zip(term, x.shape, strict=True) if n != 1}
        alone = next((label for label in output if (label in term) != (label in other[1])), None)
        pair = (*other, out, term) if alone in other[1] else (out, term, *other)  # as the output has them
        out, term = _contract(*pair, later.union(output))
    summed = tuple(axis for axis, label in enumerate(term) if label not in output)
    return _arranged(out.sum(summed) if summed else out, [label for label in term if label in output], output)


def _from_sublists(args) -> tuple[str, tuple]:
    """The equation for einsum(a, [0, 1], b, [1, 2], [0, 2]): 0-25 are A-Z, 26-51 are a-z."""
    letters = string.ascii_uppercase + string.ascii_lowercase
    terms = ["".join("..." if i is Ellipsis else letters[i] for i in term) for term in args[1::2]]
    output = "->" + "".join("..." if i is Ellipsis else letters[i] for i in args[-1]) if len(args) % 2 else ""
    return ",".join(terms) + output, args[: len(terms) * 2 : 2]


def _labels(text: str, hidden: int) -> list:
    """The letters of a term; the `hidden` axes under "..." are labelled ... -2, -1 from their end."""
    before, dots, after = text.partition("...")
    return [*before, *(range(-hidden, 0) if dots else ()), *after]


@functools.lru_cache(256)
def _read(equation: str, shapes: tuple) -> tuple[list[list], list]:
    """The labels of each operand's axes, and those of the output's.

    Raises:
        ValueError: says what is wrong with the equation or the sizes.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    texts = left.split(",")
    for text in (*texts, right):
        if not re.fullmatch(r"[a-zA-Z]*(\.\.\.)?[a-zA-Z]*", text):
            raise ValueError(f"{text!r} must be letters and at most one '...'")
    if len(texts) != len(shapes):
        raise ValueError(f"there are {len(texts)} terms for {len(shapes)} operands")
    terms, hidden = [], 0
    for text, shape in zip(texts, shapes, strict=True):
        under_dots = len(shape) - len(text.replace("...", ""))
        terms.append(_labels(text, under_dots))
        hidden = max(hidden, under_dots)
        if len(terms[-1]) != len(shape) or under_dots < 0:
            raise ValueError(f"{text!r} does not name the {len(shape)} axes of shape {shape}")
    _check_sizes(terms, shapes)
    letters = [label for term in terms for label in term if isinstance(label, str)]
    if not arrow:
        right = "..." + "".join(sorted(x for x in letters if letters.count(x) == 1))
    output = _labels(right, hidden)
    if len(set(output)) < len(output) or not set(right) <= {*letters, "."}:
        raise ValueError(f"the output {right!r} may name each letter of the operands once")
    return terms, output


def _check_sizes(terms, shapes) -> None:
    sizes = {}  # label -> its sizes, without 1, which is broadcast
    for term, shape in zip(terms, shapes, strict=True):
        for label in term:
            own = {n for other, n in zip(term, shape, strict=True) if other == label}
            sizes[label] = sizes.get(label, set()) | own - {1}
            if len(own) > 1 or len(sizes[label]) > 1:
                raise ValueError(f"axis {label!r} has sizes {sorted(own | sizes[label])}, they must agree")


def _diagonals(x: Tensor, term: list) -> tuple[Tensor, list]:
    """x with each label once: what a repeated one names is a diagonal."""
    for label in dict.fromkeys(term):
        while term.count(label) > 1:
            i = term.index(label)
            j = term.index(label, i + 1)
            x, term = diagonal(x, 0, i, j), [*term[:i], *term[i + 1 : j], *term[j + 1 :], label]
    return x, term


def _arranged(x: Tensor, term: list, order: list) -> Tensor:
    return x if term == order else permute(x, [term.index(label) for label in order])


def _shaped(x: Tensor, sizes: list[int]) -> Tensor:
    return x if x.shape == tuple(sizes) else reshape(x, sizes)


def _reduced(x: Tensor, sizes: dict, others: dict, keep: set) -> tuple[Tensor, list]:
    """x without the axes that are summed in it alone, and without those of size 1 that need not stay."""
    alone = [
        axis for axis, i in enumerate(sizes) if i not in keep and sizes[i] != 1 and others.get(i, 1) == 1
    ]
    x = x.sum(alone, keepdim=True) if alone else x
    term = [i for i, n in zip(sizes, x.shape, strict=True) if n != 1 or (i in keep and others.get(i, 1) == 1)]
    return _shaped(x, [sizes[i] for i in term]), term


def _contract(a: Tensor, term_a: list, b: Tensor, term_b: list, keep: set) -> tuple[Tensor, list]:
    """The product of two operands, summed over the labels that are not kept; and its labels."""
    sizes_a, sizes_b = dict(zip(term_a, a.shape, strict=True)), dict(zip(term_b, b.shape, strict=True))
    a, term_a = _reduced(a, sizes_a, sizes_b, keep)
    b, term_b = _reduced(b, sizes_b, sizes_a, keep)
    sizes = dict(zip(term_a + term_b, a.shape + b.shape, strict=True))
    batch = [i for i in term_a if i in term_b and i in keep]
    inner = [i for i in term_a if i in term_b and i not in keep]
    rows, columns = [i for i in term_a if i not in term_b], [i for i in term_b if i not in term_a]
    n_batch, n_inner, n_rows, n_columns = ([sizes[i] for i in part] for part in (batch, inner, rows, columns))
    a, b = _arranged(a, term_a, batch + rows + inner), _arranged(b, term_b, batch + inner + columns)
    if inner:
        n, k, m = map(math.prod, (n_rows, n_inner, n_columns))
        out = matmul(_shaped(a, [*n_batch, n, k]), _shaped(b, [*n_batch, k, m]))
    else:
        out = mul(
            _shaped(a, n_batch + n_rows + [1] * len(columns)),
            _shaped(b, n_batch + [1] * len(rows) + n_columns),
        )
    return _shaped(out, n_batch + n_rows + n_columns), batch + rows + columns


METHODS = [
    bmm, dot, matmul, mm, mv, outer,
]  # fmt: skip
