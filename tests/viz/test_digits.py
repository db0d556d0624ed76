"""The drawing pad: its pen, its answers, and how many hand-drawn digits a trained network reads."""

import time

import numpy as np
import pytest

import minidl
from minidl import data, nn, optim
from minidl.nn import functional as F
from minidl.train import fit
from minidl.viz.digits import LEFT, SAMPLES, SIDE, TOP, DigitPad, rasterise, read_strokes

HANDS = {  # three handwritings a digit, in the form of `read_strokes`
    0: (
        "50,15 35,25 28,50 35,75 50,85 65,75 72,50 65,25 50,15",
        "62,18 40,14 24,36 26,66 46,86 68,74 76,46 66,22 54,14",
        "48,10 38,30 36,60 44,88 56,84 64,56 62,28 50,10",
    ),
    1: ("50,12/50,88", "60,10/42,90", "36,30 54,12/52,88 | 36,88/68,88"),
    2: (
        "28,28 42,12 64,18 66,38 46,62 26,86/74,84",
        "24,34 34,14 58,12 70,30 58,54 30,76 24,86 36,80 56,84 80,82",
        "30,22 54,12 70,26 60,48 38,70 28,80 30,88 42,82 38,72 30,82 50,84 78,88",
    ),
    3: (
        "30,14 54,10 66,24 58,40 42,47/60,52 70,68 58,86 28,86",
        "26,14/72,14/46,42 66,50 70,70 56,88 28,84",
        "24,22 46,10 66,20 62,38 40,46 64,52 74,70 56,90 26,80",
    ),
    4: (
        "34,12 28,54/74,52 | 64,14 60,90",
        "60,10/20,64/80,64 | 62,34/62,92",
        "28,16 24,48 40,56 66,48/70,14/66,90",
    ),
    5: (
        "70,14/36,16/34,46 54,40 70,56 66,78 46,88 26,80",
        "38,14/32,48 58,46 70,66 54,88 26,84 | 38,14/76,12",
        "68,10 40,16 34,30 38,44 60,54 64,74 48,90 26,84",
    ),
    6: (
        "60,10 38,30 28,60 36,84 58,86 66,68 54,54 32,62",
        "70,16 44,22 26,50 28,78 50,90 70,76 64,58 42,56 28,70",
        "50,10 34,40 32,70 46,90 62,80 60,62 44,60 34,74",
    ),
    7: (
        "24,16/74,14/44,88",
        "26,24 30,14/72,16 56,44 48,90 | 36,50/68,48",
        "22,18 50,22 78,14/58,40 42,66 38,90",
    ),
    8: (
        "50,48 34,34 38,16 60,14 66,30 50,48 32,66 36,86 62,88 70,68 50,48",
        "68,18 46,10 32,24 44,42 64,58 66,80 46,90 30,76 42,56 62,38 68,18",
        "50,10 34,20 36,38 50,46 66,36 64,18 50,10 | 50,46 30,60 32,82 52,90 70,80 68,58 50,46",
    ),
    9: (
        "66,30 54,12 36,18 32,38 48,48 66,34 | 66,28 66,60 60,90",
        "68,24 48,12 30,26 36,46 58,44 68,24/64,64 48,86 30,88",
        "62,16 40,14 32,34 46,48 64,38/66,14/66,88",
    ),
}
MANNERS = {  # how each is drawn: (slant, size, turn in degrees, shift in pixels, pen in pixels)
    "upright": (0.0, 1.0, 0, (0, 0), 22),
    "slanted": (0.3, 0.9, 0, (0, 0), 22),
    "leaning back": (-0.15, 0.9, 0, (0, 0), 22),
    "small, in a corner": (0.0, 0.55, 0, (-55, 50), 20),
    "turned": (0.1, 0.9, 8, (20, -10), 24),
    "thin": (0.1, 1.0, -5, (0, 0), 15),
    "thick": (0.0, 0.9, 0, (0, 10), 32),
}


def in_manner(strokes, slant, size, turn, shift):
    """The strokes slanted, turned and scaled about the middle of the pad, then shifted."""
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = size * np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, -slant], [0, 1]])
    return [(stroke - SIDE / 2) @ matrix.T + SIDE / 2 + shift for stroke in strokes]


