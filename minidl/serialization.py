"""Saving and loading without pickle: loading a file never runs code.

A file is one of safetensors (https://github.com/huggingface/safetensors): names and arrays. What else there
is to save (nesting, numbers, text) is written as JSON into the file's metadata. A state dict needs none: what
`save` makes of it, `safetensors.torch.load_file` reads in PyTorch, and what `safetensors.torch.save_file`
wrote, `load` reads here.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minidl.devices import asked, moved, to_host
from minidl.ops.dtypes import as_dtype
from minidl.tensor import Tensor

DTYPES = {
    "F64": np.float64, "F32": np.float32, "I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8,
    "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
"""What the format calls the dtypes of minidl."""


def save(obj: Any, f: str | Path | BinaryIO) -> None:
    """Write tensors, numbers, text and None, nested in dicts, lists and tuples, to a file.

    The file appears under its name only when it is complete. Tensors that share memory (tied weights) are
    written out each: being tied is a property of the model, which ties them again when it is built.

    Args:
        f: a path, or a file opened for writing bytes.

    Raises:
        TypeError: an object that is none of these. Fix: save its `state_dict()`.
    """
    from safetensors.numpy import save as to_bytes

    arrays: dict[str, np.ndarray] = {}
    plan = _packed(obj, "", arrays)
    flat = isinstance(obj, Mapping) and arrays.keys() == obj.keys()  # a state dict
    content = to_bytes(arrays, metadata=None if flat else {"minidl": json.dumps(plan)})
    if hasattr(f, "write"):
        f.write(content)
    else:
        write_atomically(f, content)


def load(f: str | Path | BinaryIO, map_location: str | None = None, *, weights_only: bool = True) -> Any:
    """What `save` was given; or the state dict {name: tensor} of any other safetensors file.

    Args:
        f: a path, or a file opened for reading bytes.
        map_location: the device to load to; None is "cpu".

    Raises:
        ValueError: a file that is incomplete, of another kind, or a pickle, as torch.save writes.
    """
    if not weights_only:
        raise NotImplementedError("load(weights_only=False) could run any code. Fix: leave it out")
    place = asked(map_location or "cpu")
    content, name = (f.read(), "the file") if hasattr(f, "read") else (Path(f).read_bytes(), str(f))
    arrays, plan = _from_bytes(content, name)
    arrays = {key: moved(array, place) for key, array in arrays.items()}
    return {k: Tensor(a) for k, a in arrays.items()} if plan is None else _unpacked(json.loads(plan), arrays)


def _from_bytes(content: bytes, name: str) -> tuple[dict[str, np.ndarray], str | None]:
    """Arrays and plan of a safetensors file."""
    from safetensors import SafetensorError, deserialize

    try:
        entries = dict(deserialize(content))
    except SafetensorError as error:
        # torch.save writes a zip archive or a bare pickle; here the ninth byte opens the header
        if content.startswith((b"PK", b"\x80")) and content[8:9] != b"{":
            raise ValueError(
                f"{name} is a pickle, and loading one could run any code. Fix: in PyTorch, "
                "safetensors.torch.save_file(state_dict, name)"
            ) from error
        raise ValueError(f"{name} is no complete safetensors file ({error}). Fix: take an older") from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    plan = header.pop("__metadata__", {}).get("minidl")
    return {key: _array(key, entries[key]) for key in header}, plan


def _array(name: str, entry: dict) -> np.ndarray:
    if entry["dtype"] not in DTYPES:
        raise NotImplementedError(
            f"{name!r} has dtype {entry['dtype']}, which is not part of minidl. Fix: convert it before "
            "saving, in PyTorch with .float()"
        )
    return np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])


def _packed(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON can hold it; tensors go into `arrays`, under names like "model.0.weight"."""
    if isinstance(value, Tensor):
        as_dtype(value.dtype)
        while path in arrays:
            path += "_"
        arrays[path] = np.asarray(to_host(value.array), order="C")
        return {"tensor": path}
    inside = f"{path}." if path else ""
    if isinstance(value, Mapping):
        return {"dict": [[k, _packed(v, f"{inside}{k}", arrays)] for k, v in value.items()]}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_packed(v, f"{inside}{i}", arrays) for i, v in enumerate(value)]}
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"save: {path or 'the object'} is a {type(value).__name__}. Fix: save its state_dict()")


def _unpacked(plan: Any, arrays: dict[str, np.ndarray]) -> Any:
    """What `_packed` was given."""
    if not isinstance(plan, dict):
        return plan
    ((kind, content),) = plan.items()
    if kind == "tensor":
        return Tensor(arrays[content])
    if kind == "dict":
        return {k: _unpacked(v, arrays) for k, v in content}
    return {"list": list, "tuple": tuple}[kind](_unpacked(v, arrays) for v in content)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write beside the target and rename: the name shows the old content or the new, never a part."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
