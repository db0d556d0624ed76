"""Notebook 05: right answers, written differently from the solutions, and wrong ones with their diagnosis."""

import math

import numpy as np


def mse_by_loop(w, b, X, y):
    n, dw, db = len(y), [0.0] * len(w), 0.0
    for xi, yi in zip(X, y, strict=True):
        error = sum(wj * xj for wj, xj in zip(w, xi, strict=True)) + b - yi
        dw = [d + 2 * error * xj / n for d, xj in zip(dw, xi, strict=True)]
        db += 2 * error / n
    return dw, db


def mse_augmented(w, b, X, y):
    Z, v = np.column_stack([X, np.ones(len(y))]), np.append(w, b)
    gradient = 2 * Z.T @ (Z @ v - y) / len(y)
    return gradient[:-1], gradient[-1]


def mse_by_differences(w, b, X, y):
    def loss(v):
        return np.mean((X @ v[:-1] + v[-1] - y) ** 2)

    v, h = np.append(w, b), 1e-5
    gradient = [(loss(v + h * e) - loss(v - h * e)) / (2 * h) for e in np.eye(len(v))]
    return gradient[:-1], gradient[-1]


def lms_by_index(w, X, y, lr):
    w = list(w)
    for i in range(len(y)):
        error = float(np.dot(w, X[i])) - y[i]
        w = [w[j] - lr * 2 * error * X[i][j] for j in range(len(w))]
    return w


def lms_on_a_copy(w, X, y, lr):
    w = w.copy()
    for xi, yi in zip(X, y, strict=True):
        w -= 2 * lr * (xi @ w - yi) * xi
    return w


def lms_in_place(w, X, y, lr):
    for xi, yi in zip(X, y, strict=True):
        w += 2 * lr * (yi - w @ xi) * xi
    return w


def rate_by_singular_values(X):
    Z = np.hstack([np.ones((len(X), 1)), X])
    return len(X) / np.linalg.svd(Z, compute_uv=False)[0] ** 2


def rate_by_power_iteration(X):
    Z = np.column_stack([X, np.ones(len(X))])
    v = np.ones(Z.shape[1])
    for _ in range(2000):
        v = Z.T @ (Z @ v)
        v /= math.sqrt(v @ v)
    return 1 / (v @ (Z.T @ (Z @ v)) / len(X))


def rate_by_bisection(X):
    Z = np.column_stack([X, np.ones(len(X))])
    low, high = 1e-6, 1e3
    while high / low > 1.001:
        middle, v = math.sqrt(low * high), np.ones(Z.shape[1])
        for _ in range(3000):
            v = v - middle * 2 * Z.T @ (Z @ v) / len(Z)
            if v @ v > 1e4:
                break
        low, high = (low, middle) if v @ v > 1e4 else (middle, high)
    return low


def logistic_through_01(w, X, y):
    p, target = 1 / (1 + np.exp(-X @ w)), (np.asarray(y) + 1) / 2
    return X.T @ (p - target) / len(y)


def logistic_by_loop(w, X, y):
    total = np.zeros(len(w))
    for xi, yi in zip(X, y, strict=True):
        m = float(yi * (xi @ w))
        total -= yi * xi / (1 + math.exp(min(m, 700)))
    return total / len(y)


def logistic_by_fraction(w, X, y):
    above = np.exp(-y * (X @ w))
    return -(X.T @ (y * above / (1 + above))) / len(y)


def logistic_by_differences(w, X, y):
    def loss(w):
        return np.mean(np.log(1 + np.exp(-y * (X @ w))))

    return np.array([(loss(w + 1e-5 * e) - loss(w - 1e-5 * e)) / 2e-5 for e in np.eye(len(w))])


def plain(steps, rate):
    def descend(gradient, w, smallest, largest):
        for _ in range(steps):
            w = w - rate(smallest, largest) * gradient(w)
        return w

    return descend


def momentum(gradient, w, smallest, largest):
    velocity = 0 * w
    for _ in range(100):
        velocity = 0.9 * velocity - gradient(w) / largest
        w = w + velocity
    return w


