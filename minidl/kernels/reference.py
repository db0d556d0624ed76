"""The specification of every hot kernel, in plain NumPy.

Axis letters: N batch, C classes. Kernels that update do so in place.
"""

import numpy as np


def softmax_cross_entropy(logits, labels):
    """Mean cross-entropy of softmax(logits), and its gradient before multiplication by dL/d(loss).

    loss = mean_n( log sum_c exp(z_nc) - z_n,label ),  d loss / dz = (softmax(z) - onehot(label)) / N

    Args:
        logits: (N, C).
        labels: (N,) integers in [0, C).

    Returns:
        The loss in nats (0-d) and d loss / d logits (N, C).
    """
    n = len(logits)
    rows = np.arange(n)
    shifted = logits - logits.max(axis=1, keepdims=True)
    exps = np.exp(shifted)
    total = exps.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean(dtype=logits.dtype)
    dlogits = exps / total
    dlogits[rows, labels] -= 1
    dlogits /= n
    return loss, dlogits


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
