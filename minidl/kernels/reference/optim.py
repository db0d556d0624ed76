"""One step of each optimiser, on flat arrays and in place."""

import numpy as np

__all__ = ["adam_step", "sgd_step"]


def sgd_step(w, g, velocity, lr, momentum, dampening, weight_decay, nesterov, first):
    """One step of stochastic gradient descent on flat arrays (P,), in place.

    g += weight_decay w;  v = momentum v + (1 - dampening) g  (v = g at the first step);
    w -= lr (g + momentum v if nesterov else v).  PyTorch's form: lr multiplies the whole velocity; in
    Sutskever et al. (2013) it multiplies each gradient before it enters.
    """
    if weight_decay:
        g = g + weight_decay * w
    if momentum:
        if first:
            velocity[...] = g
        else:
            velocity *= momentum
            velocity += (1 - dampening) * g
        g = g + momentum * velocity if nesterov else velocity
    w -= lr * g


def adam_step(w, g, m, v, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """One step of Adam (Kingma & Ba 2015, algorithm 1) on flat arrays (P,), in place.

    m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
    w -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).
    Weight decay is added to g, or if `decoupled` taken from w first (AdamW, Loshchilov & Hutter 2019).
    """
    if weight_decay and decoupled:
        w *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * w
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * np.square(g)
    scale = np.sqrt(1 - beta2**step)
    w -= (lr / (1 - beta1**step)) * m / (np.sqrt(v) / scale + eps)
