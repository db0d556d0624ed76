"""minidl/ops/indexing.py beside PyTorch: x[...] and its kin on drawn indices, assignment, what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl.ops.indexing import add_rows
from tests.parity import assert_parity, calls, written

pytestmark = pytest.mark.filterwarnings("ignore:(Using a non-tuple|indexing with dtype)")  # PyTorch's

SHAPES = [(), (3,), (0,), (2, 3), (0, 3), (2, 3, 4), (3, 1, 2, 3)]
INDICES = calls("""
    x[0]
    x[-1]
    x[5]
    x[1, 2]
    x[()]
    x[...]
    x[None]
    x[None, ..., None]
    x[:]
    x[::2]
    x[1:100, -100:2]
    x[2:1]
    x[::-1]
    x[::0]
    x[1.0:]
    x[..., 0]
    x[0, ..., 0]
    x[:, None, 1]
    x[0, 0, 0, 0]
    x[1.0]
    x["a"]
    x[{0}]
    x[True]
    x[False]
    x[True, False]
    x[..., True]
    x[0, True]
    x[m.tensor(True)]
    x[m.tensor(1)]
    x[m.tensor(-1, dtype=m.int16), None]
    x[m.tensor(1.0)]
    x[m.tensor(0):m.tensor(2)]
    x[[]]
    x[[0, 1, 1]]
    x[[True, False]]
    x[[False, True, True]]
    x[[True, 0]]
    x[(0, 1), (1, 2)]
    x[[0, 1], [1, -1]]
    x[[0, 1], [0, 1, 2]]
    x[[[0], [1]], [0, 1]]
    x[range(2)]
    x[np.array([1, 0])]
    x[np.array([1, 0], dtype=np.int16)]
    x[np.array([True, False])]
    x[np.int64(1)]
    x[np.array(1)]
    x[m.tensor([1, 0])]
    x[m.tensor([1, 0], dtype=m.int32)]
    x[m.tensor([1, 0], dtype=m.int16)]
    x[m.tensor([1.0, 0.0])]
    x[m.tensor([])]
    x[m.tensor([[0, 1], [1, 1]])]
    x[m.zeros(0, 2, dtype=m.int64)]
    x[m.tensor([3])]
    x[m.tensor([-4])]
    x[[0, 1], :, [0, 1]]
    x[:, [0, 1], [1, 0]]
    x[0, :, [0, 1]]
    x[[0, 1], None, [0, 1]]
    x[[0, 1], ..., [0, 1]]
    x[..., [0, 0], None]
    x[:, :, [1, -1]]
    x[x > 0]
    x[(x > 0)[0]]
    x[x[..., 0] > 0]
    x[:, x[0] > 0]
    x[x[..., 0] > 0, 0]
    x[[1, 0], x[0] > 0]
    x[(x > 0) & (x < 0)]
    x[m.ones(2, dtype=m.bool)]
    x[m.ones(2, 3, dtype=m.bool), [0]]
    x[x > 0, 0]
""")


@pytest.mark.parametrize("call", INDICES)
def test_every_index_on_every_shape(call):
    for shape in SHAPES:
        assert_parity(written(call), drawn(shape))
    assert_parity(written(call), drawn((2, 3), np.int64))
    assert_parity(written(call), np.ascontiguousarray(drawn((2, 3, 4)).T).T)


def drawn(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 3).astype(dtype)


@st.composite
def shapes_and_indices(draw):
    """A shape and an index for it: numbers, slices, None, ..., truths, masks, tensors that broadcast."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    common = draw(st.lists(st.integers(1, 3), max_size=2))  # what the integer tensors broadcast to
    parts, axis = [], 0
    while axis < len(shape):
        n = shape[axis]
        kind = draw(st.sampled_from(["number", "slice", "none", "places", "places", "mask", "truth", "stop"]))
        if kind == "stop":
            break
        if kind == "number":
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "slice":
            bounds = st.none() | st.integers(-n - 1, n + 1)
            parts.append(slice(draw(bounds), draw(bounds), draw(st.none() | st.integers(1, 3))))
        elif kind == "places":
            size = [draw(st.sampled_from([1, k])) for k in common[draw(st.integers(0, len(common))) :]]
            dtype = draw(st.sampled_from([np.int32, np.int64]))
            values = draw(
                st.lists(st.integers(-n, n - 1), min_size=int(np.prod(size)), max_size=int(np.prod(size)))
            )
            parts.append(np.array(values, dtype).reshape(size))
        elif kind == "mask":
            masked = shape[axis : axis + draw(st.integers(1, 2))]
            parts.append(np.random.default_rng(draw(st.integers(0, 99))).random(masked) < 0.5)
            axis += len(masked) - 1
        else:
            parts.append(None if kind == "none" else draw(st.booleans()))
        axis += kind not in ("none", "truth")
    if draw(st.booleans()):
        at = draw(st.integers(0, len(parts)))
        parts.insert(at, ...)
    return shape, parts


