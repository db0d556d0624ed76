"""Functions as modules: what their constructors take, and where it goes."""

import inspect

import numpy as np
import pytest

import minidl
from minidl.nn.wrapped import Wrapped


def scaled(input, other, factor=2.0, *, shift=0.0, offset=None, secret=None):
    out = (input + other) * factor + shift
    return out if offset is None else out + offset


class Scaled(Wrapped, function=scaled, tensors=2, without=("secret",)):
    """Doubles a sum."""


def test_the_constructor_has_the_functions_signature():
    assert str(inspect.signature(Scaled)) == "(factor=2.0, *, shift=0.0, offset=None)"
    assert repr(Scaled(3, shift=1)) == "Scaled(factor=3, shift=1, offset=None)"


def test_tensors_and_settings_meet_in_the_call():
    x = minidl.tensor([1.0, 2.0])
    assert Scaled(3)(x, x).tolist() == [6, 12]
    assert Scaled(shift=1)(x, other=x).tolist() == [5, 9]


def test_tensors_among_the_settings_belong_to_the_state():
    module = Scaled(offset=minidl.tensor([1.0, 2.0]))
    assert list(module.state_dict()) == ["offset"]
    assert module.double().offset.dtype == np.float64


@pytest.mark.parametrize("settings", [{"secret": 1}, {"unknown": 1}])
def test_what_the_function_does_not_take(settings):
    with pytest.raises(TypeError, match=next(iter(settings))):
        Scaled(**settings)
