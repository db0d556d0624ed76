"""minidl/ops/creation.py beside PyTorch: every way to make a tensor; the random ones by what they promise."""

import numpy as np
import pytest

import minidl
from minidl.ops.creation import random_generator
from tests.parity import assert_parity, calls, written

pytestmark = pytest.mark.filterwarnings("ignore:Creating a tensor from a list of numpy")  # PyTorch's

FROM_DATA = calls("""
    m.tensor(3)
    m.tensor(2.5)
    m.tensor(True)
    m.tensor([1, 2.5, True])
    m.tensor([True, 2])
    m.tensor([[1, 2], [3, 4]])
    m.tensor([(1, 2), (3, 4)])
    m.tensor(range(3))
    m.tensor([range(2), range(2)])
    m.tensor([])
    m.tensor([[], []])
    m.tensor(data=[1.0])
    m.tensor([2**40, -(2**63)])
    m.tensor([1e40])
    m.tensor([0.1, 1 / 3], dtype=m.float64)
    m.tensor(0.1, dtype=m.float64)
    m.tensor([np.float32(0.1), 0.1], dtype=m.float64)
    m.tensor([nan, inf, -inf])
    m.tensor([np.float64(1)])
    m.tensor([1, np.float64(1)])
    m.tensor([np.float32(1), 2.5])
    m.tensor([np.int32(1)])
    m.tensor(np.int32(1))
    m.tensor(np.bool_(True))
    m.tensor([np.array([1.0, 2.0]), [1, 2]])
    m.tensor([m.tensor(2), 3.5])
    m.tensor([m.tensor(2.0).double(), 3.5])
    m.tensor([m.tensor([1.0]), m.tensor([2.0])])
    m.tensor([1.5, -1.5], dtype=m.int64)
    m.tensor([1.5, 0.0], dtype=m.bool)
    m.tensor([-1, 255], dtype=m.uint8)
    m.tensor([1, 2], dtype=m.float64, requires_grad=True)
    m.tensor([1.0, 2.0], device="cpu", requires_grad=True)
    m.tensor(np.ones((2, 3)).T)
    m.tensor(np.arange(6).reshape(2, 3)[:, ::2], dtype=m.float32)
    m.tensor(np.array([300, -1]), dtype=m.uint8)
    m.tensor(np.array([2.7, -2.7]), dtype=m.int32)
    m.tensor([1], device=None)
    m.as_tensor([1, 2.0])
    m.as_tensor(3)
    m.as_tensor(np.ones(2))
    m.as_tensor(np.ones(2), dtype=m.float32)
    m.as_tensor(m.tensor([1, 2]), dtype=m.float64)
    m.from_numpy(np.array(1.0))
    m.from_numpy(np.ones((2, 0)))
""")

OF_ONE_VALUE = calls("""
    m.zeros(2, 3)
    m.zeros((2, 3))
    m.zeros([2, 3])
    m.zeros(size=(2, 3))
    m.zeros(())
    m.zeros(0)
    m.zeros(2, 0, dtype=m.bool)
    m.zeros(np.int64(2))
    m.zeros(m.tensor(2))
    m.zeros(2, dtype=float)
    m.zeros(2, dtype=int)
    m.zeros(2, dtype=bool)
    m.zeros(2, dtype=m.double, device="cpu", requires_grad=True)
    m.ones(2, dtype=m.int)
    m.ones(3, 1, dtype=m.short)
    m.ones(size=[2], dtype=m.uint8)
    m.empty(2, 0)
    m.empty(size=(0, 3), dtype=m.long)
    m.full((2,), 3)
    m.full((2,), 3.0)
    m.full((2,), True)
    m.full((2,), 0.1, dtype=m.float64)
    m.full([], 3)
    m.full((2,), m.tensor(3.5))
    m.full((2,), np.float64(1.5))
    m.full((2,), np.int32(1))
    m.full((2,), -1, dtype=m.uint8)
    m.full((2,), 1.5, dtype=m.int64)
    m.full((2,), 1e40, dtype=m.float64)
    m.full((2,), inf)
    m.full(size=(2,), fill_value=1, dtype=m.float64, requires_grad=True)
    m.eye(3)
    m.eye(2, 3, dtype=m.int64)
    m.eye(n=2, m=1)
    m.eye(0)
    m.eye(2, dtype=m.bool)
""")