def built(m, parts):
    """The index with tensors of minidl or PyTorch for the arrays."""
    return tuple(m.tensor(p) if isinstance(p, np.ndarray) else p for p in parts)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(shapes_and_indices())
def test_drawn_indices(drawn_index):
    shape, parts = drawn_index
    assert_parity(lambda m, x: (x * 1)[built(m, parts)], drawn(shape))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(shapes_and_indices(), st.integers(0, 3), st.sampled_from([np.float32, np.int64, np.bool_]))
def test_drawn_assignments(drawn_index, kept, dtype):
    """One value everywhere, so that places named twice do not matter; its shape is what can be broadcast."""
    shape, parts = drawn_index

    def call(m, x):
        x = x.detach()
        value = m.ones(*x[built(m, parts)].shape[kept:], dtype=x.dtype)
        x[built(m, parts)] = value if kept else 7
        return x

    assert_parity(call, drawn(shape, dtype))


ASSIGNMENTS = calls("""
    (0, 2)
    (0, 1.7)
    (0, -1.7)
    (0, True)
    (0, nan)
    (0, inf)
    (0, 300)
    (0, 2**40)
    (0, np.float64(2.5))
    (0, np.int64(2))
    (0, m.tensor(2))
    (0, m.tensor(2.5))
    (0, m.tensor([1.5, 2.0, 3.0]))
    (0, m.tensor([1.5, 2.0, 3.0]).double())
    (0, m.ones(1, 1, 3))
    (0, m.ones(2, 3))
    (0, m.ones(2))
    (0, [1, 2, 3])
    (0, np.ones(3))
    (0, "a")
    (0, None)
    ([0, 1], m.ones(2, 1).to(x.dtype))
    ([0, 1], m.ones(1, 1, 2, 3).to(x.dtype))
    ([0, 1], m.ones(2, 2, 3).to(x.dtype))
    ([0, 1], m.ones(2).to(x.dtype))
    ([0], m.tensor([1, 2, 3]))
    ([0], m.tensor([1.0, 2.0, 3.0]).double())
    ([0], 2.5)
    ([0], m.tensor(3).double())
    (x > 0, 5)
    (x > 0, m.tensor(5))
    (x > 0, m.tensor([5.0]))
    (x > 0, m.arange(4).to(x.dtype))
    (x > 0, m.arange(3).to(x.dtype))
    (x > 0, m.arange(3)[None].to(x.dtype))
    (x > 0, m.arange(3, dtype=m.int16))
    (x > 99, m.ones(0).to(x.dtype))
    (x > 99, m.ones(2).to(x.dtype))
    ((slice(None), 0), m.ones(1, 2).to(x.dtype))
    ((0, 0), m.ones(1, 1))
    ((0, 0), m.ones(2))
    ((0, [True, False, True]), 5)
    ((..., [0, 0, 1]), 5)
    ((slice(None), slice(None, None, -1)), 5)
    (None, 5)
    (..., 5)
    ((), 5)
    (True, 5)
    (False, 5)
    ([], 5)
    ([], m.ones(2, 3).to(x.dtype))
    (5, 5)
    ((0, 0, 0), 5)
    ([5], 5)
    (m.tensor([1.0]), 5)
""")


