"""JupyterLab in a real Chromium, as a learner meets it: a private server, a notebook page, its widgets."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLAY_SECONDS = 2
POLL = 50  # ms between two looks at whether something is so: without it, at every frame, and frames cost time
CONTROLS = {  # kind -> where ipywidgets draws it
    "slider": ".noUi-handle",
    "dropdown": ".widget-dropdown select",
    "checkbox": ".widget-checkbox input",
    "radio": ".widget-radio-box",
    "text": ".widget-text input, .widget-textarea textarea",
    "picture": "[role=application], canvas",
    "button": "button.jupyter-button:not([title='Close'])",
}


def find_chromium() -> str | None:
    """Path of an installed Chromium: the environment's MINIDL_CHROMIUM first, then the usual names."""
    names = (os.environ.get("MINIDL_CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def missing() -> str:
    """What these tests need and this machine lacks, and how to get it; "" if nothing."""
    if find_chromium() is None:
        return "no Chromium found: install one (apt-get install chromium) or set MINIDL_CHROMIUM to its path"
    return "" if importlib.util.find_spec("playwright") else "no Playwright: pip install playwright"


class Server:
    """`python -m minidl learn` on a copy of the course: a free local port, settings folders of its own."""

    def __init__(self, folder: Path):
        self.port, self.token = free_port(), secrets.token_hex(16)
        self.log = folder / "server.log"
        for part in ("minidl", "notebooks"):  # with what is compiled, not with what is being written
            without = shutil.ignore_patterns(".ipynb_checkpoints", "*.tmp.*", "*.pyc.*")
            shutil.copytree(ROOT / part, folder / "course" / part, ignore=without)
        command = [
            sys.executable,
            "-m",
            "minidl",
            "learn",
            "--no-browser",
            f"--port={self.port}",
            "--allow-root",
        ]
        options = [f"--IdentityProvider.token={self.token}", "--LabApp.expose_app_in_browser=True"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command + options,
                env=private_environment(folder),
                cwd=folder / "course",  # its minidl is the one that -m finds
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}?token={self.token}"

    def get(self, path: str):
        """The open response to GET `path`."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return direct.open(self.url(path), timeout=10)

    def wait_until_up(self, timeout: float = 240) -> None:
        end = time.monotonic() + timeout
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.get("api/status").close()
                return
            except OSError:
                time.sleep(0.2)
        raise RuntimeError(f"JupyterLab did not come up:\n{self.log.read_text()[-3000:]}")

    def interrupt(self, timeout: float = 30) -> int:
        """Ctrl-C. Returns the exit status of the server; a server that stays is killed with its kernels."""
        try:
            self.process.send_signal(signal.SIGINT)
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def private_environment(folder: Path) -> dict[str, str]:
    """This process's, with Jupyter's and IPython's folders inside `folder`; kernels import this minidl."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))
    }
    for name in (
        "JUPYTER_CONFIG",
        "JUPYTER_DATA",
        "JUPYTER_RUNTIME",
        "JUPYTERLAB_SETTINGS",
        "JUPYTERLAB_WORKSPACES",
    ):
        environment[f"{name}_DIR"] = str(folder / name.lower())
    environment["IPYTHONDIR"] = str(folder / "ipython")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return environment


class Lab:
    """One browser page, and in it one notebook after another: JupyterLab itself takes seconds to load."""

    def __init__(self, page, server: Server):
        self.page, self.server = page, server
        self.console: list[str] = []
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self._heard("error", str(error)))

    def _heard(self, kind: str, text: str) -> None:
        if kind == "error":
            self.console.append(text)

    def open(self, path: str) -> None:
        """Open a notebook, wait for its kernel. Errors of widget callbacks are caught from here on."""
        self.console.clear()
        if self.page.url == "about:blank":
            self._load()
        self.page.evaluate(
            "path => jupyterapp.commands.execute('docmanager:open', {path}).then(() => null)", path
        )
        self.page.wait_for_function(
            f"document.querySelector('.jp-Dialog') || ({KERNEL_IS_IDLE})()", timeout=90_000, polling=POLL
        )
        assert self.questions() == [], "JupyterLab asks a question"
        self.page.evaluate(CATCH_CALLBACK_ERRORS)

    def _load(self) -> None:
        workspace = secrets.token_hex(4)  # a fresh one: no tab of an earlier page comes back
        self.page.goto(self.server.url(f"lab/workspaces/{workspace}"))
        self.page.wait_for_function("window.jupyterapp", timeout=90_000)
        self.page.evaluate("jupyterapp.restored.then(() => null)")
        self.page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")  # room to work
        self.page.evaluate(INSTALL_PROBE)

    def questions(self) -> list[str]:
        """What JupyterLab wants to be answered."""
        return self.page.locator(".Toastify__toast, .jp-Dialog").all_inner_texts()

    def change_theme(self, theme: str) -> None:
        """Light or Dark; it is there when this returns."""
        name = f"JupyterLab {theme}"
        command = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
        self.page.evaluate(command, name)
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
        self.page.locator("#jupyterlab-splash").wait_for(state="detached")

    def run_all(self, restart: bool = False, timeout: float = 300) -> None:
        """Run all cells, after a restart of the kernel if asked, until the last one's output is there."""
        self.page.evaluate(RUN, "notebook:restart-run-all" if restart else "notebook:run-all-cells")
        if restart:
            self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        for done in ("window.ran", KERNEL_IS_IDLE):
            self.page.wait_for_function(done, timeout=1000 * timeout, polling=POLL)
        self.page.wait_for_function("!document.body.innerText.includes('Loading widget')")

    def cells(self) -> list[dict]:
        """Every cell of the notebook as the page holds it now (nbformat's JSON)."""
        return self.page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON().cells")

    def raised(self) -> list[str]:
        """What went wrong so far in widget callbacks and the console."""
        callbacks = self.page.evaluate("window.callbackErrors")
        return [f"console: {text}" for text in self.console] + [f"widget: {text}" for text in callbacks]

    def errors(self) -> list[str]:
        """What went wrong so far in cells (unless tagged), widget callbacks, the page, the console."""
        found = self.raised()
        for cell in self.cells():
            for output in cell.get("outputs", ()):
                where = f"cell {''.join(cell['source'])[:60]!r}"
                if output["output_type"] == "error" and "raises-exception" not in cell["metadata"].get(
                    "tags", ()
                ):
                    found.append(f"{where}: {output['ename']}: {output['evalue']}")
                if output.get("name") == "stderr":
                    found.append(f"{where} wrote to stderr: {''.join(output['text'])[:300]}")
        text = self.page.locator(".jp-Notebook").inner_text()
        found += [
            f"the page says: {bad}"
            for bad in ("Error displaying widget", "Error creating widget")
            if bad in text
        ]
        return found

    def missing_alternatives(self) -> list[str]:
        """Pictures that somebody who cannot see them would miss."""
        found = self.page.evaluate(UNLABELLED)
        for cell in self.cells():
            pictures = [i for i, output in enumerate(cell.get("outputs", ())) if is_figure(output)]
            if pictures and not any(map(is_caption, cell["outputs"][pictures[-1] + 1 :])):
                found.append(f"no `Figure:` line under the picture of cell {''.join(cell['source'])[:60]!r}")
        return found

    def widgets(self) -> list["Widget"]:
        """The interactive boxes in the outputs, in the notebook's order, without progress bars."""
        boxes = self.page.locator(
            ".jp-Cell-outputArea .jp-OutputArea-output:has(.jupyter-widgets):not(:has(.widget-hprogress))"
        )
        return [Widget(self.page, box) for box in boxes.element_handles()]

    def colors(self, selector: str, name: str) -> list[str]:
        """The computed CSS colour property `name` of every element that the selector finds."""
        return self.page.eval_on_selector_all(
            selector, "(found, name) => found.map(e => getComputedStyle(e).getPropertyValue(name))", name
        )

    def close(self) -> None:
        """Shut the kernel down and close the notebook unsaved; leave the page if it is not as it was."""
        self.page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")
        self.page.evaluate("jupyterapp.shell.currentWidget?.dispose()")
        if self.console or self.questions():
            self.page.goto("about:blank")


