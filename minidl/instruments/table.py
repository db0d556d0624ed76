"""Tables as text and as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

PREFIXES = ("", "k", "M", "G", "T", "P")


class Table:
    """Columns of text, drawn with aligned columns in a terminal and as a table in a notebook.

    Args:
        head: names of the columns; those that start with "<" are aligned to the left, others to the right.
        rows: as many texts each as there are columns.
        note: a line below.
    """

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence], note: str = ""):
        self.left = [name.startswith("<") for name in head]
        self.head, self.note = [name.lstrip("<") for name in head], note
        self.rows = [["" if cell is None else str(cell) for cell in row] for row in rows]

    def __repr__(self):
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                cell.ljust(n) if left else cell.rjust(n)
                for cell, n, left in zip(line, widths, self.left, strict=True)
            ).rstrip()
            for line in lines
        ]
        rule = "-" * max(map(len, text))
        return "\n".join([text[0], rule, *text[1:], *([rule, self.note] if self.note else [])])

    def _repr_html_(self) -> str:
        def row(tag: str, cells: Sequence[str]) -> str:
            align = ["left" if left else "right" for left in self.left]
            styled = zip(align, map(escape, cells), strict=True)
            return "<tr>" + "".join(f'<{tag} style="text-align:{a}">{c}</{tag}>' for a, c in styled) + "</tr>"

        indented = [[cell.replace("  ", "\u2003") for cell in cells] for cells in self.rows]
        note = f"<p>{escape(self.note)}</p>" if self.note else ""
        return f"<table>{row('th', self.head)}{''.join(row('td', cells) for cells in indented)}</table>{note}"


def brief(number: float | None, unit: str = "") -> str:
    """1234567 as "1.23 M": three digits and a prefix; "-" for None."""
    if number is None:
        return "-"
    power = 0
    while abs(number) >= 999.5 and power < len(PREFIXES) - 1:
        number, power = number / 1000, power + 1
    return f"{number:.3g} {PREFIXES[power]}{unit}".strip()
