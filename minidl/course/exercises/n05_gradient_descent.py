"""Notebook 05: the gradient of the mean squared error, Widrow and Hoff's rule, how large a step may be,
the logistic gradient, and a race down a long valley."""

import functools
from collections.abc import Callable

import numpy as np

from minidl import data
from minidl.course.exercise import Exercise, Mistake

BAR = 150  # calls of the gradient that 05.5 allows
PATIENCE = 5000  # calls after which 05.5 stops an answer
YEARS = 9  # past years that predict the next in 05.5

# 05.1  The gradient with a bias


def mse_gradient(w, b, X, y):
    """The gradient of mean((X w + b - y)²): (dw, db)."""
    error = X @ w + b - y  # (n,)
    return 2 * X.T @ error / len(y), 2 * error.mean()


def _mse_by(dw: Callable, db: Callable = lambda e: 2 * e.mean()) -> Callable:
    """A gradient built from other formulas: dw(X, error, n), db(error)."""

    def wrong(w, b, X, y):
        error = X @ w + b - y
        return dw(X, error, len(y)), db(error)

    return wrong


def _mse_cases() -> list[tuple]:
    rng = np.random.default_rng(0)
    shapes = [(3, 3), (5, 2), (1, 3), (7, 4)]
    return [
        (rng.normal(size=d), float(rng.normal()), rng.normal(size=(n, d)), rng.normal(size=n))
        for n, d in shapes
    ]


MSE_GRADIENT = Exercise(
    "05.1",
    reference=mse_gradient,
    cases=_mse_cases,
    mistakes=[
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.T @ e, lambda e: 2 * e.sum()),
            "this is the gradient of the sum of the squares: the 1/n of the mean is missing",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.T @ e),
            "db is right, but dw lacks the 1/n of the mean",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.T @ e / n, lambda e: 2 * e.sum()),
            "dw is right, but db lacks the 1/n of the mean",
        ),
        Mistake(
            _mse_by(lambda X, e, n: X.T @ e / n, lambda e: e.mean()),
            "the factor 2 is missing: the derivative of e² is 2e",
        ),
        Mistake(
            _mse_by(lambda X, e, n: -2 * X.T @ e / n, lambda e: -2 * e.mean()),
            "the sign is turned: this is the downhill direction (or the error was taken as y minus the"
            " output). The gradient points uphill",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X @ e / n),
            "X is not transposed: component j of dw collects column j of X, weighted with the errors",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.mean(axis=0) * e.mean()),
            "the mean of a product is not the product of the means: multiply each error with its own"
            " example first",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.T @ e / n, lambda e: e.mean()),
            "dw is right; in db the factor 2 is missing",
        ),
        Mistake(
            lambda w, b, X, y: (2 * X.T @ (X @ w - y) / len(y), 2 * np.mean(X @ w - y)),
            "the output is X w + b: the bias is missing from the error",
        ),
        Mistake(
            lambda w, b, X, y: 2 * X.T @ (X @ w + b - y) / len(y),
            "dw is right, but the bias has a slope too: return both, `dw, db`",
        ),
        Mistake(
            lambda w, b, X, y: np.append(*mse_gradient(w, b, X, y)),
            "the slopes are right, but db is the last entry of one vector: return the two apart, `dw, db`",
        ),
        Mistake(
            lambda w, b, X, y: mse_gradient(w, b, X, y)[::-1],
            "the two are right, but in the wrong order: `dw, db`",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.T @ e / n, lambda e: 2 * e / len(e)),
            "dw is right, but db has an entry for each example: there is one bias, so add its slopes up",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.T @ e / n, lambda e: 2 * e),
            "dw is right, but db has an entry for each example: there is one bias, so take the mean",
        ),
        Mistake(
            _mse_by(lambda X, e, n: 2 * X.T @ e / n, lambda e: np.array([2 * e.mean()])),
            "dw is right; db is too, but inside an array: b is one number, so its slope is one number",
        ),
        Mistake(
            lambda w, b, X, y: (mse_gradient(w, b, X, y)[0], 2 * b),
            "dw is right, but 2b is the slope of b². The loss squares the error, in which b is one term",
        ),
    ],
    hints=[
        "Call the error e = X w + b - y. How does the e of one example change when b grows by a little?",
        "The bias is a weight whose input is always 1. In the formula for one component of the gradient,"
        " put 1 where the input stands.",
    ],
    reasoning=r"""
    For one example $\partial e_i/\partial w_j = x_{ij}$ and $\partial e_i/\partial b = 1$. The chain rule
    gives $\partial e_i^2 = 2 e_i\,\partial e_i$, and the mean over the examples stays a mean. So $db$ is
    twice the mean error. At the minimum it is zero: a unit with a bias is wrong by 0 on average.
    """,
    praise="Right: the bias is the weight of a constant input 1, so its slope is twice the mean error.",
)

