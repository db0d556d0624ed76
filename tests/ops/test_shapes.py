"""minidl/ops/shapes.py beside PyTorch: every call on every shape, what shares memory, what is refused."""

import itertools

import numpy as np
import pytest

import minidl
from tests.parity import assert_equal, assert_parity, calls, ours, theirs, to_torch, written

pytestmark = pytest.mark.filterwarnings("ignore:(Tensor.T|The use of `x.T`)")  # PyTorch's

SHAPES = [(), (1,), (3,), (2, 3), (3, 1), (0, 3), (2, 3, 4), (1, 3, 1), (4, 2, 0), (2, 1, 3, 2)]
EVERYWHERE = calls("""
    x.reshape(-1)
    x.reshape(2, -1)
    x.reshape((3, -1))
    x.reshape([2, 3])
    x.reshape(shape=(-1, 3))
    x.reshape(6, 4)
    x.reshape(0, -1)
    x.reshape(-1, -1)
    x.reshape(-2, 3)
    m.reshape(x, (1, -1, 1))
    m.reshape(input=x, shape=(-1,))
    m.reshape(x, 2, 3)
    x.reshape(())
    x.reshape(2.0, 3)
    x.view(-1)
    x.view(3, -1)
    x.view(size=(2, -1))
    x.view()
    x.T.view(-1)
    x.T.view(3, -1)
    x.transpose(0, -1).view(2, -1)
    x.view_as(x.T)
    x.T.view_as(x)
    x.reshape_as(x.T)
    x.reshape_as(other=x)
    x.ravel()
    m.ravel(x.T)
    x.flatten()
    x.flatten(1)
    x.flatten(0, 1)
    x.flatten(start_dim=-2, end_dim=-1)
    x.flatten(2, 1)
    m.flatten(x, 0, -2)
    x.unflatten(0, (2, -1))
    x.unflatten(-1, (1, 3))
    x.unflatten(dim=1, sizes=(3, 1))
    x.unflatten(0, ())
    x.unflatten(-1, (-1, -1))
    m.unflatten(x, 0, (-1,))
    x.transpose(0, 1)
    x.transpose(-1, 0)
    x.transpose(dim0=0, dim1=0)
    x.transpose(0, 3)
    x.transpose(True, 0)
    m.swapaxes(x, axis0=0, axis1=-1)
    x.swapaxes(1, 2)
    x.permute(1, 0)
    x.permute((2, 0, 1))
    x.permute(0, -1)
    x.permute(dims=(0,))
    x.permute(0, 0)
    m.permute(x, (2, 1, 0))
    x.movedim(0, -1)
    m.movedim(x, (0, 1), (1, 0))
    m.movedim(x, source=(0, 2), destination=(2, 1))
    m.movedim(x, (0, 0), (0, 1))
    m.movedim(x, (0, 1), (0,))
    x.T
    x[None].mT
    x.t()
    m.t(x)
    x.squeeze()
    x.squeeze(0)
    x.squeeze(-1)
    x.squeeze(dim=1)
    x.squeeze((0, 2))
    x.squeeze((0, 0))
    m.squeeze(x, ())
    x.unsqueeze(0)
    x.unsqueeze(-1)
    x.unsqueeze(2)
    m.unsqueeze(input=x, dim=-3)
    x.unsqueeze((0, 1))
    x.expand(2, 3)
    x.expand(4, -1, 3)
    x.expand((2, 3, 3, 4))
    x.expand(size=(-1, 3))
    x.expand(0, 3)
    x.expand_as(x[None])
    m.broadcast_to(x, (2, 3, 4))
    m.broadcast_to(x, size=(5, 2, 3))
    x.broadcast_to(2, 3)
    m.clone(x)
    x.T.clone()
    x.T.contiguous()
    (x.is_contiguous(), x.T.is_contiguous(), x.T.contiguous().is_contiguous())
    (m.numel(x), x.numel())
    x.flip(0)
    x.flip(-1, 0)
    x.flip((0, 1))
    x.flip(dims=[1])
    x.flip(0, 0)
    m.flip(x, (-1,))
    m.flip(x, ())
    m.flip(x, 0)
    x.roll(1)
    x.roll(-4, -1)
    x.roll((1, 2), (0, 1))
    x.roll((1, 2), (0, 0))
    x.roll((1, 2), 0)
    x.roll((1, 2))
    m.roll(x, shifts=2, dims=0)
    x.repeat(2)
    x.repeat(2, 1, 3)
    x.repeat((1, 2, 0, 2))
    x.repeat(repeats=(2, 2))
    x.repeat(2, -1)
    x.repeat(())
    x.tile(2)
    x.tile(2, 1)
    m.tile(x, (1, 2, 1))
    m.tile(x, dims=())
    m.cat([x, x])
    m.cat((x, x, x), -1)
    m.cat([x, x], dim=1)
    m.cat(tensors=[x])
    m.cat([x, x[:0]])
    m.cat([m.zeros(0), x], 1)
    m.cat(x)
    m.cat([x, 1])
    m.stack([x, x])
    m.stack((x, x), -1)
    m.stack([x, x, x], dim=2)
    m.stack([x, x[None]])
    x.split(2)
    x.split(split_size=1, dim=-1)
    m.split(x, [1, 2], 0)
    m.split(tensor=x, split_size_or_sections=3, dim=1)
    m.split(x, [3, -1])
    m.split(x, 0)
    m.split(x, -1)
    m.split(x, 2.0)
    x.chunk(2)
    x.chunk(5, -1)
    m.chunk(x, chunks=3, dim=1)
    x.chunk(0)
    x.unbind()
    m.unbind(x, -1)
    x.unbind(dim=2)
    x.tril()
    x.tril(1)
    m.tril(x, diagonal=-1)
    x.triu()
    m.triu(x, 5)
    x.triu(diagonal=-1)
    x.tril(0.5)
    x.diagonal()
    x.diagonal(1, -2, -1)
    m.diagonal(x, offset=-1, dim1=1, dim2=0)
    x.diagonal(0, 1, 1)
    x.diag()
    m.diag(x, 1)
    m.diag(x, diagonal=-2)
    m.F.pad(x, (1, 2))
    m.F.pad(x, [0, 0, 2, -1])
    m.F.pad(x, (-1, 3), value=4)
    m.F.pad(x, (-2, -2))
    m.F.pad(x, ())
    m.F.pad(x, (1,))
    m.F.pad(x, (1, 1, 0, 1, 2, 0), "constant", 1.0)
    m.F.pad(x, (1, 0), mode="circular")
    m.F.pad(x, (1, 1), mode="mirror")
""")