@pytest.mark.parametrize("call", ASSIGNMENTS)
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.bool_])
def test_assignments(call, dtype):
    def assigned(m, x):
        x = x.detach().T.contiguous().T
        index, value = written(call)(m, x)
        x[index] = value
        return x

    if call == "(0, -1.7)" and dtype == np.uint8:
        return  # minidl takes -1 as 255 here too, PyTorch only if it is whole
    assert_parity(assigned, np.array([[1, 0, 3], [0, 2, 0]], dtype))


def test_assigning_writes_through_views_and_is_refused_while_gradients_are_recorded():
    x = minidl.zeros(2, 3)
    x[:, 1:].T[0] = minidl.tensor([5.0, 6.0])
    assert x.tolist() == [[0, 5, 0], [0, 6, 0]]
    w = minidl.ones(3, requires_grad=True)
    for target, value in [(w, 0.0), (w * 1, 0.0), (minidl.zeros(3), w[0])]:
        with pytest.raises(RuntimeError, match=r"not recorded.*where"):
            target[0] = value
        with minidl.no_grad():
            target[0] = value
    assert w.tolist() == [0, 1, 1]


ALONG_AN_AXIS = calls("""
    m.gather(x, 1, y)
    x.gather(0, y)
    m.gather(input=x, dim=-1, index=y)
    x.gather(2, y)
    x.gather(1, y - 1)
    x.gather(1, y + 1)
    x.gather(1, y.int())
    x.gather(1, y.to(m.int16))
    x.gather(1, y.float())
    x.gather(1, y[0])
    x.gather(1, y[:1])
    x.gather(1, y[:, :0])
    x.scatter(1, y, 2.5)
    m.scatter(x, 0, y, value=3)
    x.scatter(1, y - 1, 2.5)
    x.scatter(1, y[:, :2], x[:, 1:])
    x.scatter(1, y[:, :1], x.detach())
    x.scatter(dim=1, index=y, src=x.detach().float())
    x.scatter(1, y, x[:, :1])
    x.scatter_add(1, y, x)
    m.scatter_add(x, 0, y, x)
    m.scatter_add(x, 1, y[:1, :2].int(), x.detach())
    x.scatter_add(1, y, 1.0)
    x.scatter_add(1, y, x.double() if x.dtype == m.float32 else x.float())
    x.scatter_add(1, y + 2, x)
    x.index_select(0, y[0])
    m.index_select(x, dim=1, index=y[0].int())
    x.index_select(-1, y[0, 0])
    x.index_select(1, y)
    x.index_select(1, y[0] - 1)
    x.index_select(1, y[0] + 2)
    x.index_select(1, y[0].to(m.int16))
    x.index_select(1, y[0] > 0)
    x.index_select(1, [0])
    x.index_select(2, y[0])
    m.take_along_dim(x, y, 1)
    m.take_along_dim(x, y - 2, dim=0)
    x.take_along_dim(y)
    x.take_along_dim(indices=y[:1], dim=1)
    x[:1].take_along_dim(y, 1)
    x.take_along_dim(y[0], 1)
    x.take_along_dim(y.int(), 1)
    x.repeat_interleave(2)
    x.repeat_interleave(2, 1)
    m.repeat_interleave(x, repeats=3, dim=-2)
    x.repeat_interleave(0, 0)
    x.repeat_interleave(-1)
    x.repeat_interleave(2.0)
    x.repeat_interleave([1, 2], 0)
    x.repeat_interleave(y[:, 1], 0)
    x.repeat_interleave(y[0], dim=0)
    x.repeat_interleave(y[0, 0], dim=1)
    x.repeat_interleave(y, 0)
    x.repeat_interleave(y[:, 1] - 2, 0)
    x.repeat_interleave(y[:, 1].float(), 0)
    x.repeat_interleave(2, 1, output_size=6)
    x.repeat_interleave(2, 1, output_size=5)
    m.repeat_interleave(y[0])
    m.repeat_interleave(y[0].int(), output_size=2)
    m.repeat_interleave(y)
    m.repeat_interleave(x)
    x.nonzero()
    m.nonzero(x - x)
    m.nonzero(y, as_tuple=True)
    (y > 0).nonzero(as_tuple=True)
    x[0, 0].nonzero()
    x[0, 0].nonzero(as_tuple=True)
    x[:0].nonzero()
""")


