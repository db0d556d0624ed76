"""Answers to notebook 02: right ones written differently, wrong ones with what must be said about them."""

import numpy as np


def weights_by_loops(images):
    patterns = [[1 if pixel else -1 for row in image for pixel in row] for image in images]
    cells = range(len(patterns[0]))
    return [[sum(p[i] * p[j] for p in patterns) if i != j else 0 for j in cells] for i in cells]


def weights_by_outer_products(images):
    patterns = np.where(np.asarray(images) > 0.5, 1.0, -1.0).reshape(len(images), -1)
    return sum(np.outer(p, p) for p in patterns) - len(patterns) * np.eye(patterns.shape[1])


def weights_never_negative(images):
    weight = sum(np.outer(image.ravel(), image.ravel()) for image in images)
    np.fill_diagonal(weight, 0)
    return weight


def weights_returning_fill_diagonal(images):
    patterns = 2 * images.reshape(len(images), -1) - 1
    return np.fill_diagonal(patterns.T @ patterns, 0)


def weights_overwritten(images):
    for image in images:
        p = 2 * image.ravel() - 1
        weight = np.outer(p, p)
    np.fill_diagonal(weight, 0)
    return weight


def second_cell_by_deflation(w1, w2, x, lr):
    rest = [xi - sum(a * b for a, b in zip(w1, x, strict=True)) * wi for xi, wi in zip(x, w1, strict=True)]
    y2 = sum(a * b for a, b in zip(w2, rest, strict=True))
    return [w + lr * (y2 * r - y2 * y2 * w) for w, r in zip(w2, rest, strict=True)]


def second_cell_by_projection(w1, w2, x, lr):
    rest = (np.eye(len(x)) - np.outer(w1, w1)) @ x
    return w2 + lr * np.dot(w2, rest) * rest - lr * np.dot(w2, rest) ** 2 * w2


def second_cell_in_place(w1, w2, x, lr):
    rest = x - (w1 @ x) * w1
    y2 = w2 @ rest
    w2 += lr * y2 * (rest - y2 * w2)
    return w2


def second_cell_without_decay(w1, w2, x, lr):
    rest = x - (w1 @ x) * w1
    return w2 + lr * (w2 @ rest) * rest


def energy(weight, state):
    return -0.5 * np.asarray(state) @ np.asarray(weight) @ np.asarray(state)


def change_by_two_energies(weight, state, i):
    flipped = np.array(state)
    flipped[i] = -flipped[i]
    return energy(weight, flipped) - energy(weight, state)


def change_by_a_loop(weight, state, i):
    return sum(2 * state[i] * weight[i][j] * state[j] for j in range(len(state)))


def change_without_the_half(weight, state, i):
    return 2 * change_by_two_energies(weight, state, i)


def settle_by_loops(weight, state, rounds):
    cells = list(state)
    for _ in range(rounds):
        for i, row in enumerate(weight):
            h = sum(w * s for w, s in zip(row, cells, strict=True))
            if h > 0:
                cells[i] = 1
            elif h < 0:
                cells[i] = -1
    return cells


def settle_by_flips(weight, state, rounds):
    state = state.astype(float)
    for visit in range(rounds * len(state)):
        i = visit % len(state)
        state[i] *= -1 if state[i] * (weight[i] @ state) < 0 else 1
    return state


def settle_synchronously(weight, state, rounds):
    for _ in range(rounds):
        h = weight @ state
        state = np.where(h == 0, state, np.sign(h))
    return state


def settle_in_place(weight, state, rounds):
    for _ in range(rounds):
        for i in range(len(state)):
            h = weight[i] @ state
            state[i] = np.sign(h) if h else state[i]
    return state


def settle_with_zeros(weight, state, rounds):
    state = state.copy()
    for _ in range(rounds):
        for i in range(len(state)):
            state[i] = np.sign(weight[i] @ state)
    return state


def store_by_pseudo_inverse(patterns):
    weight = np.linalg.pinv(patterns) @ patterns
    np.fill_diagonal(weight, 0)
    return weight


def store_by_learning_from_mistakes(patterns):
    weight = np.zeros((784, 784))
    for _ in range(40):
        for p in patterns:
            wrong = p * (weight @ p) <= 100
            weight += np.outer(wrong * p, p)
            weight[np.diag_indices(784)] = 0
    return weight


def store_by_hebb(patterns):
    weight = patterns.T @ patterns
    np.fill_diagonal(weight, 0)
    return weight


def store_less_the_mean(patterns):
    rest = patterns - patterns.mean(axis=0)
    return store_by_hebb(rest) / 784


def store_without_return(patterns):
    store_by_hebb(patterns)


def settle_by_the_first_state(weight, state, rounds):
    new = state.copy()
    for _ in range(rounds):
        for i in range(len(new)):
            h = weight[i] @ state
            if h != 0:
                new[i] = np.sign(h)
    return new


RIGHT = {
    "02.1": [weights_by_loops, weights_by_outer_products],
    "02.2": [second_cell_by_deflation, second_cell_by_projection],
    "02.3": [change_by_two_energies, change_by_a_loop],
    "02.4": [settle_by_loops, settle_by_flips],
    "02.5": [store_by_pseudo_inverse, store_by_learning_from_mistakes],
}
WRONG = {
    "02.1": [
        (weights_never_negative, "your patterns are still 0 and 1"),
        (weights_overwritten, "only the last image"),
        (weights_returning_fill_diagonal, "is a `return` missing?"),
        (lambda images: -weights_by_outer_products(images), "wrong sign"),
    ],
    "02.2": [
        (second_cell_without_decay, "the decay is missing"),
        (second_cell_in_place, "changes its second argument in place"),
        (lambda w1, w2, x, lr: w2 + lr * (w2 @ x) * (x - (w2 @ x) * w2), "still sees all of x"),
    ],
    "02.3": [
        (change_without_the_half, "twice too much"),
        (lambda weight, state, i: -change_by_a_loop(weight, state, i), "energy before minus energy after"),
        (lambda weight, state, i: energy(weight, state), "expected"),
    ],
    "02.4": [
        (settle_synchronously, "all cells change at once"),
        (settle_in_place, "changes its second argument in place"),
        (settle_by_the_first_state, "from the state you were given"),
        (settle_with_zeros, "at a tie a cell becomes 0"),
        (lambda weight, state, rounds: state, "expected"),
    ],
    "02.5": [
        (store_by_hebb, "0 of 10 digits come back"),
        (store_less_the_mean, "the mean is out of the weights"),
        (store_without_return, "is a `return` missing?"),
        (lambda patterns: np.eye(784), "listens too much to itself"),
        (lambda patterns: patterns @ patterns.T, "the weights have shape (10, 10)"),
        (lambda patterns: store_by_hebb(patterns) / np.zeros(1), "NaN or infinite"),
    ],
}