class Widget:
    """One interactive box: its controls and what they change (its text, where it has no picture).

    Both are handles of elements: a locator would search the long page anew for each thing done with them.
    """

    def __init__(self, page, box):
        self.page, self.box = page, box

    def controls(self) -> list["Control"]:
        """The visible ones, values before buttons, so that buttons act on changed values."""
        return [
            Control(self.page, self.box, kind, element)
            for kind, selector in CONTROLS.items()
            for element in self.box.query_selector_all(selector)
            if element.is_visible()
        ]

    def problem(self) -> str:
        """The error that the widget shows in its status line, if any."""
        return " ".join(alert.inner_text() for alert in self.box.query_selector_all("[role=alert]"))


class Control:
    """One slider, list, box, field, button, or picture that listens to the mouse."""

    def __init__(self, page, box, kind: str, element):
        self.page, self.box, self.kind, self.element = page, box, kind, element
        self.label = element.evaluate(LABEL)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.label!r}>"

    def move(self) -> dict:
        """Use it once as a person does, and wait until the picture rests.

        Returns kind, label; frames (new pictures seen), latency (ms from the event to the first, None without
        one), rate (frames a second, None for a few).
        """
        self.element.scroll_into_view_if_needed()
        self.box.evaluate("box => window.probe.watch(box)")
        getattr(self, f"_move_{self.kind}")()
        return {"kind": self.kind, "label": self.label, **self._settle()}

    def _settle(self, patience: float = 1000, quiet: float = 200, timeout: float = 8000) -> dict:
        """Wait `patience` ms for a new picture, then for `quiet` ms without another, at most `timeout`."""
        rested, times = "times => probe.rested(...times)", [patience, quiet, timeout]
        self.page.wait_for_function(rested, arg=times, polling=POLL)
        return self.page.evaluate("probe.report()")

    def _move_slider(self) -> None:
        now, end = map(self.element.get_attribute, ("aria-valuenow", "aria-valuemax"))
        self.element.press("ArrowLeft" if float(now) >= float(end) else "ArrowRight")

    def _move_dropdown(self) -> None:
        index, count = self.element.evaluate("list => [list.selectedIndex, list.options.length]")
        self.element.select_option(index=(index + 1) % count)

    def _move_checkbox(self) -> None:
        self.element.press("Space")

    def _move_radio(self) -> None:
        for option in self.element.query_selector_all("input"):
            option.check()

    def _move_text(self) -> None:
        self.element.press("End")
        self.element.press("Space")
        self.element.press("Enter")

    def _move_picture(self) -> None:
        box = self.element.bounding_box()
        self.page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"])
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=8)
        self.page.mouse.up()

    def _move_button(self) -> None:
        self.element.click()
        if self.label == "Play":  # it says Pause now
            self.page.wait_for_timeout(PLAY_SECONDS * 1000)
            self.element.click()


