// Shows the SVG string model.value and sends {events: [[kind, x, y], ...]}, once per animation frame.
const CROSS = 9; // pixels from the cross's middle to its ends
const STRIDE = 8; // pixels that an arrow key moves it
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function render({ model, el, signal }) {
  const page = document.createElement("div");
  const cross = document.createElement("div");
  page.tabIndex = 0;
  page.setAttribute("role", "application");
  page.style.cssText = "position:relative;width:max-content;touch-action:none;user-select:none;cursor:crosshair";
  cross.style.cssText =
    `position:absolute;width:${2 * CROSS}px;height:${2 * CROSS}px;border:2px solid currentColor;border-radius:50%;` +
    "box-sizing:border-box;pointer-events:none;display:none;box-shadow:0 0 0 2px #fff8";
  const picture = document.createElement("div");
  page.append(picture, cross);
  el.append(page);

  const show = () => {
    picture.innerHTML = model.get("value");
    const label = picture.firstElementChild?.getAttribute("aria-label") ?? "";
    page.setAttribute("aria-label", `${label} Arrow keys move, space bar presses.`);
  };
  model.on("change:value", show);
  signal?.addEventListener("abort", () => model.off("change:value", show));
  show();

  let waiting = [];
  const flush = () => {
    model.send({ events: waiting });
    waiting = [];
  };
  const send = (kind, x, y) => {
    if (!waiting.length) requestAnimationFrame(flush);
    waiting.push([kind, Math.round(10 * x) / 10, Math.round(10 * y) / 10]);
  };

  const place = (event) => {
    const svg = picture.firstElementChild;
    const box = svg.getBoundingClientRect();
    const scale = svg.width.baseVal.value / box.width; // picture pixels per screen pixel, when zoomed or stretched
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  let pressed = false;
  page.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    pressed = true;
    page.setPointerCapture(event.pointerId);
    send("down", ...place(event));
  });
  page.addEventListener("pointermove", (event) => {
    if (!pressed || !event.isPrimary) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const e of all.length ? all : [event]) send("move", ...place(e));
  });
  for (const end of ["pointerup", "pointercancel"])
    page.addEventListener(end, (event) => {
      if (!pressed || !event.isPrimary) return;
      pressed = false;
      send("up", ...place(event));
    });

  let at = null;
  let held = false;
  const mark = () => {
    cross.style.left = `${at[0] - CROSS}px`;
    cross.style.top = `${at[1] - CROSS}px`;
  };
  page.addEventListener("focus", () => {
    const svg = picture.firstElementChild;
    at ??= [svg.width.baseVal.value / 2, svg.height.baseVal.value / 2];
    mark();
    cross.style.display = page.matches(":focus-visible") ? "block" : "none";
  });
  page.addEventListener("blur", () => {
    cross.style.display = "none";
    if (held) send("up", ...at);
    held = false;
  });
  page.addEventListener("keydown", (event) => {
    const press = event.key === " " || event.key === "Enter";
    if (!press && !(event.key in ARROWS)) return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would move to the next cell
    cross.style.display = "block";
    if (press) {
      if (!held) send("down", ...at);
      held = true;
      return;
    }
    const svg = picture.firstElementChild;
    const limits = [svg.width.baseVal.value, svg.height.baseVal.value];
    const stride = event.shiftKey ? 1 : STRIDE;
    at = at.map((value, i) => Math.min(limits[i], Math.max(0, value + stride * ARROWS[event.key][i])));
    mark();
    if (held) send("move", ...at);
  });
  page.addEventListener("keyup", (event) => {
    if (event.key !== " " && event.key !== "Enter") return;
    event.preventDefault();
    event.stopPropagation();
    if (held) send("up", ...at);
    held = false;
  });
}

export default { render };