def drawn(shape, dtype=np.float64, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 3).astype(dtype)


@pytest.mark.parametrize("call", EVERYWHERE)
def test_on_every_shape_and_dtype(call):
    for shape in SHAPES:
        assert_parity(written(call), drawn(shape))
    for dtype in (np.float32, np.int64, np.int32, np.uint8, bool):
        assert_parity(written(call), drawn((2, 3), dtype))


PADDED = calls("""
    m.F.pad(x, (1, 1), mode="reflect")
    m.F.pad(x, (2, 0), "reflect", None)
    m.F.pad(x, (-1, 2), "reflect")
    m.F.pad(x, (3, 0), "reflect")
    m.F.pad(x, (-2, -1), "reflect")
    m.F.pad(x, (1, 1, 1, 0), "reflect")
    m.F.pad(x, (-1, 1, 1, -1), "reflect")
    m.F.pad(x, (1, 1, 1, 1, 1, 1), "reflect")
    m.F.pad(x, (1, 5), "replicate")
    m.F.pad(x, (-2, 2), "replicate")
    m.F.pad(x, (1, 5, 2, 2), "replicate")
    m.F.pad(x, (1, 0, 2, 2, 0, 3), "replicate")
    m.F.pad(x, (3, 2), "circular")
    m.F.pad(x, (-1, 1), "circular")
    m.F.pad(x, (-2, -1), "circular")
    m.F.pad(x, (-2, -2), "circular")
    m.F.pad(x, (5, 0), "circular")
    m.F.pad(x, (1, 1, 2, 1), "circular")
    m.F.pad(x, (1, 0, 0, 1, 2, 2), "circular")
    m.F.pad(x, (1, 1), mode="circular", value=1.0)
    m.F.pad(x, (), mode="circular")
""")


