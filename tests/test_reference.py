"""The API reference: every public name has a docstring, and the pages are complete without a network."""

import inspect
import re

import pytest

from minidl import reference

pytest.importorskip("pdoc", reason="pdoc is not installed")
RESOURCES = r"""src\s*=\s*["']?(https?:)?//|<link[^>]*href|@import|url\(["']?(https?:)?//|fetch\("""
LESSONS = ("minidl.viz", "minidl.scalar", "minidl.classic")  # what the notebooks explain


def public_objects() -> dict[str, object]:
    """Dotted name -> object, for every public module, function and class."""
    found = {}
    for module in reference.public_modules():
        members = {
            f"{module.__name__}.{name}": getattr(module, name) for name in reference.public_names(module)
        }
        found |= {module.__name__: module, **members}
    return found


def members(kind: type):
    """Public methods and properties of a class: who defines it in minidl, name, object."""
    for name in dir(kind):
        owner = next((c for c in kind.__mro__ if name in vars(c)), kind)
        static = inspect.getattr_static(kind, name)
        described = callable(static) or isinstance(static, (property, classmethod, staticmethod))
        if not name.startswith("_") and owner.__module__.startswith("minidl") and described:
            yield f"{owner.__module__}.{owner.__qualname__}.{name}", getattr(kind, name)


def test_every_public_name_has_a_docstring():
    lacking, count = set(), 0
    for name, value in public_objects().items():
        if name.startswith(LESSONS):
            continue
        found = {name: value} | dict(members(value) if inspect.isclass(value) else ())
        found = {n: x for n, x in found.items() if callable(x) or isinstance(x, (property, type(inspect)))}
        lacking |= {n for n, x in found.items() if not inspect.getdoc(x)}
        count += len(found)
    assert count > 500
    assert not lacking, "\n".join(sorted(lacking))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")
    assert reference.write_reference(folder) == folder / "index.html"
    return {file.relative_to(folder).as_posix(): file.read_text("utf-8") for file in folder.rglob("*.*")}


def test_every_module_that_is_offered_has_a_page():
    pages = reference.public_modules()
    offered = [getattr(module, name) for module in pages for name in reference.public_names(module)]
    assert {m.__name__ for m in offered if inspect.ismodule(m)} == {m.__name__ for m in pages[1:]}


def anchors(pages, module: str) -> set[str]:
    """What a page has an entry for."""
    return set(re.findall(r'<(?:section|div) id="([\w.]+)"', pages[module.replace(".", "/") + ".html"]))


def test_every_module_has_its_page(pages):
    modules = [module.__name__.replace(".", "/") + ".html" for module in reference.public_modules()]
    assert set(pages) == {"index.html", "search.js", *modules}


def test_every_public_name_is_on_its_page_and_nothing_private(pages):
    for module in reference.public_modules():
        names = {n for n in reference.public_names(module) if not inspect.ismodule(getattr(module, n))}
        shown = anchors(pages, module.__name__)
        assert names - shown == set()
        private = {name for name in shown if re.search(r"(^|\.)_(?!_init__$)", name)}
        assert not private


@pytest.mark.parametrize("name", ["sum", "add_", "backward", "reshape", "shape", "__init__"])
def test_methods_that_are_bound_to_tensor_are_listed(pages, name):
    assert f"Tensor.{name}" in anchors(pages, "minidl")


@pytest.mark.parametrize("name", ["Sequential.append", "BatchNorm1d.__init__", "Module.to", "Linear.weight"])
def test_what_private_base_classes_give_is_listed(pages, name):
    assert name in anchors(pages, "minidl.nn")


def test_constructors_show_their_arguments(pages):
    text = re.sub(r"<[^>]*>|\s+", "", pages["minidl/nn.html"])
    assert "Linear(in_features:int,out_features:int,bias:bool=True" in text


def test_pages_need_no_network(pages):
    """Links that one may click are fine; what a page loads must be in the page or beside it."""
    for file, page in pages.items():
        found = [m.group() for m in re.finditer(RESOURCES, page)]
        assert not found, f"{file}: {found}"


@pytest.mark.parametrize("name", ["minidl.nn.Conv2d", "minidl.nn.functional.cross_entropy", "Tensor.reshape"])
def test_the_search_knows_names(pages, name):
    assert name in pages["search.js"]