# 05.2  Widrow and Hoff's rule, once through the data


def lms_pass(w, X, y, lr):
    """One pass of the LMS rule: each example in turn moves the weights; returns the new ones."""
    for xi, yi in zip(X, y, strict=True):
        w = w + 2 * lr * (yi - w @ xi) * xi
    return w


def _pass_by(step: Callable) -> Callable:
    """A pass with another step: step(error, x, lr, n), error = y - w x."""

    def wrong(w, X, y, lr):
        for xi, yi in zip(X, y, strict=True):
            w = w + step(yi - w @ xi, xi, lr, len(y))
        return w

    return wrong


def _batch(w, X, y, lr):
    return w - lr * 2 * X.T @ (X @ w - y) / len(y)


def _batch_sum(w, X, y, lr):
    return w - lr * 2 * X.T @ (X @ w - y)


def _path(w, X, y, lr):
    """The weights at first and after each step, as the notebook's `descend` returns them."""
    return np.array([lms_pass(w, X[:k], y[:k], lr) for k in range(len(y) + 1)])


def _pass_cases() -> list[tuple]:
    rng = np.random.default_rng(1)
    return [
        (rng.normal(size=d), rng.normal(size=(n, d)), rng.normal(size=n), lr)
        for n, d, lr in [(4, 2, 0.1), (6, 3, 0.05), (3, 3, 0.2)]
    ]


LMS_PASS = Exercise(
    "05.2",
    reference=lms_pass,
    cases=_pass_cases,
    mistakes=[
        Mistake(
            _pass_by(lambda e, x, lr, n: -2 * lr * e * x),
            "the sign: this step goes uphill, away from the target. With the error y - w·x the step is added,"
            " with w·x - y it is subtracted",
        ),
        Mistake(
            _pass_by(lambda e, x, lr, n: lr * e * x),
            "the factor 2 is missing: the derivative of e² is 2e",
        ),
        Mistake(
            _pass_by(lambda e, x, lr, n: 2 * lr * e * x / n),
            "there is no mean here: each example takes its whole step, so no 1/n",
        ),
        Mistake(
            _pass_by(lambda e, x, lr, n: 2 * lr * np.sign(e) * x),
            "the size of the error is lost: a small error should make a small step",
        ),
        Mistake(
            _pass_by(lambda e, x, lr, n: 2 * lr * e),
            "every weight moves by the same amount: each should move in proportion to its own input",
        ),
        Mistake(
            _batch,
            "this is one step of batch gradient descent: here each example should already see the weights"
            " that the one before has left",
        ),
        Mistake(
            _batch_sum,
            "all errors are taken with the old weights: each example should already see the weights that the"
            " one before has left",
        ),
        Mistake(
            lambda w, X, y, lr: w + 2 * lr * (y[-1] - w @ X[-1]) * X[-1],
            "only the last example has left a trace: start each step from the weights of the step before",
        ),
        Mistake(
            lambda w, X, y, lr: w + 2 * lr * (y[0] - w @ X[0]) * X[0],
            "it stops after the first example: is the `return` inside the loop?",
        ),
        Mistake(
            _path,
            "these are the weights after every step: return only the last ones",
        ),
        Mistake(
            lambda w, X, y, lr: lms_pass(w, X[::-1], y[::-1], lr),
            "the examples come in reverse: each step starts where the last one ended, so the order counts",
        ),
    ],
    hints=[
        "One example is a data set with n = 1. What is the gradient of its squared error?",
        "A loop over the rows of X, and in it one line that makes a new w.",
    ],
    reasoning="""
    The squared error of one example has the gradient 2 (w·x - y) x, and each step takes off lr times that.
    `w = w + ...` makes a new array; `w += ...` would write into the caller's.
    """,
    praise="Right: n small steps for the price of one large one. The knobs of ADALINE turned like this.",
)

