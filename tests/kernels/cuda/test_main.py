"""The command: devices, checks of every kernel, the benchmark."""

import json
import runpy

import pytest

from minidl.kernels.cuda import checks, driver

main = runpy.run_module("minidl.kernels.cuda.__main__", run_name="imported")["main"]


def test_devices_are_shown(capsys):
    assert main([]) == 0
    assert driver.device_name() in capsys.readouterr().out


@pytest.mark.parametrize("name", checks.kernel_names())
def test_every_kernel_has_a_check_and_passes_it(name):
    assert checks.check(name) <= 1


def test_a_wrong_kernel_is_named(capsys, monkeypatch):
    monkeypatch.setattr(checks, "kernel_names", lambda: ["relu"])
    assert main(["check"]) == 0
    monkeypatch.setattr(checks, "_find", lambda name: lambda x: x)
    assert main(["check"]) == 1
    assert "relu                             wrong" in capsys.readouterr().out


def test_the_benchmark_writes_json(tmp_path, monkeypatch, capsys):
    from minidl.kernels.cuda import benchmark

    monkeypatch.setattr(benchmark, "SIZES", (64,))
    monkeypatch.setattr(benchmark, "CONVOLUTIONS", (("small", (2, 3, 6, 6), (4, 3, 3, 3), 1),))
    assert main(["benchmark", "--quick", "--output", str(tmp_path / "f.json")]) == 0
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["machine"]["device"] == driver.device_name()
    assert len(figures["products"]) == 1 and len(figures["convolutions"]) == 3
