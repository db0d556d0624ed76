"""`python -m minidl.kernels.cuda`: which GPU there is, are all kernels right on it, and how fast are they?

python -m minidl.kernels.cuda                        the device, or what is missing
python -m minidl.kernels.cuda check                  every kernel against the reference
python -m minidl.kernels.cuda benchmark --output f   beside cuBLAS and cuDNN, as JSON
python -m minidl.kernels.cuda check --simulate       the same without a GPU, slowly
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path

from minidl.kernels.cuda import driver


def devices() -> int:
    """Say what the device is, or what is missing."""
    if not driver.active():
        print(driver.missing())
        return 1
    properties = driver.device_properties()
    print(
        f"{properties.name}: compute capability {'.'.join(map(str, properties.capability))}, "
        f"{properties.multiprocessors} multiprocessors, {properties.memory / 2**30:.0f} GiB"
    )
    return 0


def check() -> int:
    """Hold every kernel against the reference; the number of those that are wrong."""
    from minidl.kernels.cuda import checks

    driver.require()
    wrong = 0
    for name in checks.kernel_names():
        error = checks.check(name)
        wrong += error > 1
        print(f"{name:32} {'wrong' if error > 1 else 'right'}, {error:.2f} of the error that is allowed")
    print(f"{wrong} kernels are wrong" if wrong else "all kernels agree with the reference")
    return wrong


def benchmark(output: Path | None, quick: bool) -> int:
    """Time the kernels, and write the figures."""
    from minidl.kernels.cuda import benchmark

    driver.require()
    figures = benchmark.run(quick)
    if output is not None:
        output.write_text(json.dumps(figures, indent=1))
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m minidl.kernels.cuda", description=devices.__doc__)
    parser.add_argument("task", nargs="?", default="devices", choices=("devices", "check", "benchmark"))
    parser.add_argument("--simulate", action="store_true", help="in the simulator, on the CPU")
    parser.add_argument("--quick", action="store_true", help="benchmark: does it all run?")
    parser.add_argument("--output", type=Path, help="benchmark: write the figures to this JSON file")
    args = parser.parse_args(arguments)
    with driver.simulated() if args.simulate else contextlib.nullcontext():
        if args.task == "check":
            return min(check(), 1)
        return benchmark(args.output, args.quick) if args.task == "benchmark" else devices()


if __name__ == "__main__":
    sys.exit(main())