IN_STEPS = calls("""
    m.arange(5)
    m.arange(5.0)
    m.arange(1, 2.5, 0.5)
    m.arange(5, 0, -2)
    m.arange(0)
    m.arange(3, 3)
    m.arange(end=5)
    m.arange(start=1, end=5, step=2)
    m.arange(5, dtype=m.float32)
    m.arange(0.5, 3, 1, dtype=m.int64)
    m.arange(2.7, dtype=m.int64)
    m.arange(0, 1, 0.1)
    m.arange(0, 1, 0.1, dtype=m.float64)
    m.arange(0, 0.9, 0.3)
    m.arange(-2, 3, dtype=m.uint8)
    m.arange(m.tensor(3))
    m.arange(m.tensor(3.0))
    m.arange(np.int64(3))
    m.arange(np.float32(3))
    m.arange(2**53, 2**53 + 3)
    m.arange(3.0, requires_grad=True)
    m.linspace(0, 1, 5)
    m.linspace(0, 1, 1)
    m.linspace(0.1, 0.7, 8, dtype=m.float64)
    m.linspace(0, 1, 0)
    m.linspace(start=-1, end=1, steps=4, dtype=m.float64, requires_grad=True)
    m.linspace(0, 10, 4, dtype=m.int64)
    m.linspace(-7, 3, 6, dtype=m.int32)
    m.linspace(10, 0, 4, dtype=m.uint8)
    m.linspace(m.tensor(0.0), m.tensor(2.0), 3)
    m.linspace(nan, 1, 3)
""")

LIKE = calls("""
    m.zeros_like(x)
    m.zeros_like(x, dtype=m.int64)
    m.ones_like(x, requires_grad=x.is_floating_point())
    m.ones_like(input=x, dtype=m.float64, device="cpu", requires_grad=True)
    m.full_like(x, 1)
    m.full_like(x, fill_value=0.5, dtype=m.float32)
    m.full_like(x, -2.7, dtype=m.int64)
""")

REFUSED = calls("""
    m.tensor([[1, 2], [3]])
    m.tensor([[1, 2], 3])
    m.tensor("a")
    m.tensor(["a"])
    m.tensor(None)
    m.tensor([1, None])
    m.tensor({1, 2})
    m.tensor({1: 2})
    m.tensor(x for x in [1])
    m.tensor(np.array(["a"]))
    m.tensor(np.array([1, None]))
    m.tensor(2**63)
    m.tensor([2**63])
    m.tensor([300], dtype=m.uint8)
    m.tensor([-256], dtype=m.uint8)
    m.tensor([200], dtype=m.int8)
    m.tensor([nan], dtype=m.int64)
    m.tensor([inf], dtype=m.int32)
    m.tensor([m.ones(2), m.ones(2)])
    m.tensor([1, 2], requires_grad=True)
    m.tensor([1, 2], m.float32)
    m.tensor(1, device="tpu")
    m.as_tensor(np.ones(2), m.float32)
    m.from_numpy([1])
    m.from_numpy(np.float64(1))
    m.from_numpy(np.array(["a"]))
    m.zeros()
    m.zeros(size=2)
    m.zeros(-1)
    m.zeros(2, -1)
    m.zeros(2.0)
    m.zeros((2,), (3,))
    m.zeros(True)
    m.zeros("2")
    m.zeros(None)
    m.zeros(2, dtype="float32")
    m.zeros(2, dtype=m.int64, requires_grad=True)
    m.zeros(2, requires_grad=True, dtype=m.bool)
    m.ones(2, m.float32)
    m.full(2, 3)
    m.full((-1,), 3)
    m.full((2,), 300, dtype=m.uint8)
    m.full((2,), 1e40)
    m.full((2,), nan, dtype=m.int64)
    m.full((2,), m.tensor([1.0, 2.0]))
    m.full((2,), "a")
    m.full((2,), 3, requires_grad=True)
    m.eye(-1)
    m.eye(2.0)
    m.arange(-1)
    m.arange(0, 5, -1)
    m.arange(0, 5, 0)
    m.arange(0, 2.5, 0.5, dtype=m.int64)
    m.arange(inf)
    m.arange(nan)
    m.arange()
    m.arange("a")
    m.arange(3, dtype=m.bool)
    m.arange(3, requires_grad=True)
    m.linspace(0, 1)
    m.linspace(0, 1, -1)
    m.linspace(0, 1, 2.5)
    m.linspace(m.tensor([0.0]), m.tensor([2.0]), 3)
    m.linspace(0, 1, 3, dtype=m.bool)
    m.zeros_like([1, 2])
    m.zeros_like(np.ones(2))
    m.zeros_like(m.tensor([1]), requires_grad=True)
    m.full_like(m.zeros(2, dtype=m.uint8), 300)
    m.rand(2, dtype=m.int64)
    m.randn(2, dtype=m.bool)
    m.rand(2, generator=1)
    m.rand_like(m.tensor([1]))
    m.randint(5, size=2)
    m.randint(5)
    m.randint(5, 5, (2,))
    m.randint(0, (2,))
    m.randint(0, 5.5, (2,))
    m.randint(0, 300, (2,), dtype=m.uint8)
    m.randint(-1, 2, (2,), dtype=m.uint8)
    m.randint(0, 5, (2,), requires_grad=True)
    m.randint_like(m.tensor([1]), 5, 1)
    m.randperm(-1)
    m.randperm(2.5)
    m.randperm(3, dtype=m.bool)
    m.randperm(300, dtype=m.uint8)
    m.manual_seed(2**64)
    m.manual_seed(-(2**63) - 1)
    m.manual_seed("a")
    m.Generator("tpu")
    m.Generator().manual_seed(1.5)
    m.Generator().set_state(m.zeros(3))
""")


