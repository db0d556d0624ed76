"""`python -m minidl learn`: the course in JupyterLab; `reference`: the API; `warm`: compiles the kernels."""

import argparse
import json
import os
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

ROOT = Path(__file__).resolve().parent.parent
START = "notebooks/00_start_here.ipynb"
DEFAULTS = {  # no question about news, no request to the network
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m minidl",
        description="An interactive deep learning course, and the small engine that it builds and uses.",
        epilog="`python -m minidl.course --help` lists the commands for authors of notebooks.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    learn_parser = commands.add_parser(
        "learn",
        help="open the first notebook in JupyterLab",
        description="Open the first notebook in JupyterLab. Ctrl-C in this terminal ends it.",
        epilog="Every other option goes to JupyterLab, --no-browser for example.",
        allow_abbrev=False,
    )
    learn_parser.add_argument(
        "--port", type=int, help="port of the local server (default: the first free from 8888)"
    )
    reference_parser = commands.add_parser(
        "reference",
        help="open the API reference in the browser",
        description="Write the pages of the API reference, made of the docstrings, and open the first one.",
        allow_abbrev=False,
    )
    reference_parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="where the pages go (default: a new temporary folder)"
    )
    reference_parser.add_argument("--no-open", action="store_true", help="only write the pages")
    commands.add_parser(
        "warm",
        help="compile the fast kernels, which `learn` does too",
        description="Compile the fast kernels and keep them on disk, so that nothing waits for them later.",
        allow_abbrev=False,
    )
    options, others = parser.parse_known_args(argv)
    if options.command == "learn":
        learn(options.port, others)
    elif others:
        parser.error(f"unknown option {others[0]}")
    elif options.command == "reference":
        reference(options.output, not options.no_open)
    elif options.command == "warm":
        from minidl.warm import warm

        print(warm())
    else:
        parser.print_help()


def learn(port: int | None, lab_options: list[str]) -> None:
    """Start JupyterLab at the repository's root (so that links and datasets resolve) on the first notebook.

    port: None = JupyterLab's own search for a free one from 8888 on.  Returns when the server ends.
    Raises: SystemExit with a message that says what is missing or taken.
    """
    if not (ROOT / START).is_file():
        sys.exit(f"{ROOT / START} is missing: run this command inside a clone of the course's repository.")
    # Loaded by jsonschema for 2.5 s, to check addresses in Chinese or Greek letters, of which there are none.
    sys.modules.setdefault("rfc3987_syntax", None)
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as error:
        sys.exit(how_to_install("JupyterLab cannot be loaded", error))
    arguments = [
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{START}",
    ]
    if port is not None:
        refuse_if_taken(port)
        arguments += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    warm_up()
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this Python's kernel, not another installation's
    print(f"Opening {START} in JupyterLab. Keep this terminal open; Ctrl-C here ends it.", flush=True)
    with TemporaryDirectory() as folder:
        write_defaults(Path(folder))
        LabApp.launch_instance(arguments + lab_options)


def warm_up() -> None:
    """Compile the fast kernels in a process of its own: whatever befalls it, the course opens."""
    subprocess.run([sys.executable, "-m", "minidl", "warm"], cwd=ROOT, check=False)


def reference(folder: Path | None = None, show: bool = True) -> Path:
    """Write the API reference into a folder (a new temporary one if None); `show` opens it in the browser.

    Returns its first page.  Raises: SystemExit with a message that says what is missing.
    """
    from minidl.reference import write_reference

    try:
        first = write_reference(Path(mkdtemp(prefix="minidl-reference-")) if folder is None else folder)
    except ImportError as error:
        sys.exit(how_to_install("The reference cannot be made", error))
    print(first, flush=True)
    if show:
        webbrowser.open(first.resolve().as_uri())
    return first


def how_to_install(problem: str, error: ImportError) -> str:
    """A message for what the course needs and Python does not find."""
    install = f"{sys.executable} -m pip install -r {ROOT / 'requirements.txt'}"
    return f"{problem} ({error}). Install what the course needs:\n    {install}"


def write_defaults(folder: Path) -> None:
    """Have JupyterLab read DEFAULTS from this folder; what the learner has set goes before them."""
    file = folder / "labconfig/default_setting_overrides.json"
    file.parent.mkdir()
    file.write_text(json.dumps(DEFAULTS))
    paths = (str(folder), os.environ.get("JUPYTER_CONFIG_PATH"))
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, paths))


def refuse_if_taken(port: int) -> None:
    """Exit with a message if no server may listen on this local port."""
    if not 0 < port < 65536:
        sys.exit(f"Port {port} does not exist: ports go from 1 to 65535.")
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        sys.exit(
            f"Port {port} cannot be used ({error}). Leave out --port to get a free one, or end what uses it."
        )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)  # what a shell says of Ctrl-C