@pytest.mark.parametrize("call", PADDED)
def test_padding_that_continues_the_input(call):
    for shape in [(3,), (2, 3), (0, 2, 3), (2, 3, 3), (2, 3, 4, 3), (1, 2, 3, 2, 3)]:
        for dtype in (np.float32, np.float64, np.int64):
            assert_parity(written(call), drawn(shape, dtype))


DTYPES = [bool, np.uint8, np.int8, np.int16, np.int32, np.int64, np.float32, np.float64]


@pytest.mark.parametrize("call", ["m.cat([x, y])", "m.stack([x, y], 1)"])
def test_joining_promotes_as_pytorch_does(call):
    for a, b in itertools.product(DTYPES, DTYPES):
        assert_parity(written(call), drawn((2, 3), a), drawn((2, 3), b, seed=1))


def test_stacked_numbers_promote_in_full():
    for a, b in itertools.product(DTYPES, DTYPES):
        assert_parity(written("m.stack([x, y])"), drawn((), a), drawn((), b, seed=1))


def test_empty_vectors_are_left_out_of_cat():
    for shapes in itertools.product([(0,), (2, 3), (0, 3), (2, 0)], repeat=3):
        assert_parity(written("m.cat(ts)"), *map(drawn, shapes))
        assert_parity(written("m.cat(ts, 1)"), *map(drawn, [*shapes, (2, 3)]))


def test_chains_of_arrangements_drawn_at_random():
    steps = calls("""
        x.transpose(0, -1)
        x.flip(0)
        x[::2]
        x[..., 1:]
        x.unsqueeze(1)
        x.squeeze()
        x.reshape(-1, 2)
        x.view(2, -1)
        x.expand(2, *x.shape)
        x.repeat(2, *[1] * (x.ndim - 1))
        x.roll(1, 0)
        x.flatten(0, 1)
        m.cat([x, x.flip(-1)], -1)
        x.contiguous()
        x.movedim(0, -1)
        x.chunk(2)[0]
        x.diagonal()
        m.F.pad(x, (1, -1))
    """)
    rng = np.random.default_rng(5)
    for _ in range(300):
        chain = [written(steps[i]) for i in rng.integers(len(steps), size=4)]

        def call(m, x, chain=chain):
            for step in chain:
                x = step(m, x)
            return x

        assert_parity(call, drawn(tuple(rng.integers(1, 5, size=rng.integers(1, 4)))))


# -- memory --------------------------------------------------------------------------------------------

SHARED = calls("""
    x.view(-1)
    x.reshape(3, 8)
    x.T
    x.mT
    x.transpose(0, 1)
    x.permute(2, 0, 1)
    x.movedim(0, 1)
    x.flatten(1)
    x.ravel()
    x.unflatten(2, (2, 2))
    x.squeeze()
    x.unsqueeze(0)
    x.expand(2, 3, 4)
    x.expand(1, -1, -1, -1)
    x.split(1)[1]
    x.chunk(2, 2)[1]
    x.unbind(1)[2]
    x.diagonal(0, 1, 2)
    x.contiguous()
    x.detach()
    x[1]
    x[0, 1, 2]
    x[..., ::2]
    x[:, None, 1:]
    m.einsum("ijk->kij", x)
    m.einsum("iji->ji", x[:, :, :2])
""")
COPIED = calls("""
    x.clone()
    x.T.contiguous()
    x.T.reshape(-1)
    x.flip(0)
    x.flip(())
    x.roll(0, 0)
    x.repeat(1, 1, 1)
    x.tile(1)
    x.tril(9)
    m.cat([x])
    m.stack([x])
    x[0].diag()
    m.F.pad(x, (0, 0))
    x[[0, 1]]
    x[x == x]
    x.index_select(0, m.arange(2))
    x.masked_fill(x != x, 0.0)
""")


@pytest.mark.parametrize("call", SHARED + COPIED)
def test_writing_into_a_result_writes_into_the_input_where_pytorchs_does(call):
    x = minidl.tensor(drawn((2, 3, 4)))
    want = to_torch(x)
    for m, tensor in ((ours(), x), (theirs(), want)):
        written(call)(m, tensor)[...] = 100.0
    assert_equal(x, want)
    assert (x == 100).any().item() == (call in SHARED)