@pytest.mark.parametrize("call", FROM_DATA + OF_ONE_VALUE + IN_STEPS)
def test_values_dtype_and_shape_are_pytorchs(call):
    assert_parity(written(call))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("call", LIKE)
def test_like_another_tensor(call, dtype):
    for shape in [(), (2, 3), (0, 2)]:
        assert_parity(written(call), np.ones(shape, dtype))


@pytest.mark.parametrize("call", REFUSED)
def test_what_pytorch_refuses_is_refused(call):
    with pytest.raises((RuntimeError, ValueError, TypeError, NotImplementedError)):
        written(call)(minidl)
    assert_parity(written(call))


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        ("m.zeros(2, dtype=np.float16)", NotImplementedError, "float16.*Fix.*float32"),
        ("m.tensor(np.ones(2, np.complex64))", NotImplementedError, "complex64"),
        ("m.tensor(np.ones(2, np.float16), dtype=np.float32)", NotImplementedError, "float16"),
        ("m.tensor(1j)", TypeError, "complex.*numbers and booleans"),
        ("m.zeros(2, dtype='float32')", TypeError, "minidl.float32"),
        ("m.zeros(2, device='cuda')", RuntimeError, "CUDA"),
        ("m.tensor([[1, 2], [3]])", ValueError, "differ in length.*Fix"),
        ("m.tensor([m.ones(2), m.ones(2)])", ValueError, r"\(2,\).*stack"),
        ("m.tensor([300], dtype=m.uint8)", RuntimeError, r"\[-255, 255\].*uint8.*wider"),
        ("m.full((2,), 1e40)", RuntimeError, "1e\\+40 is too large for float32"),
        ("m.zeros(2, -1)", ValueError, r"\(2, -1\)"),
        ("m.arange(3, 1)", ValueError, r"arange\(3, 1, 1\)"),
        ("m.randint(3, 3, (2,))", ValueError, "low must be smaller"),
        ("m.rand(2, dtype=m.int64)", TypeError, "rand needs a floating-point dtype"),
        ("m.rand(2, generator=7)", TypeError, r"Generator\(\).manual_seed"),
    ],
)
def test_a_refusal_says_why(call, kind, words):
    with pytest.raises(kind, match=words):
        written(call)(minidl)


def test_tensor_copies_and_from_numpy_shares():
    a = np.array([1.0, 2.0])
    copied, shared, also_shared = minidl.tensor(a), minidl.from_numpy(a), minidl.as_tensor(a)
    a[0] = 9
    assert (copied[0].item(), shared[0].item(), also_shared[0].item()) == (1, 9, 9)
    t = minidl.tensor([1.0], requires_grad=True)
    assert minidl.as_tensor(t) is t
    assert minidl.as_tensor(t, dtype=minidl.float64).requires_grad
    assert not minidl.tensor(t).requires_grad