@pytest.mark.parametrize("call", ALONG_AN_AXIS)
def test_along_an_axis(call):
    places = np.array([[0, 1, 1], [1, 0, 0]])
    for dtype in (np.float32, np.float64, np.int64):
        assert_parity(written(call), drawn((2, 3), dtype), places)


def test_gather_and_its_inverses_on_drawn_shapes():
    rng = np.random.default_rng(2)
    for _ in range(150):
        shape = tuple(rng.integers(1, 4, size=rng.integers(0, 4)))
        dim = int(rng.integers(-len(shape), len(shape))) if shape else 0
        sizes = [int(rng.integers(0, n + 1)) for n in shape]
        if shape:
            sizes[dim] = int(rng.integers(0, 6))
        index = rng.integers(0, shape[dim] if shape else 1, size=sizes)
        source = drawn([n + int(rng.integers(0, 2)) for n in sizes])
        assert_parity(lambda m, x, i, dim=dim: m.gather(x, dim, i), drawn(shape), index)
        assert_parity(lambda m, x, i, dim=dim: x.scatter(dim, i, 1.5), drawn(shape), index)
        assert_parity(
            lambda m, x, i, s, dim=dim: x.scatter_add(dim, i, s.detach()), drawn(shape), index, source
        )


MASKED = calls("""
    x.masked_fill(y, 2)
    x.masked_fill(y, 1.5)
    x.masked_fill(y, True)
    x.masked_fill(y, inf)
    x.masked_fill(y, 300)
    x.masked_fill(mask=y, value=m.tensor(2.5))
    m.masked_fill(x, y, m.tensor(3))
    m.masked_fill(input=x, mask=y[0], value=0)
    x[0].masked_fill(y, 0)
    x.masked_fill(y, m.ones(1))
    x.masked_fill(y.long(), 0)
    x.masked_fill(y.T, 0)
    x.masked_fill(y[0, 0], 0)
    x[0, 0].masked_fill(y, 0)
    x.masked_fill([[True, False, True]], 0)
    x.masked_select(y)
    m.masked_select(x, mask=y[0])
    m.masked_select(x[0], y)
    x[0, 0].masked_select(y[0, 0])
    x.masked_select(y.int())
    x.masked_select(y.T)
""")


@pytest.mark.parametrize("call", MASKED)
def test_masks(call):
    mask = np.array([[True, False, True], [False, False, True]])
    for dtype in (np.float32, np.float64, np.int64, np.uint8, np.bool_):
        assert_parity(written(call), drawn((2, 3), dtype), mask)


# -- gradients of places named many times --------------------------------------------------------------


def test_rows_are_added_up():
    rng = np.random.default_rng(0)
    for count, d in [(1, 1), (3, 2), (50, 7), (4, 0)]:
        rows, g = rng.integers(0, count, 200), rng.normal(size=(200, d))
        np.testing.assert_allclose(add_rows(rows, g, count), np.eye(count)[rows].T @ g, atol=1e-12)


def test_an_embedding_sums_what_its_rows_receive():
    table, words = drawn((50, 8), np.float32), np.random.default_rng(1).integers(-50, 50, (30, 20))
    assert_parity(lambda m, x, i: x[i], table, words)
    assert_parity(lambda m, x, i: x.T[:, i], table, words)
    assert_parity(lambda m, x, i: x[i, :, None, 3:], table, words)


