"""The specification of every hot kernel, in plain NumPy, a file a family.

Forward and backward kernels are pairs: `conv2d`, `conv2d_backward`. Kernels that update do so in place.
Axis letters: N batch, C channels or classes, H W, T time, D features, K kernel. `g` is dL/d(output).
"""

from minidl.kernels.reference.activation import *  # noqa: F403
from minidl.kernels.reference.attention import *  # noqa: F403
from minidl.kernels.reference.convolution import *  # noqa: F403
from minidl.kernels.reference.ctc import *  # noqa: F403
from minidl.kernels.reference.embedding import *  # noqa: F403
from minidl.kernels.reference.loss import *  # noqa: F403
from minidl.kernels.reference.normalization import *  # noqa: F403
from minidl.kernels.reference.optim import *  # noqa: F403
from minidl.kernels.reference.pooling import *  # noqa: F403
from minidl.kernels.reference.recurrent import *  # noqa: F403
from minidl.kernels.reference.softmax import *  # noqa: F403
from minidl.kernels.reference.special import *  # noqa: F403
