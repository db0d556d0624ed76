"""The hot kernels compiled by Numba: same names, same results as `kernels/reference/`."""

from minidl.kernels.cpu import compiling  # noqa: F401 first: it tells Numba for which processor all compile
