// Follows pointer.js in one module: the same picture, with ink that is there before the kernel has answered.
// The ink stays until a picture comes that holds all strokes ended so far (model.drawn counts them).
function renderPad({ model, el, signal }) {
  render({ model, el, signal });
  const page = el.querySelector("[role=application]");
  const { x, y, side, width, color } = model.get("ink");
  const sharpness = window.devicePixelRatio || 1;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side * sharpness;
  canvas.setAttribute("aria-hidden", "true");
  canvas.style.cssText = `position:absolute;left:${x}px;top:${y}px;width:${side}px;height:${side}px;pointer-events:none`;
  page.append(canvas);
  const [, cross] = page.children;
  cross.style.borderColor = "#0078d0"; // seen on paper and on ink, in both themes
  const pen = canvas.getContext("2d");
  pen.scale(sharpness, sharpness);
  Object.assign(pen, { lineWidth: width, lineCap: "round", lineJoin: "round", strokeStyle: color });

  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const scale = side / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  };
  const inside = (at) => at.every((value) => value >= 0 && value <= side);
  const draw = (from, to) => {
    pen.beginPath();
    pen.moveTo(...from);
    pen.lineTo(to[0] + 0.01, to[1]); // a line of no length would leave no dot
    pen.stroke();
  };
  let last = null;
  let ended = model.get("drawn");
  page.addEventListener("pointerdown", (event) => {
    const at = place(event);
    if (event.button !== 0 || !event.isPrimary || !inside(at)) return;
    draw(at, at);
    last = at;
  });
  page.addEventListener("pointermove", (event) => {
    if (!last || !event.isPrimary) return;
    const all = event.getCoalescedEvents?.() ?? [];
    for (const e of all.length ? all : [event]) {
      const at = place(e).map((value) => Math.min(side, Math.max(0, value)));
      draw(last, at);
      last = at;
    }
  });
  for (const end of ["pointerup", "pointercancel"])
    page.addEventListener(end, (event) => {
      if (!last || !event.isPrimary) return;
      last = null;
      ended += 1;
    });
  const wipe = () => {
    if (!last && model.get("drawn") >= ended) pen.clearRect(0, 0, side, side);
  };
  model.on("change:value", wipe);
  signal?.addEventListener("abort", () => model.off("change:value", wipe));

  page.addEventListener("keydown", (event) => {
    if (event.key !== "Delete" && event.key !== "Backspace") return;
    event.preventDefault();
    event.stopPropagation(); // the notebook would act on it
    model.send({ events: [["clear", 0, 0]] });
  });
}

export default { render: renderPad };