# 05.3  How large a step may be


def largest_rate(X):
    """The learning rate at which gradient descent on mean((X w + b - y)²) begins to diverge."""
    ones = np.column_stack([X, np.ones(len(X))])  # the bias is the weight of a constant 1
    hessian = 2 * ones.T @ ones / len(X)
    return 2 / np.linalg.eigvalsh(hessian)[-1]


def _rate_by(rate: Callable, bias: bool = True) -> Callable:
    """Another bound: rate(eigenvalues of the Hessian in rising order, n)."""

    def wrong(X):
        x = np.column_stack([X, np.ones(len(X))]) if bias else np.asarray(X)
        return rate(np.linalg.eigvalsh(2 * x.T @ x / len(x)), len(x))

    return wrong


def _rate_cases() -> list[tuple]:
    rng = np.random.default_rng(2)
    return [(rng.normal(0.7, 1, (n, d)) * np.arange(1, d + 1),) for n, d in [(8, 2), (20, 3), (12, 1)]]


LARGEST_RATE = Exercise(
    "05.3",
    reference=largest_rate,
    cases=_rate_cases,
    mistakes=[
        Mistake(
            _rate_by(lambda v, n: 1 / v[-1]),
            "this is 1/λ, where the steepest direction is done in one step. It overshoots from there on, but"
            " still comes closer: up to which rate?",
        ),
        Mistake(
            _rate_by(lambda v, n: 2 / v[0]),
            "this is the bound of the flattest direction. The steepest one diverges long before: take the"
            " largest eigenvalue",
        ),
        Mistake(
            _rate_by(lambda v, n: 4 / v[-1]),
            "the factor 2 of the Hessian is missing: the second derivative of e² is 2, not 1",
        ),
        Mistake(
            _rate_by(lambda v, n: 2 / (n * v[-1])),
            "the 1/n of the mean is missing from the Hessian",
        ),
        Mistake(
            _rate_by(lambda v, n: 4 / (n * v[-1])),
            "this is 2 over the largest eigenvalue of XᵀX: the Hessian is 2 XᵀX / n",
        ),
        Mistake(
            _rate_by(lambda v, n: 2 / v[-1], bias=False),
            "the bias is a weight too: its input, a column of ones, belongs into X before the Hessian is"
            " made",
        ),
        Mistake(
            _rate_by(lambda v, n: 2 / v.sum()),
            "2 over the sum of the eigenvalues is safe, but not the bound: only the largest one counts",
        ),
        Mistake(
            _rate_by(lambda v, n: 2 / (v[0] + v[-1])),
            "this rate makes the slowest direction as fast as possible. The question was where it breaks",
        ),
        Mistake(
            _rate_by(lambda v, n: v[-1]),
            "this is the largest curvature λ itself: which learning rate makes |1 - lr·λ| equal to 1?",
        ),
    ],
    hints=[
        "Along an eigenvector with eigenvalue λ each step multiplies the distance by 1 - lr·λ.",
        "The unit has a bias: put a column of ones beside X. Then the Hessian is 2 XᵀX / n.",
        "`np.linalg.eigvalsh` returns the eigenvalues of a symmetric matrix in rising order.",
    ],
    reasoning=r"""
    The Hessian of the mean squared error is $2\tilde X^T \tilde X/n$, where $\tilde X$ has the column of ones
    for the bias. Each eigen-direction shrinks as long as $|1 - \text{lr}\,\lambda| < 1$. The first to break
    is the one with the largest $\lambda$, at $2/\lambda_{\max}$. Neither targets nor weights appear: the
    inputs alone decide.
    """,
    praise="Right: it follows from the inputs alone; the targets play no part.",
    rtol=2e-3,  # a rate found by bisection, as in the notebook, is as good
)

# 05.4  The logistic gradient for classes -1 and +1


