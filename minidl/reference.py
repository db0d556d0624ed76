"""The API reference: pages made of the docstrings, with a search, readable without a network."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from types import ModuleType

PAGES = (
    "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn", "optim", "optim.lr_scheduler",
    "optim.swa_utils", "data", "train", "testing", "autograd", "cuda", "instruments", "viz", "scalar",
    "classic",
)  # fmt: skip
"""The modules whose public names are the engine; where a name is written is an implementation detail."""


def public_names(module: ModuleType) -> list[str]:
    """What a module offers: its `__all__`; without one, what it defines or, as a package, what its files do.

    Parts of minidl that have a page of their own are among them.
    """
    own = module.__name__.removeprefix("minidl").lstrip(".")
    parts = [page.rpartition(".")[2] for page in PAGES if page.rpartition(".")[0] == own]
    home = "minidl" if hasattr(module, "__path__") else module.__name__
    defined = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and str(getattr(value, "__module__", "")).startswith(home)
    ]
    return list(dict.fromkeys([*parts, *getattr(module, "__all__", defined)]))


def public_modules() -> list[ModuleType]:
    """minidl and the modules of PAGES."""
    return [importlib.import_module(name) for name in ("minidl", *(f"minidl.{page}" for page in PAGES))]


def write_reference(folder: Path) -> Path:
    """Write the pages into a folder, which is made if it is missing, and return the first page.

    Raises:
        ImportError: pdoc, which makes pages of docstrings, is not installed.
    """
    from pdoc import doc, render

    render.configure(docformat="google")
    pages = {}
    for module in public_modules():
        module.__all__ = public_names(module)  # what pdoc shows
        pages[module.__name__] = doc.Module(module)
    for page in pages.values():
        for kind in page.classes:
            kind.own_members = _with_private_bases(kind)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Error parsing type annotation"
        )  # Tensor.int hides int: shown as text
        files = {
            f"{name.replace('.', '/')}.html": render.html_module(page, pages) for name, page in pages.items()
        }
        files |= {"index.html": render.html_index(pages), "search.js": render.search_index(pages)}
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder / "index.html"


def _with_private_bases(kind) -> list:
    """The members that a class defines itself or has from a base class that has no page, as `_Conv`."""
    own = {id(member) for member in kind.own_members}
    return [
        member
        for member in kind.members.values()
        if id(member) in own or member.taken_from[1].startswith("_")
    ]
