"""The hot kernels compiled by Numba: same names, same results as `kernels/reference/`."""