def newton(gradient, w, smallest, largest):
    g = gradient(w)
    hessian = np.array([gradient(w + e) - g for e in np.eye(len(w))])
    return w - np.linalg.solve(hessian, g)


RIGHT = {
    "05.1": [mse_by_loop, mse_augmented, mse_by_differences],
    "05.2": [lms_by_index, lms_on_a_copy],
    "05.3": [rate_by_singular_values, rate_by_power_iteration, rate_by_bisection],
    "05.4": [logistic_through_01, logistic_by_loop],
    "05.5": [momentum, newton],
}

WRONG = {
    "05.1": [
        (lambda w, b, X, y: mse_augmented(w, b, X, y)[0], "return both"),
        (lambda w, b, X, y: (2 * X.T @ (y - X @ w - b) / len(y), 2 * np.mean(y - X @ w - b)), "uphill"),
        (lambda w, b, X, y: (2 * X @ (X @ w + b - y) / len(y), 2 * np.mean(X @ w + b - y)), "not transposed"),
        (lambda w, b, X, y: (X.T @ (X @ w + b - y) / len(y), np.mean(X @ w + b - y)), "factor 2"),
        (lambda w, b, X, y: mse_by_loop(w, b, X, y)[::-1], "wrong order"),
        (lambda w, b, X, y: np.append(*mse_augmented(w, b, X, y)), "return the two apart"),
        (lambda w, b, X, y: (mse_by_loop(w, b, X, y)[0], 2 * (X @ w + b - y) / len(y)), "add its slopes up"),
        (lambda w, b, X, y: (mse_by_loop(w, b, X, y)[0], 2 * b), "slope of b²"),
    ],
    "05.2": [
        (lms_in_place, "changes its first argument in place"),
        (lambda w, X, y, lr: lms_on_a_copy(w, X, y, -lr), "uphill"),
        (lambda w, X, y, lr: lms_on_a_copy(w, X, y, lr / 2), "factor 2"),
        (lambda w, X, y, lr: w - 2 * lr * X.T @ (X @ w - y) / len(y), "batch gradient descent"),
        (lambda w, X, y, lr: [lms_by_index(w, X[:k], y[:k], lr) for k in range(len(y) + 1)], "only the last"),
        (lambda w, X, y, lr: lms_by_index(w, X[::-1], y[::-1], lr), "the order counts"),
    ],
    "05.3": [
        (lambda X: rate_by_singular_values(X) / 2, "done in one step"),
        (lambda X: len(X) / np.linalg.norm(X, 2) ** 2, "the bias is a weight too"),
        (lambda X: 1 / rate_by_singular_values(X), "expected"),
        (lambda X: 2 / rate_by_singular_values(X), "largest curvature"),
    ],
    "05.4": [
        (lambda w, X, y: X.T @ (1 / (1 + np.exp(-X @ w)) - y) / len(y), "classes 0 and 1"),
        (lambda w, X, y: -logistic_through_01(w, X, y), "sign is turned"),
        (lambda w, X, y: X.T @ (X @ w - y) / len(y), "squared error"),
        (lambda w, X, y: logistic_through_01(w, X, y) * len(y), "1/n"),
        (lambda w, X, y: -X.T @ (1 / (1 + np.exp(y * (X @ w)))) / len(y), "last link"),
        (lambda w, X, y: -X.T @ (y / (1 + np.exp(X @ w))) / len(y), "the exponent holds"),
        (logistic_by_fraction, "inf / inf"),
        (logistic_by_differences, "inf - inf"),
    ],
    "05.5": [
        (plain(500, lambda low, high: 1 / high), "above the lowest possible"),
        (plain(700, lambda low, high: 1 / high), "the bar is 150"),
        (plain(100, lambda low, high: 2.5 / high), "diverged"),
        (plain(10**6, lambda low, high: 1 / high), "does the loop end"),
        (lambda gradient, w, smallest, largest: w, "never called"),
        (lambda gradient, w, smallest, largest: gradient(w)[:3], "must return the weights"),
        (0.1, "should be a function"),
    ],
}
