"""Saving and loading: PyTorch's weights and back, nesting, and files that are refused."""

import io
import math
import os
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.serialization import load, save, write_atomically
from minidl.tensor import Tensor
from tests.parity import ours, theirs

DTYPES = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")
SHAPES = ((), (3,), (2, 3), (0,), (2, 0, 3), (1, 1))


def drawn() -> dict[str, np.ndarray]:
    """An array of every dtype and shape, and some whose elements do not lie side by side."""
    rng = np.random.default_rng(0)
    arrays = {f"{d}.{s}": np.asarray(rng.normal(size=s) * 100).astype(d) for d in DTYPES for s in SHAPES}
    whole = rng.normal(size=(4, 6))
    return {
        **arrays,
        "turned": whole.T,
        "every other": whole[::2, ::-1],
        "spread": np.broadcast_to(whole[:1], (3, 6)),
    }


def assert_same_arrays(mine: dict, want: dict):
    assert mine.keys() == want.keys()
    for name, array in want.items():
        a = np.asarray(mine[name])
        assert (a.shape, a.dtype) == (array.shape, array.dtype)
        assert (a == array).all()


def test_every_dtype_and_shape_comes_back(tmp_path):
    arrays = drawn()
    save({name: Tensor(a) for name, a in arrays.items()}, tmp_path / "w.safetensors")
    back = load(tmp_path / "w.safetensors")
    assert_same_arrays(back, arrays)
    for t in back.values():
        t.fill_(1)  # memory of one's own


def test_pytorch_reads_what_we_save_and_we_what_it_saves(tmp_path):
    theirs()
    from safetensors.torch import load_file, save_file

    arrays = drawn()
    save({name: Tensor(a) for name, a in arrays.items()}, tmp_path / "ours.safetensors")
    tensors = load_file(tmp_path / "ours.safetensors")
    assert_same_arrays({name: t.numpy() for name, t in tensors.items()}, arrays)
    save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    assert_same_arrays(load(tmp_path / "theirs.safetensors"), arrays)


def network(m):
    norm = m.nn.Sequential(m.nn.Conv2d(1, 3, 3), m.nn.BatchNorm2d(3), m.nn.ReLU(), m.nn.Flatten())
    return m.nn.Sequential(norm, m.nn.Linear(3 * 4, 5), m.nn.LayerNorm(5))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_gives_the_same_in_pytorch_and_here(tmp_path, dtype):
    m = theirs()
    from safetensors.torch import load_file, save_file

    x = np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(dtype)
    model, theirs_, back = (
        network(ours()).to(getattr(minidl, dtype)),
        *(network(m).to(getattr(m, dtype)) for _ in "ab"),
    )
    theirs_(m.tensor(x))  # changes the running statistics
    save_file(theirs_.state_dict(), tmp_path / "a")
    model.load_state_dict(load(tmp_path / "a"))
    assert model[0][1].num_batches_tracked.item() == 1
    save(model.state_dict(), tmp_path / "b")
    back.load_state_dict(load_file(tmp_path / "b"))
    want = theirs_.eval()(m.tensor(x)).detach().numpy()
    np.testing.assert_array_equal(back.eval()(m.tensor(x)).detach().numpy(), want)
    np.testing.assert_allclose(model.eval()(Tensor(x)).array, want, rtol=1e-5, atol=1e-6)


def test_tied_weights_are_written_out_each(tmp_path):
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 4, bias=False))
    model[1].weight = model[0].weight
    save(model.state_dict(), tmp_path / "w")
    saved = load(tmp_path / "w")
    assert list(saved) == ["0.weight", "1.weight"]
    before = model[0].weight.array.copy()
    with minidl.no_grad():
        model[0].weight.zero_()
    model.load_state_dict(saved)
    assert model[1].weight is model[0].weight
    assert (model[0].weight.array == before).all()


