"""Functions of neural networks: layers without memory, activations, losses.

Shapes: N batch, C classes or features, `...` any further axes. PyTorch's names, arguments and defaults.
"""

from minidl.nn.functional.activations import *  # noqa: F403
from minidl.nn.functional.attention import *  # noqa: F403
from minidl.nn.functional.convolution import *  # noqa: F403
from minidl.nn.functional.layers import *  # noqa: F403
from minidl.nn.functional.losses import *  # noqa: F403
from minidl.nn.functional.normalization import *  # noqa: F403
from minidl.nn.functional.pooling import *  # noqa: F403
from minidl.nn.functional.resampling import *  # noqa: F403
from minidl.ops.shapes import pad  # noqa: F401