def test_an_index_is_read_as_it_was_when_its_tensor_changes_later():
    x, i = minidl.zeros(3, requires_grad=True), minidl.tensor([0, 0])
    x[[0, 2]].sum().backward()
    assert x.grad.tolist() == [1, 0, 1]
    x.grad = None
    (x[i] * minidl.tensor([1.0, 2.0])).sum().backward()
    assert x.grad.tolist() == [3, 0, 0]


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("x[2]", IndexError, ["getitem", "(2, 3)", "index 2", "Fix"]),
        ("x[0, 0, 0]", IndexError, ["3 indices for 2 axes"]),
        ("x[..., 0, ...]", IndexError, ["... 2 times"]),
        ("x[::-1]", ValueError, ["getitem", "backwards", "x.flip(dim)"]),
        ("x[m.tensor([0, 2])]", IndexError, ["getitem", "index 2"]),
        ("x[m.tensor([0, 1], dtype=m.uint8)]", IndexError, ["uint8", "i.long()", "i.bool()"]),
        ("x[m.tensor([0.0])]", IndexError, ["float32"]),
        ("x[[[0, 1], [1, 0]]]", IndexError, ["whole numbers", "x[tuple(i)]", "x[minidl.tensor(i)]"]),
        ("x[[m.tensor(0)]]", IndexError, ["whole numbers"]),
        ("x[[0.0]]", IndexError, ["whole numbers"]),
        ("x[m.ones(3, dtype=m.bool)]", IndexError, ["getitem", "a mask of shape (3,)", "shape (2,)"]),
        ("x.__setitem__(0, m.ones(2))", minidl.ShapeError, ["setitem", "(2, 3)", "(2,)", "broadcast", "Fix"]),
        ("x.__setitem__([0], m.ones(3).double())", TypeError, ["setitem", "float64", "value.to(x.dtype)"]),
        ("x.__setitem__(0, [1, 2, 3])", TypeError, ["setitem", "list", "minidl.tensor(value)"]),
        ("x.gather(1, m.tensor([0]))", minidl.ShapeError, ["gather", "(2, 3)", "(1,)", "as many axes"]),
        ("x.gather(1, m.tensor([[3]]))", IndexError, ["gather", "index 3", "[0, 2]"]),
        ("x.gather(1, m.tensor([[-1]]))", IndexError, ["gather", "index -1"]),
        ("x.gather(1, m.tensor([[0.0]]))", TypeError, ["gather", "float32", "index.long()"]),
        ("x.scatter(1, m.tensor([[0]]), x.double())", TypeError, ["scatter", "src", "float32"]),
        ("x.scatter(1, m.tensor([[0]]))", TypeError, ["scatter", "src", "value"]),
        ("x.scatter_add(1, m.zeros(2, 4).long(), x)", minidl.ShapeError, ["scatter_add", "larger than src"]),
        ("x.index_select(1, m.tensor([[0]]))", minidl.ShapeError, ["index_select", "vector"]),
        ("x.take_along_dim(m.tensor([0]), 1)", minidl.ShapeError, ["take_along_dim", "(2, 3)", "(1,)"]),
        ("x.take_along_dim(m.tensor([[3]]), 1)", IndexError, ["index 3"]),  # PyTorch wraps around
        ("x.masked_fill(m.ones(3), 0)", TypeError, ["masked_fill", "boolean", "float32"]),
        ("x.masked_fill(x > 0, m.ones(3))", minidl.ShapeError, ["masked_fill", "one number"]),
        ("x.masked_fill((x > 0).T, 0)", minidl.ShapeError, ["masked_fill", "(3, 2)", "broadcast"]),
        ("x.masked_select(x)", TypeError, ["boolean"]),
        ("x.repeat_interleave(m.tensor([1, 2, 3]), 0)", minidl.ShapeError, ["repeat_interleave", "(2, 3)"]),
    ],
)  # fmt: skip
def test_refusals_say_what_is_wrong(call, kind, words):
    with pytest.raises(kind) as error:
        written(call)(minidl, minidl.ones(2, 3))
    for word in words:
        assert word in str(error.value)
