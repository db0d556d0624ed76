"""One step of each optimiser, in place, on flat arrays (P,) of weights w, gradients g and state.

An array of state that the settings do not need is None.
"""

import math

import numpy as np

__all__ = ["adagrad_step", "adam_step", "rmsprop_step", "sgd_step"]


def sgd_step(w, g, velocity, lr, momentum, dampening, weight_decay, nesterov, first):
    """Stochastic gradient descent, with momentum if there is a velocity.

    g += weight_decay w;  v = momentum v + (1 - dampening) g  (v = g at the first step);
    w -= lr (g + momentum v if nesterov else v).  PyTorch's form: lr multiplies the whole velocity; in
    Sutskever et al. (2013) it multiplies each gradient before it enters.
    """
    if weight_decay:
        g = g + weight_decay * w
    if velocity is not None:
        if first:
            velocity[...] = g
        else:
            velocity *= momentum
            velocity += (1 - dampening) * g
        g = g + momentum * velocity if nesterov else velocity
    w -= lr * g


def adam_step(w, g, m, v, largest, lr, beta1, beta2, eps, weight_decay, decoupled, step):
    """Adam (Kingma & Ba 2015, algorithm 1); step counts from 1.

    m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
    w -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).
    Weight decay is added to g, or if `decoupled` taken from w first (AdamW, Loshchilov & Hutter 2019).
    With `largest`, the largest v so far takes the place of v (AMSGrad, Reddi et al. 2018).
    """
    if weight_decay and decoupled:
        w *= 1 - lr * weight_decay
    elif weight_decay:
        g = g + weight_decay * w
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * np.square(g)
    if largest is not None:
        v = np.maximum(largest, v, out=largest)
    scale = math.sqrt(1 - beta2**step)
    w -= (lr / (1 - beta1**step)) * m / (np.sqrt(v) / scale + eps)


def adagrad_step(w, g, total, lr, lr_decay, eps, weight_decay, step):
    """Adagrad (Duchi et al. 2011); step counts from 1.

    g += weight_decay w;  total += g^2;  w -= lr / (1 + (t - 1) lr_decay) g / (sqrt(total) + eps).
    """
    if weight_decay:
        g = g + weight_decay * w
    total += np.square(g)
    w -= lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(total) + eps)


def rmsprop_step(w, g, square, velocity, mean, lr, alpha, eps, weight_decay, momentum):
    """RMSprop (Tieleman & Hinton 2012), with momentum if there is a velocity.

    g += weight_decay w;  square = alpha square + (1 - alpha) g^2;  d = g / (sqrt(square) + eps);
    v = momentum v + d;  w -= lr v  (lr d without momentum).
    With `mean`, the running mean of g, the variance square - mean^2 takes the place of square (Graves 2013).
    """
    if weight_decay:
        g = g + weight_decay * w
    square *= alpha
    square += (1 - alpha) * np.square(g)
    if mean is not None:
        mean *= alpha
        mean += (1 - alpha) * g
        square = square - np.square(mean)
    direction = g / (np.sqrt(square) + eps)
    if velocity is not None:
        velocity *= momentum
        velocity += direction
        direction = velocity
    w -= lr * direction