def gradient_pm(w, X, y):
    """The gradient of mean(log(1 + exp(-y X w))), y in {-1, +1}."""
    doubt = 1 / (1 + np.exp(y * (X @ w)))  # the probability that the unit gives to the wrong class
    return -(y * doubt) @ X / len(y)


def _logistic_by(weight: Callable) -> Callable:
    """A gradient X.T @ weight(score, y) / n."""
    return lambda w, X, y: weight(X @ w, y) @ X / len(y)


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _logistic_cases() -> list[tuple]:
    rng = np.random.default_rng(3)
    cases = [
        (rng.normal(size=d), rng.normal(size=(n, d)), rng.choice([-1, 1], n))
        for n, d in [(6, 2), (9, 3), (5, 4)]
    ]
    return [*cases, (np.array([400.0, -300.0]), np.array([[2.0, 0.5], [-1.0, 3.0]]), np.array([1, 1]))]


LOGISTIC = Exercise(
    "05.4",
    reference=gradient_pm,
    cases=_logistic_cases,
    mistakes=[
        Mistake(
            _logistic_by(lambda z, y: _sigmoid(z) - y),
            "p - y is the formula for classes 0 and 1. Here y is -1 or +1: a sure and right answer of the"
            " class -1 would still be pushed",
        ),
        Mistake(
            _logistic_by(lambda z, y: y * _sigmoid(-y * z)),
            "the sign is turned: this points downhill, the gradient points uphill",
        ),
        Mistake(
            _logistic_by(lambda z, y: z - (y + 1) / 2),
            "the sigmoid is missing: the score is compared with the class as if it were a probability",
        ),
        Mistake(
            _logistic_by(lambda z, y: z - y),
            "this is half the gradient of the squared error: the sigmoid is missing",
        ),
        Mistake(
            _logistic_by(lambda z, y: (_sigmoid(z) - (y + 1) / 2) * _sigmoid(z) * _sigmoid(-z)),
            "the extra p (1 - p) belongs to a squared error behind a sigmoid: in cross-entropy it cancels",
        ),
        Mistake(
            _logistic_by(lambda z, y: -y * _sigmoid(y * z)),
            "it pushes the examples that are right and leaves the wrong ones alone: what counts is the"
            " probability of the wrong class",
        ),
        Mistake(
            lambda w, X, y: len(y) * gradient_pm(w, X, y),
            "this is the gradient of the sum: the 1/n of the mean is missing",
        ),
        Mistake(
            _logistic_by(lambda z, y: -y * (z * y <= 0)),
            "this is the perceptron's step: the sigmoid makes it soft",
        ),
        Mistake(
            _logistic_by(lambda z, y: -_sigmoid(-y * z)),
            "the last link of the chain is missing: the derivative of y (w·x) by w is y x, not x",
        ),
        Mistake(
            _logistic_by(lambda z, y: -y * _sigmoid(-z)),
            "a step must be small where the answer is right, and for the class -1 it is not: the exponent"
            " holds y (w·x), not w·x",
        ),
        Mistake(
            _logistic_by(lambda z, y: -y * np.exp(-y * z)),
            "the derivative of log(u) is 1/u times that of u: the division by 1 + e^(-m) is missing",
        ),
        Mistake(
            _logistic_by(lambda z, y: -y * (np.exp(-y * z) / (1 + np.exp(-y * z)))),
            "right for small scores. But one score of the test is -1300, and e^1300 is inf in floating point;"
            " inf / inf and inf - inf are nan. Divide above and below by e^(-m): then inf stands only below",
        ),
    ],
    hints=[
        "Let m = y (w·x), the perceptron's y·score. What is the derivative of log(1 + e^(-m)) by m?",
        "It is -e^(-m) / (1 + e^(-m)) = -1 / (1 + e^m). Then the chain rule: the derivative of m by w?",
    ],
    reasoning=r"""
    With $m = y\,(w\cdot x)$ the loss is $\log(1 + e^{-m})$, its derivative $-1/(1+e^{m})$: minus the
    probability of the wrong class. The derivative of $m$ by $w$ is $y\,x$. So each example adds $-y\,x$,
    weighted with how much the unit doubts it. Replace that weight by 1 for mistakes and 0 for right answers,
    and the downhill step is Rosenblatt's rule.
    """,
    praise="Right: Rosenblatt's step y·x, weighted with the probability of the wrong class.",
)

