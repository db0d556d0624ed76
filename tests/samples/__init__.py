"""Sample calls of every op, for gradient checks and for parity with PyTorch.

A sample is `(call, *inputs)`. `call(m, *tensors)` runs with m = minidl and with m = torch alike: they
share their words. One file for each file of ops: SAMPLES by op name, COMPOSED for functions made of ops.
"""

import importlib
import pkgutil

FAMILIES = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
OPS = {name for family in FAMILIES for name in getattr(family, "SAMPLES", {})}
SAMPLES = {
    name: [sample for family in FAMILIES for sample in getattr(family, "SAMPLES", {}).get(name, ())]
    for name in sorted(OPS)
}
COMPOSED = [sample for family in FAMILIES for sample in getattr(family, "COMPOSED", ())]