def is_figure(output: dict) -> bool:
    data = output.get("data", {})
    return "image/png" in data and "application/vnd.jupyter.widget-view+json" not in data


def is_caption(output: dict) -> bool:
    return "Figure: " in "".join(output.get("text", ()))


KERNEL_IS_IDLE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.content?.model && panel.sessionContext?.session?.kernel?.status === 'idle';
}"""

# At an error, even an expected one, JupyterLab says at once that all cells ran. So ask the kernel for one
# thing more: it answers in order.
RUN = """command => {
  window.ran = false;
  const kernel = () => jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  jupyterapp.commands.execute(command)
    .then(() => kernel().requestExecute({code: '', silent: true}).done)
    .then(() => { window.ran = true; });
}"""

# An exception in a widget's callback reaches no cell: JupyterLab puts it into its log, where nobody looks.
CATCH_CALLBACK_ERRORS = """() => {
  window.callbackErrors = [];
  jupyterapp.shell.currentWidget.sessionContext.iopubMessage.connect((_, message) => {
    const {header, parent_header, content} = message;
    if (parent_header.msg_type === 'execute_request') return;
    if (header.msg_type === 'error') callbackErrors.push(`${content.ename}: ${content.evalue}`);
    if (header.msg_type === 'stream' && /Traceback/.test(content.text)) callbackErrors.push(content.text);
  });
}"""

# From `watch` to `report`, looks at a widget's pictures in each frame after something in it has changed (in
# all frames, if it has a canvas: an observer does not see painting), and at the event that moved it.
INSTALL_PROBE = """() => {
  const content = e => e.tagName === 'CANVAS' ? e.toDataURL() : e.tagName === 'IMG' ? e.src : e.outerHTML;
  const look = box => {
    const pictures = [...box.querySelectorAll('svg[role=img], img, canvas')];
    const seen = pictures.length ? pictures : [...box.querySelectorAll('.widget-html-content')];
    return seen.map(content).join();
  };
  const probe = window.probe = {
    watch(box) {
      stop();
      probe.observer = new MutationObserver(look_soon);
      probe.observer.observe(box, {subtree: true, childList: true, attributes: true, characterData: true});
      probe.painted = box.querySelector('canvas') !== null;
      Object.assign(probe, {box, seen: look(box), since: null, changes: [], began: performance.now()});
      if (probe.painted) look_soon();
    },
    rested(patience, quiet, timeout) {
      const now = performance.now(), waited = now - probe.began, last = probe.changes.at(-1);
      return waited > timeout || (last ? now - last > quiet : waited > patience);
    },
    report() {
      stop();
      const {changes, since} = probe, span = changes.at(-1) - changes[0];
      return {
        frames: changes.length,
        latency: changes.length && since !== null ? changes[0] - since : null,
        rate: changes.length > 5 ? 1000 * (changes.length - 1) / span : null,
      };
    },
  };
  const look_soon = () => { probe.frame ??= requestAnimationFrame(look_now); };
  const look_now = () => {
    probe.frame = null;
    const seen = look(probe.box);
    if (seen !== probe.seen) { probe.seen = seen; probe.changes.push(performance.now()); }
    if (probe.painted) look_soon();
  };
  const stop = () => {
    probe.observer?.disconnect();
    cancelAnimationFrame(probe.frame);
    probe.frame = null;
  };
  for (const kind of ['keydown', 'pointerdown', 'change'])
    document.addEventListener(kind, event => { probe.since ??= event.timeStamp; }, true);
}"""

LABEL = """e => {
  const label = e.closest('.widget-inline-hbox')?.querySelector('.widget-label')?.textContent;
  return (label || e.getAttribute('aria-label') || e.textContent || '').trim();
}"""

UNLABELLED = """() => {
  const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')];
  const place = e => `in cell ${cells.indexOf(e.closest('.jp-Cell'))}`;
  const pictures = ['.jp-RenderedHTMLCommon', '.jupyter-widgets']
    .flatMap(area => ['img', 'canvas', 'svg:not(svg svg)'].map(picture => `${area} ${picture}`)).join();
  const named = e => ['alt', 'aria-label', 'aria-labelledby', 'title'].some(a => e.getAttribute(a)?.trim());
  const hidden = e => e.closest('[aria-hidden=true]');
  return [...document.querySelectorAll(pictures)].filter(e => !named(e) && !hidden(e))
    .map(e => `<${e.tagName.toLowerCase()}> without alternative text ${place(e)}`);
}"""
