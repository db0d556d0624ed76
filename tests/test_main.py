"""`python -m minidl`: help and messages. That the course opens is seen in tests/browser."""

import socket
import subprocess
import sys

import pytest

from minidl import __main__ as command
from minidl import reference, warm


def test_alone_prints_help(capsys):
    command.main([])
    assert "learn" in capsys.readouterr().out


def test_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "minidl", "--help"], capture_output=True, text=True, check=True
    )
    assert "open the first notebook in JupyterLab" in done.stdout


@pytest.mark.parametrize("arguments", [["lern"], ["--no-browser"]])
def test_refuses_what_it_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_learn_names_a_taken_port():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"Port {port} cannot be used .*Leave out --port"):
            command.main(["learn", "--port", str(port)])


def test_learn_refuses_an_impossible_port():
    with pytest.raises(SystemExit, match="Port 70000 does not exist"):
        command.main(["learn", "--port=70000"])


def test_learn_says_how_to_install_jupyterlab(monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)  # importing it raises ImportError
    with pytest.raises(
        SystemExit, match=r"JupyterLab cannot be loaded(.|\n)*pip install -r .*requirements.txt"
    ):
        command.main(["learn"])


def test_learn_outside_a_clone_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(command, "ROOT", tmp_path)
    with pytest.raises(SystemExit, match="inside a clone"):
        command.main(["learn"])


def test_learn_warms_up_and_passes_other_options_on(monkeypatch):
    labapp = pytest.importorskip("jupyterlab.labapp")
    seen = []
    monkeypatch.setattr(command, "warm_up", lambda: seen.append("warm"))
    monkeypatch.setattr(labapp.LabApp, "launch_instance", seen.extend)
    monkeypatch.setattr(command.os, "environ", dict(command.os.environ))
    command.main(["learn", "--no-browser", "--ServerApp.ip=0.0.0.0"])
    assert seen[0] == "warm"
    assert seen[-2:] == ["--no-browser", "--ServerApp.ip=0.0.0.0"]
    assert f"--ServerApp.root_dir={command.ROOT}" in seen


def test_warming_up_is_a_process_of_its_own_that_may_fail(monkeypatch):
    seen = []
    monkeypatch.setattr(command.subprocess, "run", lambda line, **settings: seen.append((line, settings)))
    command.warm_up()
    ((line, settings),) = seen
    assert line == [sys.executable, "-m", "minidl", "warm"]
    assert settings["check"] is False


def test_warm_says_what_it_did(monkeypatch, capsys):
    monkeypatch.setattr(warm, "WORK", {"nothing": lambda: None})
    command.main(["warm"])
    assert "kernels are compiled" in capsys.readouterr().out


def test_reference_writes_the_pages_and_opens_the_first(monkeypatch, tmp_path, capsys):
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)
    monkeypatch.setattr(reference, "write_reference", lambda folder: folder / "index.html")
    command.main(["reference", "--output", str(tmp_path)])
    assert capsys.readouterr().out.strip() == str(tmp_path / "index.html")
    assert opened == [(tmp_path / "index.html").as_uri()]


def test_reference_without_a_browser_or_a_folder(monkeypatch, tmp_path):
    opened = []
    monkeypatch.setattr(command.webbrowser, "open", opened.append)
    monkeypatch.setattr(reference, "write_reference", lambda folder: folder / "index.html")
    command.main(["reference", "--no-open"])
    assert not opened
    first, second = command.reference(show=False), command.reference(show=False)
    assert first.parent != second.parent


def test_reference_says_how_to_install_pdoc(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pdoc", None)
    with pytest.raises(SystemExit, match=r"cannot be made(.|\n)*pip install -r .*requirements.txt"):
        command.main(["reference", "--output", str(tmp_path)])


def test_reference_refuses_what_it_does_not_know(capsys):
    with pytest.raises(SystemExit):
        command.main(["reference", "--fast"])
    assert "--fast" in capsys.readouterr().err
