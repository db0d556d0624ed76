"""Containers: how they are filled, cut, and named in state dicts, as PyTorch's."""

from collections import OrderedDict

import numpy as np
import pytest

import minidl
from minidl import nn
from tests.parity import assert_same, ours


def setting(m) -> dict:
    """Containers for the calls below; layers are told apart by their widths."""
    layers = [m.nn.Linear(i, i) for i in range(1, 5)]
    names = [("a", m.nn.Linear(1, 1)), ("b", m.nn.ReLU()), ("c", m.nn.Linear(2, 2))]
    return {
        "m": m, "OrderedDict": OrderedDict, "names": names, "new": m.nn.Linear(9, 9),
        "p": m.nn.Parameter(m.ones(2, 3)), "q": m.zeros(4),
        "s": m.nn.Sequential(*layers), "named": m.nn.Sequential(OrderedDict(names)),
        "l": m.nn.ModuleList(layers), "d": m.nn.ModuleDict(names),
        "ps": m.nn.ParameterList([m.ones(i) for i in range(1, 4)]),
        "pd": m.nn.ParameterDict({"b": m.ones(2), "a": m.nn.Parameter(m.ones(1)), "text": "x"}),
    }  # fmt: skip


SEQUENTIAL = [
    "s", "named", "m.nn.Sequential()", "m.nn.Sequential(m.nn.Sequential(), m.nn.ReLU())",
    "m.nn.Sequential(new, new)", "len(s)", "s[0]", "s[-1]", "s[4]", "s[-5]", "s[1:3]", "s[::-1]", "s[::2]",
    "named[1:]", "named[-1]", "s['0']", "s[True]", "list(s)", "new in s, s[1] in s", "s + named",
    "s * 2", "2 * s", "s * 0", "s * 1.5", "s * -1", "s.append(new)", "s.append(3)",
    "s.append(m.nn.ReLU)", "named.append(new)", "s.extend([new, new])", "s.extend(l)", "s.extend(3)",
    "s.insert(0, new)", "s.insert(4, new)", "s.insert(-1, new)", "s.insert(5, new)", "s.insert(-5, new)",
    "s.pop(0)", "s.pop(-1)", "s.pop(9)", "s.pop(slice(1, 3))", "named.pop(1)", "m.nn.Sequential(3)",
    "m.nn.Sequential(m.nn.ReLU)", "m.nn.Sequential([new])", "m.nn.Sequential(OrderedDict(a=3))",
    "m.nn.Sequential(OrderedDict([('x.y', new)]))", "m.nn.Sequential(new, None)",
    "[n for n in dir(s) if n.isdigit()]", "s.zero",
    "[n for n, _ in m.nn.Sequential(new, new).named_parameters()]", "named.b", "named.get_submodule('b')",
    "m.nn.Sequential(new, m.nn.Sequential(new))", "hash(s) == hash(s), s == s, s == named",
]  # fmt: skip
SEQUENTIAL_CHANGES = [
    "s[0] = new", "s[-1] = new", "s[4] = new", "named[1] = new", "s[0] = 3", "s[0] = None", "del s[0]",
    "del s[-1]", "del s[1:3]", "del s[::2]", "del s[7]", "del named[0]", "s += named",
    "s += m.nn.Sequential(s, new)", "s *= 3", "s *= 1", "s *= 0", "named.x = new", "del s[:]",
    "s.name = 'x'; s.append(new)",
]  # fmt: skip
LISTS = [
    "l", "m.nn.ModuleList()", "m.nn.ModuleList([])", "m.nn.ModuleList(s)", "m.nn.ModuleList(x for x in s)",
    "m.nn.ModuleList([new] * 3)", "m.nn.ModuleList([new, new, m.nn.ReLU(), new, m.nn.ReLU(), m.nn.ReLU()])",
    "m.nn.ModuleList([m.nn.Sequential(new), m.nn.Sequential(new), m.nn.ModuleList([new, new])])",
    "m.nn.ModuleList(3)", "m.nn.ModuleList([3])", "len(l)", "l[0]", "l[-1]", "l[4]", "l[1:3]", "l[::-1]",
    "l + [new]", "l + s", "l.append(new)", "l.append(3)", "l.extend([new, new])", "l.extend(3)",
    "l.insert(0, new)", "l.insert(4, new)", "l.pop(0)", "l.pop(-1)", "l.pop(9)", "l.pop(slice(1, 3))",
    "list(l)", "new in l, l[2] in l", "[*reversed(list(l))]",
    "[n for n, _ in m.nn.ModuleList([new, new]).named_parameters()]",
]  # fmt: skip
LIST_CHANGES = [
    "l[0] = new", "l[-2] = new", "l[4] = new", "l[1] = 3", "del l[0]", "del l[-1]", "del l[1:]", "del l[6]",
    "l += [new]", "l += 3", "l.insert(1, new)",
]  # fmt: skip
DICTS = [
    "d", "m.nn.ModuleDict()", "m.nn.ModuleDict({'b': new, 'a': m.nn.ReLU()})", "m.nn.ModuleDict(d)",
    "len(d)", "list(d)", "d['a']", "d['no']", "'a' in d, 'no' in d", "list(d.keys())", "list(d.values())",
    "list(d.items())", "d.pop('b')", "d.pop('no')", "d.a", "m.nn.ModuleDict(3)",
    "m.nn.ModuleDict([('a',)])", "m.nn.ModuleDict({'a': 3})", "m.nn.ModuleDict({'x.y': new})",
    "m.nn.ModuleDict({'keys': new})", "m.nn.ModuleDict({'forward': new})", "m.nn.ModuleDict({3: new})",
    "d.add_module('x', new)", "hash(d) == hash(d), d == d",
]  # fmt: skip
DICT_CHANGES = [
    "d['x'] = new", "d['a'] = new", "d['a'] = 3", "del d['a']", "del d['no']", "d.clear()",
    "d.update({'z': new, 'a': new})", "d.update([('z', new)])", "d.update(m.nn.ModuleDict({'z': new}))",
    "d.update(3)", "del d['b']; d['b'] = new", "d.pop('a')",
]  # fmt: skip
PARAMETERS = [
    "len(ps)", "ps[0]", "ps[-1]", "ps[3]", "list(ps)", "ps[1:]", "ps.append(p) is ps", "ps.extend(3)",
    "ps.extend(q)", "m.nn.ParameterList([p, 'text', 3])", "type(ps[0]).__name__, p in list(ps)", "len(pd)",
    "list(pd)", "pd['a']", "'a' in pd", "list(pd.keys())", "list(pd.items())",
    "list(pd.values())", "pd.pop('a')", "pd.get('no'), pd.get('no', 3)", "list(pd.copy())",
    "m.nn.ParameterDict({3: p})", "m.nn.ParameterDict({'x.y': p})", "m.nn.ParameterDict({'keys': p})",
    "list(m.nn.ParameterDict(OrderedDict(b=p, a=p)))", "pd.setdefault('a', 3)", "m.nn.ParameterList()",
    "m.nn.ParameterDict()", "m.nn.ParameterList(p)", "ps[0] is ps[0], ps == ps",
]  # fmt: skip
PARAMETER_CHANGES = [
    "ps[0] = p", "ps[0] = q", "ps[-1] = q", "ps[5] = p", "ps[0] = 3", "ps += [p, q]", "ps.append(3)",
    "pd['a'] = q", "pd['z'] = p", "del pd['a']", "del pd['no']", "pd.clear()",
    "pd.update({'z': p, 'y': q})", "pd.update([('z', p)])", "pd.update(3)", "pd['text'] = 'y'",
    "pd.pop('b')", "pd.setdefault('n', q)",
]  # fmt: skip


