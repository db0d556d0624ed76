"""Right and wrong answers to the exercises of notebook 01."""

import numpy as np

RELAY = {"kept": (["cool"], [], 1)}

RIGHT = {
    "01.1": [
        ("abc", "", 2),
        [["c", "a", "b"], (), 2],
        (["a", "a", "b", "b", "c", "c"], [], np.int64(3)),
    ],
    "01.2": [
        {
            "kept": (["cool"], [], 1),
            "x": (["kept", "kept"], ["cool"], 2),
            "heat": (["x", "warm"], [], 1),
            "cold": (["cool", "kept"], [], 2),
        },
    ],
    "01.3": [
        ((np.ones(3), 1.5), (np.array([1, 1, 1, -2]), 0.5)),
        [([2, 2, 2], 3), ([2, 2, 2, -4], 2)],
    ],
    "01.4": [
        {"on": (["press"], ["q"], 1), "off": (["press", "q"], [], 2), "q": (["on", "q"], ["off"], 1)},
        {"q": (["q", "s"], ["press"], 1), "s": (["press", "press"], ["q"], 2)},
    ],
    "01.5": [
        [([1, 1, 1, 0, 0, 0, 0], 2), ([1, 1, 1, 0, 0, 0, 0, -2], 1),
         ([0, 0, 0, 1, 1, 0, 0, 0, 1], 2), ([0, 0, 0, 1, 1, 0, 0, 0, 1, -2], 1),
         ([0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1], 2), ([0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, -2], 1)],
        [(np.full(7, 0.5), 1.75), (np.r_[np.ones(7), -4], 1.5), (np.r_[np.ones(7), -4, -2], 0.5)],
    ],
}  # fmt: skip

WRONG = {
    "01.1": [
        ((["a", "b", "c", "a"], [], 1), "this is OR"),
        ((["a", "a", "b", "b", "c", "c"], [], 2), "this is OR"),
        ((["b", "c"], [], 2), "the cell is silent, and 2 of 3 have voted"),
        (([0, 1, 2], [], 2), "a cell listens to names"),
        (2, "should be a cell"),
        ((["a", "b", "d"], [], 2), "listens to 'd'"),
    ],
    "01.2": [
        ({"heat": (["warm"], [], 1)}, "no cell called 'cold'"),
        (
            RELAY
            | {
                "kept2": (["kept"], [], 1),
                "x": (["kept2"], ["kept"], 1),
                "heat": (["x", "warm"], [], 1),
                "cold": (["cool", "kept"], [], 2),
            },
            "cool at step 4 and nothing else: `heat` should fire at step 7, yours fires at step 8",
        ),
        (
            RELAY
            | {
                "x": (["kept"], ["cool"], 1),
                "heat": (["x", "warm"], [], 1),
                "both": (["cool", "kept"], [], 2),
                "cold": (["both"], [], 1),
            },
            "`cold` is right but one step late",
        ),
        (RELAY | {"heat": (["warm"], [], 1), "cold": (["cool", "kept"], [], 2)}, "there is no illusion"),
        (
            RELAY
            | {
                "x": (["kept"], ["cool"], 1),
                "later": (["warm"], [], 1),
                "heat": (["x", "later"], [], 1),
                "cold": (["cool", "kept"], [], 2),
            },
            "warm at step 4 and nothing else: `heat` should fire at step 5, yours fires at step 6",
        ),
        (
            RELAY
            | {
                "x": (["kept"], ["cool", "warm"], 1),
                "heat": (["x", "warm"], [], 1),
                "cold": (["cool", "kept"], [], 2),
            },
            "wrong when they mix",
        ),
        ({"heat": ("warm", [], 1), "cold": (["cool"], [], 1)}, "['warm'] and not 'warm'"),
    ],
    "01.3": [
        ([([2, 2, 2], 4), ([2, 2, 2, -2], 2)], "too weak"),
        (
            [([1, 1, 1], 2), ([1, 1, 1], 1)],
            "unit 2 hears a, b, c and 1 earlier unit, so it needs 4 weights, not 3",
        ),
        ([([1, 1, 1], 1), ([1, 1, 1, -2], 1)], "the carry is 1, but 1 is 01 in binary"),
        ([([1, 1, 1], 2)], "two units, please"),
        (([1, 1, 1], 2), "each one a pair"),
    ],
    "01.4": [
        ({"q": (["press", "press", "q"], [], 1)}, "latch without a reset"),
        ({"q": (["press"], ["q"], 1)}, "only echoes"),
        (
            {"set": (["press"], [], 1), "q": (["set", "q"], ["press"], 1)},
            "after press number 2 q should be 0",
        ),
        (
            {"on": (["press"], ["q"], 1), "off": (["press", "q"], [], 1), "q": (["on", "q"], ["off"], 1)},
            "nothing may inhibit it at the very step",
        ),
        ({"on": (["press"], ["q"], 0), "q": (["on", "q"], ["press"], 1)}, "is met in silence"),
        ({"on": (["press"], [], 1)}, "no cell called 'q'"),
        ([("q", ["press"], [], 1)], "a net is a dict"),
    ],
    "01.5": [
        (
            [([1] * 7, 4), ([1] * 7 + [-4], 2), ([1] * 7 + [-4, -1], 1)],
            "of the 128 inputs are wrong with 3 units",
        ),
        (
            [([1] * 7, 4), ([1] * 7, 2)],
            "unit 2 hears the 7 inputs and 1 earlier unit, so it needs 8 weights, not 7",
        ),
        (
            [([1] * 7 + [0] * k, k + 1) for k in range(7)]
            + [([0] * 7 + [1, -1, 1, -1, 1, -1, 1], 1), ([0] * 14 + [1], 1)],
            "right with 9 units, but the plain net needs 8",
        ),
        ([], "the list is empty"),
    ],
}