def test_nesting_numbers_and_text_come_back(tmp_path):
    t = minidl.tensor([1.0, 2.0])
    thing = {
        "text": "é", 3: [1, 2.5, True, None, math.inf], None: (t, {"deep": [t * 2, ()]}), 0.5: {},
        "numpy": [np.float32(0.5), np.int64(7)], "a.b": t * 3, "a": {"b": t * 4},
    }  # fmt: skip
    save(thing, tmp_path / "f")
    back = load(tmp_path / "f")
    assert list(back) == list(thing)
    assert back["text"] == "é" and back[3] == thing[3] and back[0.5] == {} and back["numpy"] == [0.5, 7]
    assert type(back[None]) is tuple and back[None][1]["deep"][1] == ()
    tensors = back[None][0], back[None][1]["deep"][0], back["a.b"], back["a"]["b"]
    assert [x.tolist() for x in tensors] == [[1, 2], [2, 4], [3, 6], [4, 8]]
    for single in (t, 3, None, [], {}, "text"):
        save(single, tmp_path / "f")
        back = load(tmp_path / "f")
        assert back.tolist() == [1, 2] if single is t else back == single


def test_open_files_are_written_and_read():
    file = io.BytesIO()
    minidl.save({"w": minidl.ones(2)}, file)
    file.seek(0)
    assert minidl.load(file, map_location="cpu", weights_only=True)["w"].tolist() == [1, 1]


def test_a_parameter_comes_back_as_a_plain_tensor(tmp_path):
    save({"w": nn.Parameter(minidl.ones(2))}, tmp_path / "w")
    w = load(tmp_path / "w")["w"]
    assert type(w) is Tensor and not w.requires_grad


class Exploit:
    def __reduce__(self):
        return print, ("code was run",)


@pytest.mark.parametrize("old_format", [True, False])
def test_a_pickle_is_refused_and_runs_nothing(tmp_path, old_format, capsys):
    theirs().save({"w": Exploit()}, tmp_path / "w.pt", _use_new_zipfile_serialization=not old_format)
    with pytest.raises(ValueError, match=r"w\.pt is a pickle.*safetensors\.torch\.save_file"):
        load(tmp_path / "w.pt")
    (tmp_path / "bare").write_bytes(pickle.dumps(Exploit()))
    with pytest.raises(ValueError, match="is a pickle"):
        load(tmp_path / "bare")
    assert not capsys.readouterr().out


def test_files_that_are_incomplete_are_refused(tmp_path):
    file = io.BytesIO()
    save({"w": minidl.ones(5)}, file)
    content = file.getvalue()
    for broken in (b"", b"text", content[:7], content[:20], content[:-1], content + b"x"):
        with pytest.raises(ValueError, match="no complete safetensors file"):
            load(io.BytesIO(broken))
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nowhere")


def test_dtypes_that_minidl_lacks_are_refused():
    m = theirs()
    from safetensors.torch import save as to_bytes

    for dtype in (m.bfloat16, m.float16, m.uint16):
        with pytest.raises(NotImplementedError, match=r"'w' has dtype .*\.float\(\)"):
            load(io.BytesIO(to_bytes({"w": m.ones(2, dtype=dtype)})))
    with pytest.raises(NotImplementedError, match="complex64"):
        save({"w": Tensor(np.ones(2, np.complex64))}, io.BytesIO())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: save({"model": nn.Linear(1, 1)}, f), TypeError, r"model is a Linear.*state_dict\(\)"),
        (lambda f: save([1, {2}], f), TypeError, r"1 is a set"),
        (lambda f: save(np.ones(2), f), TypeError, "the object is a ndarray"),
        (lambda f: load(f, weights_only=False), NotImplementedError, "any code"),
        (lambda f: load(f, "cuda"), RuntimeError, "cuda"),
    ],
)
def test_what_cannot_be_is_refused(call, error, message):
    file = io.BytesIO()
    with pytest.raises(error, match=message):
        call(file)
    assert not file.getvalue()


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