@pytest.fixture(scope="module")
def predict():
    """Notebook 08's network after three of its epochs: image (28, 28) -> ten probabilities."""
    minidl.manual_seed(0)
    mnist = data.mnist()
    model = nn.Sequential(nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10))
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    pixels = (mnist.train_images.reshape(-1, 784) / 255).astype("float32")
    loader = data.DataLoader(data.TensorDataset(pixels, mnist.train_labels), 128, shuffle=True)

    def decay(record):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - record["epoch"] / 3)

    fit(model, loader, optimizer, epochs=3, on_epoch=decay, show_progress=False)

    def answer(image):
        with minidl.no_grad():
            return F.softmax(model(minidl.tensor(image.reshape(1, 784))), dim=1).numpy()[0]

    return answer


@pytest.fixture
def pad():
    """A pad whose "network" says how dark the first ten columns are."""
    pad = DigitPad(lambda image: (image[:, 4:24:2].sum(0) + 0.01) / (image[:, 4:24:2].sum() + 0.1))
    yield pad
    pad.close()


def drag(pad, *points):
    for kind, (x, y) in zip(["down"] + ["move"] * (len(points) - 1), points, strict=True):
        pad.point(kind, x + LEFT, y + TOP)
    pad.point("up", points[-1][0] + LEFT, points[-1][1] + TOP)
    pad.wait()


# The network reads them


def test_reads_digits_drawn_by_hand(predict):
    read = {}
    for digit, hands in HANDS.items():
        for number, text in enumerate(hands):
            for manner, (*pose, pen) in MANNERS.items():
                drawing = rasterise(in_manner(read_strokes(text), *pose), width=pen)
                read[digit, number, manner] = predict(data.center_digit(drawing)).argmax() == digit
    right, misread = np.mean(list(read.values())), [case for case, right in read.items() if not right]
    print(right, misread)
    assert len(read) == 210 and right >= 0.9, f"{right:.1%} of {len(read)} read, not {misread}"
    for digit in range(10):
        share = np.mean([right for (drawn, *_), right in read.items() if drawn == digit])
        assert share >= 0.6, f"only {share:.0%} of the drawings of {digit} are read"


def test_without_preparation_a_small_drawing_in_a_corner_is_misread(predict):
    *pose, pen = MANNERS["small, in a corner"]
    right = []
    for digit, hands in HANDS.items():
        for text in hands:
            drawing = rasterise(in_manner(read_strokes(text), *pose), width=pen)
            plain = drawing.reshape(28, 10, 28, 10).mean(axis=(1, 3))
            right.append(predict(plain).argmax() == digit)
    assert np.mean(right) < 0.5


def test_pad_reads_its_own_samples(predict):
    pad = DigitPad(predict)
    for digit, text in enumerate(SAMPLES):
        pad.draw(read_strokes(text))
        assert pad.probabilities.argmax() == digit
    pad.close()


# The pen


def test_rasterise_line_is_as_wide_as_the_pen():
    image = rasterise([[(20, 50), (80, 50)]], size=100, width=10)
    assert image.shape == (100, 100) and image.dtype == np.float32
    assert image[:, 50].sum() == pytest.approx(10, abs=0.01)
    assert image[45:55, 50].min() == 1 and image[:44].max() == 0
    assert image.sum() == pytest.approx(60 * 10 + np.pi * 25, rel=0.01)  # with its two round ends


def test_rasterise_slanted_line_has_grey_edges_and_the_same_width():
    image = rasterise([[(20, 20), (80, 80)]], size=100, width=10)
    assert image.sum() == pytest.approx(60 * 2**0.5 * 10 + np.pi * 25, rel=0.01)
    assert ((image > 0.1) & (image < 0.9)).sum() > 50


def test_rasterise_dots_edges_and_nothing():
    assert rasterise([[(50, 50)]], size=100, width=10).sum() == pytest.approx(np.pi * 25, rel=0.02)
    assert rasterise([[(0, 0)]], size=100, width=10).sum() == pytest.approx(np.pi * 25 / 4, rel=0.05)
    assert not rasterise([[(500, -80), (700, 90)]], size=100).any()
    assert not rasterise([]).any()


