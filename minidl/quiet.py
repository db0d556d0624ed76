"""NumPy without warnings: inf and nan are answers, as in PyTorch."""

import contextvars
import threading

import numpy as np


def _quiet_context() -> contextvars.Context:
    context = contextvars.copy_context()
    context.run(np.seterr, all="ignore")
    return context


class _Contexts(threading.local):
    """Per thread: contexts in which nothing runs at present. Two are needed when a call makes another."""

    def __init__(self):
        self.free = [_quiet_context()]


_contexts = _Contexts()


def quietly(function, args, settings=None):
    """function(*args, **settings), in which NumPy warns of nothing.

    It runs in a context made before, which costs much less than entering and leaving `np.errstate`.
    """
    free = _contexts.free
    context = free.pop() if free else _quiet_context()
    try:
        return context.run(function, *args, **settings) if settings else context.run(function, *args)
    finally:
        free.append(context)