def plain(value):
    """Anything as text that minidl and PyTorch can share."""
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    text = f"{sorted(value.state_dict())} {value}" if hasattr(value, "state_dict") else str(value)
    return text.replace("torch.", "")


@pytest.mark.parametrize("call", [*SEQUENTIAL, *LISTS, *DICTS, *PARAMETERS])
def test_calls_give_what_pytorchs_give(call):
    assert_same(lambda m: plain(eval(call, setting(m))))


@pytest.mark.parametrize("change", [*SEQUENTIAL_CHANGES, *LIST_CHANGES, *DICT_CHANGES, *PARAMETER_CHANGES])
def test_changes_leave_what_pytorchs_leave(change):
    def changed(m):
        names = setting(m)
        exec(change, names)
        found = [names[key] for key in ("s", "named", "l", "d")]
        parameters = [[n for n, _ in names[key].named_parameters()] for key in ("ps", "pd")]
        return plain(found), parameters

    assert_same(changed)


def test_sequential_calls_its_modules_in_turn():
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    x = minidl.randn(2, 4)
    np.testing.assert_array_equal(model(x).array, model[2](model[1](model[0](x))).array)
    np.testing.assert_array_equal(model[:2](x).array, model[1](model[0](x)).array)
    assert nn.Sequential()(x) is x
    twice = nn.Sequential(model[1], model[1])
    np.testing.assert_array_equal(twice(x).array, x.tanh().tanh().array)


def test_containers_take_nothing_but_modules():
    with pytest.raises(TypeError, match=r"module '1'.*ReLU is a class. Fix: make a layer of it, ReLU\(\)"):
        nn.Sequential(nn.Linear(1, 1), nn.ReLU)
    with pytest.raises(TypeError, match=r"module '0'.* is no Module. Fix: derive"):
        nn.Sequential(abs)
    with pytest.raises(TypeError, match="module '1'"):
        nn.ModuleList([nn.Identity()]).append(3)


@pytest.mark.parametrize(
    ("call", "error"),
    [("s + [new]", TypeError), ("s + l", TypeError), ("pd['no']", KeyError), ("pd.pop('no')", KeyError)],
)
def test_refusals_that_are_pythons_own(call, error):
    """PyTorch raises ValueError for the first two, AttributeError for the others."""
    with pytest.raises(error):
        eval(call, setting(ours()))


def test_lists_and_dicts_are_not_called():
    for container in (nn.ModuleList(), nn.ModuleDict(), nn.ParameterList(), nn.ParameterDict()):
        with pytest.raises(NotImplementedError, match="has no forward"):
            container(1)


def test_parameters_in_containers_are_trained():
    class Net(nn.Module):
        def __init__(self):
            self.scales = nn.ParameterList([minidl.ones(2), minidl.ones(2)])
            self.shifts = nn.ParameterDict({"a": minidl.zeros(2)})

        def forward(self, x):
            for scale in self.scales:
                x = x * scale
            return x + self.shifts["a"]

    net = Net()
    net(minidl.tensor([2.0, 3.0])).sum().backward()
    assert {n: p.grad.tolist() for n, p in net.named_parameters()} == {
        "scales.0": [2, 3],
        "scales.1": [2, 3],
        "shifts.a": [1, 1],
    }
