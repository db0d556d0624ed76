"""Kernels for an NVIDIA GPU, written in Python: the functions of `kernels/reference`, on its arrays.

    array.py, functions.py ...    CudaArray: NumPy's functions for arrays in the GPU's memory
    products.py, softmax.py ...   one file a family of kernels: device code, and host functions that launch it
    tiles.py, pointwise.py ...    what families share: tiles of a product, functions of single elements
    checks.py, benchmark.py       every kernel against the reference, and beside the maker's own
    driver.py                     `@kernel`, and the one door to the GPU: launches, streams, what is missing
    language.py                   the words in which kernels are written: types, `cuda`, `@device`
    compiling.py                  Python -> PTX -> machine code, kept on disk
    instructions.py               the few machine instructions that Python has no word for
    memory.py, graphs.py          a pool of device memory; a training step as one CUDA graph
    simulator/                    runs the same kernels on the CPU, and reports races and bad accesses
    resources.py                  what a compiled kernel costs: registers, spills, share of arithmetic

Nothing here is imported with minidl. On a machine with a GPU, `pip install "numba-cuda[cu12]"` is all that is
needed; without one, `with driver.simulated():` runs everything, slowly.
"""