def test_contiguous_is_the_tensor_itself_if_it_can_be():
    x = minidl.ones(2, 3)
    assert x.contiguous() is x
    assert x.T.contiguous() is not x


def test_what_was_repeated_by_expand_cannot_be_written():
    x = minidl.ones(3, 1).expand(3, 2)
    with pytest.raises(minidl.ShapeError, match="read-only"):
        x[:, 0] = 1.0


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            "x.reshape(5, -1)",
            minidl.ShapeError,
            ["reshape", "(2, 3)", "(5, -1)", "number of elements", "Fix"],
        ),
        ("x.T.view(6)", minidl.ShapeError, ["view", "(3, 2)", "memory", "reshape copies"]),
        ("x.view(m.float64)", TypeError, ["view", "float64"]),
        ("x.permute(0, 0)", minidl.ShapeError, ["permute", "each axis once"]),
        ("x.transpose(0, 2)", IndexError, ["transpose", "(2, 3)", "dim 2", "[-2, 1]"]),
        ("m.movedim(x, (0, 1), 0)", minidl.ShapeError, ["movedim", "as many"]),
        ("x.flatten(1, 0)", minidl.ShapeError, ["flatten", "start_dim"]),
        ("x.unflatten(1, (2, 2))", minidl.ShapeError, ["unflatten", "(2, 2) for an axis of size 3"]),
        ("x.expand(4, 3)", minidl.ShapeError, ["broadcast_to", "(2, 3)", "(4, 3)", "unsqueeze"]),
        ("x.expand(-1, 2, 3)", minidl.ShapeError, ["broadcast_to", "(-1, 2, 3)"]),
        ("x.flip(2)", IndexError, ["flip", "dim 2"]),
        ("x.roll((1, 2), 0)", minidl.ShapeError, ["roll", "2 shifts for 1 dims"]),
        ("x.repeat(2)", minidl.ShapeError, ["repeat", "1 counts for 2 axes", "Fix"]),
        ("m.cat([x, x.T])", minidl.ShapeError, ["cat", "(2, 3)", "(3, 2)", "all sizes but that of dim"]),
        ("m.cat(x)", TypeError, ["cat needs a list"]),
        ("m.cat([])", ValueError, ["cat of no tensors"]),
        ("m.stack([x, x.T])", minidl.ShapeError, ["stack", "(3, 2)", "all shapes must be equal"]),
        ("x.split([1, 2])", minidl.ShapeError, ["split", "(2, 3)", "add up to 2"]),
        ("x.sum().split(1)", minidl.ShapeError, ["split", "()", "no axis"]),
        ("x.chunk(0)", minidl.ShapeError, ["chunk", "at least one"]),
        ("x[0].tril()", minidl.ShapeError, ["tril", "(3,)", "two axes"]),
        ("x[None].diag()", minidl.ShapeError, ["diag", "(1, 2, 3)", "vector or a matrix"]),
        ("x[None].t()", minidl.ShapeError, ["t(", "(1, 2, 3)", ".mT"]),
        ("m.pad(x, (1, 1, 1))", minidl.ShapeError, ["pad", "(2, 3)", "two counts for each axis"]),
        ("m.pad(x, (3, 0), 'reflect')", minidl.ShapeError, ["pad", "dim -1", "too short", "(3, 0)"]),
        ("m.pad(x, (1, 1), 'mirror')", NotImplementedError, ["pad", "mirror", "replicate"]),
        ("m.pad(x[None, None], (1, 1), 'circular')", NotImplementedError, ["pad", "(N, C)"]),
        ("m.pad(x, (1, 1), 'reflect', 2.0)", ValueError, ["pad", "value=2.0"]),
        ("m.pad(x.long(), (1, 1), value=nan)", RuntimeError, ["int64"]),
    ],
)
def test_refusals_say_what_is_wrong(call, kind, words):
    with pytest.raises(kind) as error:
        written(call)(minidl, minidl.ones(2, 3))
    for word in words:
        assert word in str(error.value)
