"""The error function. On the GPU it is an instruction sequence of the compiler's own, one kernel a call."""

from minidl.kernels.cuda.activation import erf

__all__ = ["erf"]