def test_rasterise_crossing_strokes_stay_ink():
    cross = rasterise([[(20, 50), (80, 50)], [(50, 20), (50, 80)]], size=100, width=10)
    assert cross.max() == 1 and cross.min() == 0


@pytest.mark.parametrize("stroke", [[], [1, 2, 3], [(1, 2, 3)], [(1, np.nan)]])
def test_rasterise_refuses_what_is_no_stroke(stroke):
    with pytest.raises(ValueError, match="rasterise: a stroke has shape"):
        rasterise([stroke])


def test_read_strokes_curves_corners_and_lifts():
    curve, line = read_strokes("0,0 50,20 100,0 | 0,0/100,100/100,0", size=10)
    assert {(0, 0), (5, 2), (10, 0)} <= set(map(tuple, curve.tolist())) and len(curve) > 10
    assert np.allclose(line[:, 0] - line[:, 1], 0) or (10, 10) in set(map(tuple, line.tolist()))
    assert line.min() >= 0 and line.max() <= 10


# The pad


def test_first_own_stroke_takes_the_place_of_the_sample(pad):
    assert len(pad.strokes) == 1 and pad.image.shape == (28, 28) and pad.image.max() > 0.5
    drag(pad, (50, 50), (50, 100), (60, 200))
    drag(pad, (100, 50), (100, 200))
    assert [stroke[0].tolist() for stroke in pad.strokes] == [[50, 50], [100, 50]]
    assert pad.error is None and pad.probabilities.sum() == pytest.approx(1)
    assert np.array_equal(pad.image, data.center_digit(rasterise(pad.strokes)))


def test_answers_while_drawing(pad):
    pad.point("down", LEFT + 50, TOP + 50)
    pad.point("move", LEFT + 50, TOP + 150)
    pad.wait()
    before = pad.svg
    assert len(pad.strokes[0]) == 2 and pad.probabilities is not None
    pad.point("move", LEFT + 150, TOP + 150)
    pad.wait()
    assert pad.svg != before and pad.state.drawn == 0


def test_clear_undo_and_the_delete_key(pad):
    drag(pad, (50, 50), (50, 200))
    drag(pad, (90, 50), (90, 200))
    pad.controls["Undo"].click()
    pad.wait()
    assert len(pad.strokes) == 1
    pad.controls["Reset"].click()
    pad.wait()
    assert pad.strokes == [] and pad.probabilities is None and not pad.image.any()
    assert "empty" in pad._status.value and pad.controls["Reset"].description == "Clear"
    drag(pad, (50, 50), (50, 200))
    pad.point("clear", 0, 0)
    pad.controls["Undo"].click()
    pad.wait()
    assert pad.strokes == [] and pad.error is None


def test_samples_come_one_after_the_other(pad):
    for digit in (4, 5):
        pad.controls["Draw one for me"].click()
        pad.wait()
        expected = read_strokes(SAMPLES[digit])
        assert all(np.allclose(a, b) for a, b in zip(pad.strokes, expected, strict=True))


def test_strokes_begin_inside_and_stay_inside(pad):
    drag(pad, (SIDE + 100, 50), (50, 50))
    assert np.allclose(pad.strokes[0], read_strokes(SAMPLES[3])[0])
    drag(pad, (100, 100), (900, -50))
    assert pad.strokes[0].tolist() == [[100, 100], [SIDE, 0]]


def test_page_is_told_which_strokes_the_picture_holds(pad):
    drag(pad, (50, 50), (50, 200))
    assert pad._pad.drawn == pad.state.drawn == 1
    pad.reset()
    drag(pad, (50, 50), (50, 200))
    assert pad._pad.drawn == 2


@pytest.mark.parametrize("wrong", [np.zeros(10), np.ones(9) / 9, np.full(10, np.nan), None])
def test_refuses_what_are_no_probabilities(wrong):
    with pytest.raises((ValueError, TypeError)):
        DigitPad(lambda image: wrong)


def test_stored_output_is_a_picture_and_a_sentence(pad):
    bundle, _ = pad._repr_mimebundle_()
    assert bundle["text/plain"].startswith("[interactive] Read as ") and bundle["image/png"]


def test_is_quick(pad):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        pad.draw(read_strokes(SAMPLES[8]))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1
