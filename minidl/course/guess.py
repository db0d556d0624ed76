"""Predict before you run: a question, a guess, then the truth and how far off the guess was."""

import html
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets

LINE = 28  # pixels, the height of a control and of a line of text beside it


class Guess(widgets.VBox):
    """The box that `predict` shows. `guess` and `revealed` can be read (and tested)."""

    def __init__(self, question: str, control: widgets.ValueWidget, answer: Any, because: str, plain: str):
        self.question, self.answer, self.because, self.plain = question, answer, because, plain
        self.control = control
        self.button = widgets.Button(description="Show me", tooltip="Show the answer")
        lines = 1 + (len(because) > 90)  # reserved, so that nothing moves when the reply appears
        self.reply = widgets.HTML(layout={"min_height": f"{LINE * lines}px"})
        self.revealed = False
        self.button.on_click(lambda _: self.hide() if self.revealed else self.reveal())
        label = widgets.HTML(f"<b>{html.escape(question)}</b>")
        super().__init__(
            [label, widgets.HBox([control, self.button], layout={"align_items": "center"}), self.reply]
        )

    @property
    def guess(self) -> Any:
        """What the learner has chosen so far (None while no option is chosen)."""
        return self.control.value

    def reveal(self) -> None:
        """Show the answer and lock the guess."""
        if self.guess is None:
            self.reply.value = "Choose one first."
            return
        self.revealed = self.control.disabled = True
        self.button.description = "Guess again"
        self.reply.value = html.escape(f"{self.verdict()} {self.because}".strip())

    def hide(self) -> None:
        """Take the answer away again: a new guess."""
        self.revealed = self.control.disabled = False
        self.button.description = "Show me"
        self.reply.value = ""

    def verdict(self) -> str:
        """One sentence: the guess, the truth, the distance."""
        guess, answer = self.guess, self.answer
        if guess == answer:
            return f"You said {guess}, and so it is."
        if isinstance(answer, str):
            return f"You said “{guess}”; the answer is “{answer}”."
        side = "below" if guess < answer else "above"
        return f"You said {guess:g}; it is {answer:g}. Your guess was {abs(guess - answer):g} {side}."

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        return {**bundle, "text/plain": self.plain}


def predict(
    question: str,
    *,
    answer: Any,
    low: float | None = None,
    high: float | None = None,
    step: float | None = None,
    options: Sequence[Any] | None = None,
    because: str = "",
) -> Guess:
    """Ask for a guess before the result is shown.

    With `low` and `high` the learner sets a slider; with `options` they choose one of several. "Show me"
    reveals the answer and says how far the guess was from it; `because` adds the reason in a sentence.

    Raises: ValueError when the answer cannot be chosen.
    """
    if options is not None:
        if answer not in options:
            raise ValueError(f"predict: answer {answer!r} is not among the options {list(options)!r}")
        width = {"width": "max-content", "margin": "2px 24px 2px 2px"}
        control = widgets.RadioButtons(
            options=list(options), value=None, description="Your guess", layout=width
        )
        return Guess(
            question, control, answer, because, f"[guess] {question} ({' / '.join(map(str, options))})"
        )
    if low is None or high is None or not low <= answer <= high:
        raise ValueError(f"predict: give options=, or low <= answer <= high; got {low}, {answer}, {high}")
    whole = step is None and all(float(number).is_integer() for number in (low, high, answer))
    step = step or (1 if whole else (high - low) / 100)
    kind = widgets.IntSlider if whole or isinstance(step, int) else widgets.FloatSlider
    middle = low + round((high - low) / 2 / step) * step
    slider = kind(
        value=middle, min=low, max=high, step=step, description="Your guess", layout={"width": "420px"}
    )
    return Guess(question, slider, answer, because, f"[guess] {question} ({low:g} to {high:g})")
