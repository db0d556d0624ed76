"""Layers, activations and losses as modules; their functions in `functional`, starting weights in `init`."""

# ruff: noqa: F403
from minidl.nn import (
    activation,
    attention,
    containers,
    convolution,
    dropout,
    embedding,
    functional,
    init,
    linear,
    loss,
    module,
    normalization,
    pooling,
    recurrent,
    transformer,
    utils,
)
from minidl.nn.activation import *
from minidl.nn.attention import *
from minidl.nn.containers import *
from minidl.nn.convolution import *
from minidl.nn.dropout import *
from minidl.nn.embedding import *
from minidl.nn.linear import *
from minidl.nn.loss import *
from minidl.nn.module import *
from minidl.nn.normalization import *
from minidl.nn.pooling import *
from minidl.nn.recurrent import *
from minidl.nn.transformer import *

__all__ = [
    "functional",
    "init",
    "utils",
    *activation.__all__,
    *attention.__all__,
    *containers.__all__,
    *convolution.__all__,
    *dropout.__all__,
    *embedding.__all__,
    *linear.__all__,
    *loss.__all__,
    *module.__all__,
    *normalization.__all__,
    *pooling.__all__,
    *recurrent.__all__,
    *transformer.__all__,
]
