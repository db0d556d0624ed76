"""Tools around modules: clipping of gradients, parameters as a vector, and in `rnn` sequences as batches."""

from minidl.nn.utils import clip_grad, convert_parameters, rnn
from minidl.nn.utils.clip_grad import *  # noqa: F403
from minidl.nn.utils.convert_parameters import *  # noqa: F403

__all__ = ["rnn", *clip_grad.__all__, *convert_parameters.__all__]
