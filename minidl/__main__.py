"""`python -m minidl learn`: open the course in JupyterLab."""

import argparse
import json
import os
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

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
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
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
    learn_parser.set_defaults(run=learn)
    options, lab_options = parser.parse_known_args(argv)
    if "run" in options:
        options.run(options.port, lab_options)
    elif lab_options:
        parser.error(f"unknown option {lab_options[0]}")
    else:
        parser.print_help()


def learn(port: int | None, lab_options: list[str]) -> None:
    """Start JupyterLab at the repository's root (so that links and datasets resolve) on the first notebook.

    port: None = JupyterLab's own search for a free one from 8888 on.  Returns when the server ends.
    Raises: SystemExit with a message that says what is missing or taken.
    """
    if not (ROOT / START).is_file():
        sys.exit(f"{ROOT / START} is missing: run this command inside a clone of the course's repository.")
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as error:
        install = f"{sys.executable} -m pip install -r {ROOT / 'requirements.txt'}"
        sys.exit(f"JupyterLab cannot be loaded ({error}). Install what the course needs:\n    {install}")
    arguments = [
        f"--ServerApp.root_dir={ROOT}",
        f"--LabApp.default_url=/lab/tree/{START}",
    ]
    if port is not None:
        refuse_if_taken(port)
        arguments += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    os.environ.setdefault("JUPYTER_PREFER_ENV_PATH", "1")  # this Python's kernel, not another installation's
    print(f"Opening {START} in JupyterLab. Keep this terminal open; Ctrl-C here ends it.", flush=True)
    with TemporaryDirectory() as folder:
        write_defaults(Path(folder))
        LabApp.launch_instance(arguments + lab_options)


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
    main()
