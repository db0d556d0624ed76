"""`python -m tests.benchmarks`: minidl against PyTorch and others on the same work, as a table and JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.benchmarks import pairing, report, startup
from tests.benchmarks.cases import CASES
from tests.benchmarks.engines import ON_GPU, OPERATING, SLOW_TO_BEGIN, TRAINING, Engine
from tests.benchmarks.operations import OPERATIONS

PARTS = ("training", "operations", "startup")
TURN = 0.02  # seconds that an operation runs for in a turn; there are many of them


def training(cases: list[str], engines: dict[str, Engine], threads: int, rounds: int) -> dict:
    """Time every training case; print its table while it goes."""
    figures = {}
    for case in cases:
        candidates = {
            name: engine.candidate(case) for name, engine in engines.items() if case in engine.cases
        }
        results = figures[case] = pairing.compare(candidates, "torch", threads, rounds)
        report.check(results)
        report.add_best(results)
        print(f"{case}, {threads} thread{'s' * (threads > 1)}: {(CASES[case].__doc__ or '').strip()}")
        print("\n".join(report.line(name, result) for name, result in results.items()), flush=True)
    print("\n".join(report.verdicts(figures)), "\n", flush=True)
    return figures


def operations(names: list[str], threads: int, rounds: int, peak: float) -> dict:
    """Time single operations, in two processes that serve one after the other."""
    figures = {}
    print(f"operations, {threads} thread{'s' * (threads > 1)}")
    staff = pairing.workers({e: engine.candidate("") for e, engine in OPERATING.items()}, threads, TURN)
    for name in names:
        candidates = {e: engine.candidate(name) for e, engine in OPERATING.items()}
        results = figures[name] = pairing.compare(candidates, "torch", threads, rounds, staff)
        report.check(results)
        for result in results.values():
            report.add_share(result, OPERATIONS[name], peak, threads)
        print(report.operation_line(name, results), flush=True)
    for worker in staff.values():
        worker.end()
    for family in dict.fromkeys(name.split()[0] for name in names):
        ratios = [r["minidl"]["ratio"] for n, r in figures.items() if n.split()[0] == family]
        mean = report.geometric_mean(ratios)
        print(f"{family} minidl / torch, geometric mean of {len(ratios)}: {mean:.3f}")
    print(flush=True)
    return figures


def engines_at(threads: int, all_threads: list[int]) -> list[str]:
    """All engines at the last number of threads, those that begin quickly at the others."""
    return [e for e in TRAINING if threads == all_threads[-1] or e not in SLOW_TO_BEGIN]


def table(args: argparse.Namespace, threads: int) -> dict[str, Engine]:
    """The engines that take part, by name."""
    if args.device == "cuda":
        return ON_GPU
    return {name: TRAINING[name] for name in args.engines or engines_at(threads, args.threads)}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="default: all; with --cases, training")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), help="training cases, default: all")
    parser.add_argument(
        "--engines", nargs="+", choices=list(TRAINING), help="default: all; with --cases, minidl and torch"
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="cuda: training cases only")
    parser.add_argument("--operations", metavar="WORD", help="only operations with this word in their name")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="in two minutes: does it all run?")
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--picture", type=Path, help="draw the training cases into this PNG file")
    args = parser.parse_args()
    if args.device == "cuda":
        args.parts, args.threads = ["training"], [1]
    if args.operations and not args.parts:
        args.parts = ["operations"]
    args.parts = args.parts or (["training"] if args.cases else list(PARTS))
    args.engines = args.engines or (["minidl", "torch"] if args.cases else None)
    if args.engines and not {"minidl", "torch"} <= set(args.engines):
        parser.error("--engines: minidl and torch are what the others are held against")
    args.cases = args.cases or list(CASES)
    if args.quick:
        args.rounds, args.threads = min(args.rounds, 3), args.threads[-1:]
        args.engines = args.engines or [e for e in TRAINING if e not in SLOW_TO_BEGIN]
    return args


def main() -> None:
    args = arguments()
    names = [name for name in OPERATIONS if not args.operations or args.operations in name]
    names = names[::5] if args.quick and not args.operations else names
    figures = {"machine": report.machine(), "limits": {t: report.limits(t) for t in args.threads}}
    print(", ".join(f"{k} {v}" for k, v in figures["machine"].items()))
    for t, limit in figures["limits"].items():
        flops, copied = limit["flops"] / 1e9, limit["bytes"] / 1e9
        print(f"{t} thread{'s' * (t > 1)}: peak {flops:.0f} GFLOP/s float32, copy {copied:.0f} GB/s")
    print()
    if "training" in args.parts:
        figures["training"] = {t: training(args.cases, table(args, t), t, args.rounds) for t in args.threads}
    if "operations" in args.parts:
        figures["operations"] = {
            t: operations(names, t, max(3, args.rounds // 2), figures["limits"][t]["flops"])
            for t in args.threads
        }
    if "startup" in args.parts:
        figures["startup"] = startup.measure(args.cases[:1] if args.quick else args.cases)
    if args.output:
        args.output.write_text(json.dumps(figures, indent=1))
    if args.picture:
        from tests.benchmarks.picture import draw

        draw(figures, args.picture)


if __name__ == "__main__":
    main()