# 05.5  A race down a long valley


def roll(gradient, w, smallest, largest):
    """Gradient descent with momentum (Polyak 1964): a share of the last step is kept."""
    root = np.sqrt([smallest, largest])
    lr = (2 / root.sum()) ** 2
    keep = ((root[1] - root[0]) / root.sum()) ** 2
    step = np.zeros_like(w)
    for _ in range(120):
        step = keep * step - lr * gradient(w)
        w = w + step
    return w


@functools.cache
def _valley() -> tuple[np.ndarray, np.ndarray]:
    """The sunspot numbers of nine years (n, 9) and of the year that followed (n,), in hundreds."""
    value = data.series("sunspots").value.astype(float) / 100
    past = [value[YEARS - 1 - lag : len(value) - 1 - lag] for lag in range(YEARS)]
    return np.column_stack(past), value[YEARS:]


class _TooMany(Exception):
    """The answer called the gradient more often than anyone should."""


def _race(answer: Callable) -> tuple[int, float]:
    """Calls of the gradient, and how far the loss ends above the minimum (0.01 is one per cent)."""
    X, y = _valley()
    calls = 0

    def gradient(w):
        nonlocal calls
        calls += 1
        if calls > PATIENCE:
            raise _TooMany
        return 2 * X.T @ (X @ np.asarray(w, float) - y) / len(y)

    eigenvalues = np.linalg.eigvalsh(2 * X.T @ X / len(y))
    w = np.asarray(answer(gradient, np.zeros(YEARS), eigenvalues[0], eigenvalues[-1]), float)
    if w.shape != (YEARS,):
        raise ValueError(f"roll must return the weights, shape ({YEARS},), not {w.shape}")
    best = np.linalg.lstsq(X, y, rcond=None)[0]
    return calls, float(np.mean((X @ w - y) ** 2) / np.mean((X @ best - y) ** 2) - 1)


def _judge(answer) -> str | None:
    if not callable(answer):
        return "roll should be a function, not a value"
    try:
        calls, above = _race(answer)
    except _TooMany:
        return f"stopped after {PATIENCE} calls of gradient: does the loop end?"
    if not calls:
        return "the gradient was never called"
    if not np.isfinite(above) or above > 1e3:
        return f"diverged: after {calls} calls the loss has exploded. Is a learning rate above its bound?"
    if above > 0.01:
        return f"after {calls} calls the loss is {above:.1%} above the lowest possible, the goal is 1%"
    if calls > BAR:
        return f"the goal is reached, but with {calls} calls of gradient; the bar is {BAR}"
    return None


RACE = Exercise(
    "05.5",
    reference=roll,
    judge=_judge,
    hints=[
        "With a plain step even the rate that suits this goal best needs about 300 calls: what the steep"
        " direction allows is too small for the flat one.",
        "Let the ball have mass: keep part of the last step, `step = keep * step - lr * gradient(w)`, then"
        " `w = w + step`. Along the valley the steps add up, across it they cancel. Try keep = 0.9.",
        "The loss is a quadratic, so gradient differences tell its curvature exactly:"
        " gradient(w + d) - gradient(w) is the Hessian times d. Nine such directions tell everything.",
    ],
    reasoning="""
    Momentum (Boris Polyak, 1964) needs a number of steps proportional to the square root of the condition
    number, where plain descent needs a number proportional to the condition number itself. These are his best
    constants for a quadratic. Fewer calls are possible: conjugate gradients (Hestenes and Stiefel, 1952) end
    after at most nine steps here, and Newton's step with a Hessian measured from gradient differences takes
    ten calls. With millions of weights Newton's step is not affordable any more, and conjugate gradients
    do not bear the noise of small batches; momentum is cheap and bears it.
    """,
    praise=lambda answer: f"{_race(answer)[0]} calls of the gradient, the bar was {BAR}.",
)

EXERCISES = [MSE_GRADIENT, LMS_PASS, LARGEST_RATE, LOGISTIC, RACE]
