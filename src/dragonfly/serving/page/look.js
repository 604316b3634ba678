// Where the model looked: the overlay on the image, the sub-images that it read closely, and each of them magnified.

import { $, CHAT, fault, make, send } from "./common.js";

let shown = null; // the answer whose sub-images are drawn
let closer = { look: null, number: 0 }; // the sub-image that is magnified

export function show(entry, seen, body, title, explains) {
  const kept = seen.sub_images.filter((one) => one.kept);
  const look = { seen, kept, title, buttons: [] };
  if (title) {
    // Two overlays side by side; the large one shows whichever is pointed at.
    const small = make("img", { src: $("image").src, alt: `Where it looked: ${kept.map((one) => place(one.box, seen.size)).join("; ") || "the whole image"}` });
    const overlay = svg("svg", { "aria-hidden": "true" });
    outline(overlay, look, -1, 1);
    const frame = make("div", { className: "frame" }, small, overlay);
    frame.onmouseenter = () => draw(look);
    entry.append(frame);
  }
  if (kept.length) {
    const list = make("ul", { className: "looked" });
    kept.forEach((one, number) => {
      const canvas = make("canvas", {});
      crop(canvas, one.box, 192);
      const label = `Magnify sub-image ${number + 1} of ${kept.length}, ${place(one.box, seen.size)}`;
      const button = make("button", { type: "button", ariaLabel: label }, canvas, String(number + 1));
      button.onclick = () => magnify(look, number);
      button.onfocus = button.onmouseenter = () => draw(look, number);
      button.onmouseleave = button.onblur = () => draw(look);
      look.buttons.push(button);
      list.append(make("li", {}, button));
    });
    entry.append(make("p", { className: "quiet" }, "Read closely:"), list);
    if (explains && body.messages.length === 1) entry.append(reasons(look, body));
  }
  for (const note of seen.notes) entry.append(make("p", { className: "quiet" }, `Note: ${note}`));
  return look;
}

function reasons(look, body) {
  const button = make("button", { type: "button", className: "plain" }, "Why?");
  button.onclick = async () => {
    fault("");
    button.disabled = true;
    button.textContent = "Leaving out each in turn …";
    try {
      const response = await send(CHAT, { messages: body.messages, model: body.model, dragonfly: { why: true } });
      const { contributions } = (await response.json()).dragonfly.why;
      const values = new Map(contributions.filter((one) => one.level === "high").map((one) => [one.index, one.value]));
      const most = Math.max(1e-9, ...[...values.values()].map(Math.abs));
      look.kept.forEach((one, number) => {
        const value = values.get(one.index) ?? 0;
        const share = make("span", { className: value < 0 ? "share less" : "share" });
        share.style.transform = `scaleX(${Math.abs(value) / most})`;
        const sign = Math.abs(value) < 0.005 ? "" : value > 0 ? "+" : "−";
        look.buttons[number].append(` ${sign}${Math.abs(value).toFixed(2)}`, share);
        look.buttons[number].ariaLabel += `; contribution ${value.toFixed(2)}`;
      });
      const words = "Under each: what the answer’s log-probability loses without it. Hatched: the answer gains.";
      button.replaceWith(make("p", { className: "quiet" }, words));
    } catch (error) {
      fault(error.message);
      button.disabled = false;
      button.textContent = "Why?";
    }
  };
  return button;
}

function place([left, top, right, bottom], [height, width]) {
  const down = ["top", "middle", "bottom"][Math.min(2, Math.floor((1.5 * (top + bottom)) / height))];
  const across = ["left", "centre", "right"][Math.min(2, Math.floor((1.5 * (left + right)) / width))];
  return `${down} ${across}`;
}

function crop(canvas, [left, top, right, bottom], side) {
  const image = $("image");
  const [width, height] = [Math.min(right, image.naturalWidth) - left, Math.min(bottom, image.naturalHeight) - top];
  const scale = side / Math.max(width, height, 1);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  if (width > 0 && height > 0) pen.drawImage(image, left, top, width, height, 0, 0, canvas.width, canvas.height);
}

function svg(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text) node.textContent = text;
  return node;
}

const rectangle = ([left, top, right, bottom], kind) =>
  svg("rect", { x: left, y: top, width: right - left, height: bottom - top, class: kind });

// The image at full brightness; what only lower levels cover is dimmed; kept sub-images outlined, their numbers outside them.
export function draw(look, on = -1) {
  shown = look;
  $("overlay").replaceChildren();
  if (!look) return;
  outline($("overlay"), look, on, $("image").clientWidth);
  const [kept, total] = [look.kept.length, look.seen.sub_images.length];
  const share = look.seen.detail ?? 1; // of a lens: its close-ups may be reduced
  const how = share === 1 ? "at full resolution" : `at ${Math.round(100 * share)} % of full resolution or more`;
  $("caption").textContent = (look.title ? `${look.title}. ` : "") + (
    total === 0 ? "The model reads the image at lower resolution only."
    : kept === total ? `All ${total} sub-images were read ${how}.`
    : `Bright: read ${how} (${kept} of ${total}). Dimmed: seen at lower resolution.`);
}

function outline(overlay, look, on, across) {
  const { seen, kept } = look;
  const [height, width] = seen.size;
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  overlay.setAttribute("preserveAspectRatio", "none");
  const total = seen.sub_images.length;
  if (kept.length < total) {
    const left = seen.sub_images.filter((one) => !one.kept);
    const outline = left.map(({ box: [l, t, r, b] }) => {
      const [x, y] = [Math.min(r, width), Math.min(b, height)];
      return `M${l} ${t}H${x}V${y}H${l}Z`;
    });
    overlay.append(svg("path", { d: outline.join(""), class: "dim" }));
  }
  for (const region of seen.regions) overlay.append(rectangle(region, "region"));
  const size = (14 * width) / Math.max(1, across);
  kept.forEach((one, number) => {
    const node = rectangle(one.box, number === on ? "kept on" : "kept");
    node.onclick = () => magnify(look, number);
    overlay.append(node);
  });
  kept.forEach((one, number) => {
    if (across < 2 || (kept.length > 4 && number !== on)) return; // more would cover each other's content; the buttons carry all numbers
    const above = one.box[1] > 1.4 * size;
    const at = { x: one.box[0], y: above ? one.box[1] - 0.35 * size : Math.min(one.box[3], height) + 1.1 * size };
    overlay.append(svg("text", { ...at, "font-size": size, "stroke-width": size / 4 }, String(number + 1)));
  });
}

function magnify(look, number) {
  closer = { look, number };
  const one = look.kept[number];
  const [left, top, right, bottom] = one.box.map(Math.round);
  crop($("closer-image"), one.box, 1024);
  $("closer-title").textContent =
    `Sub-image ${number + 1} of ${look.kept.length}, ${place(one.box, look.seen.size)}: pixels ${left} to ${right} across, ${top} to ${bottom} down.`;
  $("previous").hidden = $("next").hidden = look.kept.length === 1;
  $("previous").disabled = number === 0;
  $("next").disabled = number === look.kept.length - 1;
  draw(look, number);
  if (!$("closer").open) $("closer").showModal();
}

function step(by) {
  const { look, number } = closer;
  if (look && look.kept[number + by]) magnify(look, number + by);
}

$("close").onclick = () => $("closer").close();
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("closer").onclose = () => { draw(closer.look); closer.look?.buttons[closer.number]?.focus(); };
$("closer").onkeydown = (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
};
new ResizeObserver(() => draw(shown)).observe($("image"));
