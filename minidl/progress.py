"""A progress bar: tqdm's in a terminal, a widget in a notebook whose stored form is one quiet line."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager


class _Silent:
    """Shows nothing."""

    def advance(self, note: str = "", by: int = 1) -> None:
        pass

    def close(self) -> None:
        pass


class _Terminal:
    """tqdm on standard error."""

    def __init__(self, total: int, title: str):
        from tqdm import tqdm

        self._bar = tqdm(total=total, desc=title, leave=False)

    def advance(self, note: str = "", by: int = 1) -> None:
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(by)

    def close(self) -> None:
        self._bar.close()


class _Notebook:
    """A bar and a line of text; drawn at most ten times a second, from the second tenth on."""

    INTERVAL = 0.1  # seconds

    def __init__(self, total: int, title: str):
        from IPython.display import display
        from ipywidgets import HTML, HBox, IntProgress

        class Bar(HBox):
            """Its stored form is text: a saved notebook holds no widget."""

            def _repr_mimebundle_(self, **kwargs):
                bundle = super()._repr_mimebundle_(**kwargs)
                bundle = dict(bundle[0] if isinstance(bundle, tuple) else bundle)
                return {**bundle, "text/plain": f"[progress] {title}"}

        self._bar, self._text = IntProgress(0, 0, total, description=title), HTML()
        self._count, self._total, self._start, self._shown = 0, total, time.perf_counter(), 0.0
        display(Bar([self._bar, self._text]))

    def advance(self, note: str = "", by: int = 1) -> None:
        self._count += by
        now = time.perf_counter()
        if now - self._shown >= self.INTERVAL or self._count >= self._total:
            self._shown, self._bar.value = now, self._count
            self._text.value = f"{self._count} of {self._total}, {now - self._start:.0f} s, {note}"

    def close(self) -> None:
        self._bar.bar_style = "success" if self._count >= self._total else "warning"


def _in_notebook() -> bool:
    """Are we in a Jupyter kernel? Found without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def progress(total: int, title: str, show: bool = True):
    """`with progress(100, "training") as bar: bar.advance("loss 0.1")`."""
    kind = _Silent if not show else _Notebook if _in_notebook() else _Terminal
    bar = kind() if kind is _Silent else kind(total, title)
    try:
        yield bar
    finally:
        bar.close()
