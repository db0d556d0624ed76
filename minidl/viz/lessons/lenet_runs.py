"""Notebook 18's recipe under three seeds: what was measured, and the means to measure it again.

    python -m minidl.viz.lessons.lenet_runs

runs the notebook's own cells that are tagged "recipe" (12 trainings, some eight minutes) and prints `RUNS`.
`RUNS["code"]` is a fingerprint of those cells. A test compares it: no recipe changes without its runs.
"""

import ast
import hashlib
import json
import pprint
from pathlib import Path

import numpy as np

NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "part4_vision" / "18_lenet.ipynb"
SEEDS, SHIFTS = (0, 1, 2), (0, 1, 2)
RUNS = {
    "code": "6ccf25c669426bfe",
    "validation": {
        0: [
            {
                "right": [0.9746, 0.9782, 0.987, 0.986, 0.9863, 0.9886, 0.9899, 0.9906, 0.9911, 0.9909],
                "slid": 0.732,
            },
            {
                "right": [0.9769, 0.9842, 0.9854, 0.9869, 0.988, 0.9871, 0.9896, 0.9907, 0.9914, 0.9914],
                "slid": 0.682,
            },
            {
                "right": [0.9791, 0.9764, 0.9848, 0.9869, 0.9871, 0.99, 0.9895, 0.9911, 0.9911, 0.9913],
                "slid": 0.759,
            },
        ],
        1: [
            {
                "right": [0.9779, 0.9846, 0.9778, 0.9865, 0.9893, 0.9908, 0.9898, 0.9915, 0.9928, 0.9936],
                "slid": 0.912,
            },
            {
                "right": [0.9774, 0.9846, 0.9857, 0.9874, 0.9903, 0.9905, 0.991, 0.9921, 0.9926, 0.9923],
                "slid": 0.939,
            },
            {
                "right": [0.979, 0.9847, 0.9873, 0.9887, 0.9893, 0.9905, 0.9918, 0.9925, 0.9921, 0.9925],
                "slid": 0.923,
            },
        ],
        2: [
            {
                "right": [0.9702, 0.9734, 0.9795, 0.9836, 0.987, 0.9881, 0.9879, 0.9899, 0.9911, 0.9908],
                "slid": 0.974,
            },
            {
                "right": [0.9686, 0.985, 0.9825, 0.9884, 0.9856, 0.9884, 0.9906, 0.9916, 0.9913, 0.9918],
                "slid": 0.973,
            },
            {
                "right": [0.9647, 0.9798, 0.9849, 0.9843, 0.9895, 0.9909, 0.9905, 0.9921, 0.9926, 0.9926],
                "slid": 0.974,
            },
        ],
    },
    "test": [9934, 9937, 9934],
}


def recipe_cells() -> list[str]:
    """The sources of the notebook's cells that are tagged "recipe"."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if "recipe" in cell["metadata"].get("tags", [])]


def fingerprint() -> str:
    """Of the recipe cells, the imports left out; comments and layout do not count."""
    code = "\n".join(ast.unparse(ast.parse(source)) for source in recipe_cells()[1:])
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def names() -> dict:
    """What the recipe cells define: mnist, training, validation, recipe, train, read."""
    found: dict = {}
    for source in recipe_cells():
        exec(source, found)
    return found


def choose(seed: int, shift: int) -> dict:
    """Train on 50,000: the share of the 10,000 validation digits right after each epoch, and when slid."""
    cells = names()
    cells["recipe"]["shift"] = shift
    model, history = cells["train"](seed, cells["training"], cells["held_back"])
    images = cells["mnist"].train_images[cells["validation"]]
    labels = cells["mnist"].train_labels[cells["validation"]]
    slid = (cells["read"](model, np.roll(images, 4, axis=2)).argmax(axis=1) == labels).mean()
    right = [round(record["val_accuracy"], 4) for record in history.epochs]
    return {"right": right, "slid": round(float(slid), 3)}


def finish(seed: int) -> int:
    """Train on all 60,000: how many of the official 10,000 test digits are right."""
    cells = names()
    model, _ = cells["train"](seed, np.arange(60_000))
    answered = cells["read"](model, cells["mnist"].test_images).argmax(axis=1)
    return int((answered == cells["mnist"].test_labels).sum())


if __name__ == "__main__":
    runs = {
        "code": fingerprint(),
        "validation": {shift: [choose(seed, shift) for seed in SEEDS] for shift in SHIFTS},
        "test": [finish(seed) for seed in SEEDS],
    }
    pprint.pp(runs, width=105)