# -- random numbers ----------------------------------------------------------------------------------

DRAWS = calls("""
    m.rand(3, 2, **g)
    m.randn(size=(3, 2), **g)
    m.randint(10, (5,), **g)
    m.randint(low=-3, high=4, size=(5,), **g)
    m.randperm(7, **g)
    m.rand_like(m.zeros(4), **g)
    m.randn_like(m.zeros(4), **g)
    m.randint_like(m.zeros(4, dtype=m.uint8), 200, **g)
""")


@pytest.mark.parametrize("call", DRAWS)
def test_the_same_seed_gives_the_same_numbers(call):
    first = written(call, g={"generator": minidl.Generator().manual_seed(4)})(minidl).tolist()
    assert written(call, g={"generator": minidl.Generator().manual_seed(4)})(minidl).tolist() == first
    assert written(call, g={"generator": np.random.default_rng(4)})(minidl).tolist() == first
    minidl.manual_seed(4)
    assert written(call, g={})(minidl).tolist() == first
    assert written(call, g={})(minidl).tolist() != first


def test_the_stream_of_a_seed_is_numpys():
    minidl.manual_seed(3)
    rng = np.random.default_rng(3)
    assert minidl.rand(4).tolist() == rng.random(4).astype(np.float32).tolist()
    assert minidl.randn(4).tolist() == rng.standard_normal(4).astype(np.float32).tolist()
    assert minidl.randint(9, (4,)).tolist() == rng.integers(0, 9, 4).tolist()
    assert minidl.randperm(9).tolist() == rng.permutation(9).tolist()


def test_shapes_dtypes_and_ranges():
    assert minidl.rand(()).shape == minidl.randn(()).shape == minidl.randint(3, ()).shape == ()
    assert minidl.rand(2, 0).shape == (2, 0)
    assert minidl.rand(2, dtype=minidl.float64, requires_grad=True).dtype == np.float64
    assert minidl.randint(3, (2,)).dtype == minidl.randperm(3).dtype == np.int64
    assert minidl.randint(3, (2,), dtype=minidl.float32, requires_grad=True).requires_grad
    assert minidl.randint_like(minidl.zeros(2), 3).dtype == np.float32
    assert minidl.randint(0, 2, (99,), dtype=minidl.bool).dtype == np.bool_
    values = minidl.randint(-2, 3, (999,)).array
    assert sorted(set(values.tolist())) == [-2, -1, 0, 1, 2]
    assert sorted(minidl.randperm(99).tolist()) == list(range(99))


def test_rand_stays_below_one_in_float32():
    class Nearly(np.random.Generator):
        def random(self, size):
            return np.full(size, 1 - 1e-12)

    assert minidl.rand(3, generator=Nearly(np.random.PCG64(0))).array.max() < 1


def test_a_run_goes_on_from_a_saved_state():
    g = minidl.Generator(device="cpu").manual_seed(5)
    minidl.rand(3, generator=g)
    state = g.get_state()
    assert state.dtype == np.uint8
    following = minidl.randn(5, generator=g).tolist()
    resumed = minidl.Generator().set_state(minidl.tensor(state.tolist(), dtype=minidl.uint8))
    assert minidl.randn(5, generator=resumed).tolist() == following
    assert resumed.initial_seed() == 5
    minidl.manual_seed(6)
    state, following = minidl.get_rng_state(), minidl.randperm(20).tolist()
    minidl.set_rng_state(state)
    assert minidl.randperm(20).tolist() == following


def test_seeds_are_remembered():
    for seed, kept in [(3, 3), (-1, 2**64 - 1), (2**64 - 1, 2**64 - 1), (-(2**63), 2**63), (1.7, 1)]:
        assert minidl.manual_seed(seed).initial_seed() == minidl.initial_seed() == kept
    assert minidl.manual_seed(1) is minidl.default_generator
    assert minidl.Generator().initial_seed() == minidl.Generator().initial_seed()
    g = minidl.Generator()
    assert g.seed() == g.initial_seed() != minidl.Generator().seed()
    assert minidl.seed() == minidl.initial_seed()
    assert random_generator(g) is g.numpy
