// One image, a conversation about it, and for every answer the sub-images that the model read closely. No library, no state
// beyond this page: reload, and it is gone.

const $ = (id) => document.getElementById(id);
const EXAMPLES = [
  ["receipt.png", "A receipt", "Give the qty."],
  ["chart.png", "A chart", "Is it true that salt is 206?"],
  ["shapes.png", "Shapes with values", "Read the value beside the blue diamond."],
];
const CHAT = "v1/chat/completions";
let limits = {};
let url = null; // of the image, as a data URL
let turns = []; // {role, content} of what was said
let running = null; // AbortController
let shown = null; // the answer whose sub-images are drawn

function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function fault(message) {
  $("fault").textContent = message;
  $("fault").hidden = !message;
}

// ---- the image

async function take(blob, name) {
  fault("");
  const data = await new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
  if (limits.max_body && data.length > limits.max_body - 65536) {
    fault(`'${name}' is too large for this server; make it smaller.`);
    return false;
  }
  let view = data;
  let trial = await decoded(view);
  if (!trial) {
    // Browsers show few of the forms that the server reads: it is asked what the file shows.
    try {
      view = URL.createObjectURL(await (await send("v1/zoom", { image: data, format: "image" })).blob());
      trial = await decoded(view);
      if (!trial) throw new Error("this browser cannot show an image of this size.");
    } catch (error) {
      fault(`'${name}': ${error.message}`);
      return false;
    }
  }
  forget();
  url = data;
  $("image").src = view;
  // As large as the column is wide, and no higher than the screen.
  $("image").parentElement.style.maxWidth = `${(78 * trial.naturalWidth) / trial.naturalHeight}vh`;
  $("image").alt = `Your image, ${name}`;
  $("empty").hidden = true;
  $("stage").hidden = false;
  $("question").focus();
  return true;
}

async function decoded(source) {
  const trial = new Image();
  trial.src = source;
  return trial.decode().then(() => trial, () => null);
}

function forget() {
  running?.abort();
  if ($("image").src.startsWith("blob:")) URL.revokeObjectURL($("image").src);
  url = null;
  turns = [];
  draw(null);
  $("log").replaceChildren();
  $("file").value = "";
  $("caption").textContent = "";
  $("stage").hidden = true;
  $("empty").hidden = false;
}

// ---- asking

function request(question, more) {
  const first = turns.length === 0;
  const parts = [{ type: "text", text: question }];
  if (first && url) parts.unshift({ type: "image_url", image_url: { url } });
  return { messages: [...turns, { role: "user", content: parts }], ...more };
}

async function send(path, body, signal) {
  const headers = { "Content-Type": "application/json" };
  if ($("key").value) headers.Authorization = `Bearer ${$("key").value}`;
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) $("locked").hidden = false;
  const told = await response.json().catch(() => null);
  throw new Error(told?.error?.message ?? `The server answered with status ${response.status}.`);
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const lines = text.split("\n\n");
    text = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

async function ask(question) {
  fault("");
  running = new AbortController();
  const { signal } = running;
  busy(true);
  const answer = make("p", { className: "answer" });
  const sure = make("p", { className: "quiet" }, "Looking at the image …");
  if (!url) sure.textContent = "Thinking …";
  const bar = make("div", { className: "working" });
  const entry = make("article", {}, make("p", { className: "asked" }, question), answer, bar, sure);
  entry.ariaBusy = "true";
  $("log").append(entry);
  try {
    const body = request(question, { stream: true });
    let looked = null;
    for await (const event of events(await send(CHAT, body, signal))) {
      answer.append(event.choices?.[0]?.delta?.content ?? "");
      looked = event.dragonfly ?? looked;
    }
    if (looked === null) throw new Error("The answer broke off. Is the server still running?");
    turns = [...body.messages, { role: "assistant", content: answer.textContent }];
    sure.textContent = confidence(looked.confidence[0]);
    if (url) show(entry, looked.images[0], body);
    $("question").value = "";
  } catch (error) {
    if (error.name === "AbortError") sure.textContent = "Stopped.";
    else {
      fault(error.message);
      entry.remove();
    }
  } finally {
    bar.remove();
    entry.ariaBusy = "false";
    if (running?.signal === signal) {
      running = null;
      busy(false);
      $("question").focus({ preventScroll: true });
    }
  }
}

function busy(yes) {
  $("ask").disabled = yes;
  $("stop").hidden = !yes;
}

function confidence(value) {
  const words = value >= 0.95 ? "Sure of its words" : value >= 0.7 ? "Fairly sure" : value >= 0.4 ? "Unsure" : "Very unsure";
  return `${words}, ${Math.round(100 * value)} %.`;
}

// ---- where it looked

function show(entry, seen, body) {
  const kept = seen.sub_images.filter((one) => one.kept);
  const look = { seen, kept, buttons: [] };
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
    if (body.messages.length === 1) entry.append(reasons(look, body));
  }
  for (const note of seen.notes) entry.append(make("p", { className: "quiet" }, `Note: ${note}`));
  draw(look);
}

function reasons(look, body) {
  const button = make("button", { type: "button", className: "plain" }, "Why?");
  button.onclick = async () => {
    fault("");
    button.disabled = true;
    button.textContent = "Leaving out each in turn …";
    try {
      const response = await send(CHAT, { messages: body.messages, dragonfly: { why: true } });
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
function draw(look, on = -1) {
  const overlay = $("overlay");
  overlay.replaceChildren();
  shown = look;
  if (!look) return;
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
  const size = (14 * width) / Math.max(1, $("image").clientWidth);
  kept.forEach((one, number) => {
    const node = rectangle(one.box, number === on ? "kept on" : "kept");
    node.onclick = () => magnify(look, number);
    overlay.append(node);
  });
  kept.forEach((one, number) => {
    if (kept.length > 4 && number !== on) return; // more would cover each other's content; the buttons carry all numbers
    const above = one.box[1] > 1.4 * size;
    const at = { x: one.box[0], y: above ? one.box[1] - 0.35 * size : Math.min(one.box[3], height) + 1.1 * size };
    overlay.append(svg("text", { ...at, "font-size": size, "stroke-width": size / 4 }, String(number + 1)));
  });
  $("caption").textContent =
    total === 0 ? "The model reads the image at lower resolution only."
    : kept.length === total ? `All ${total} sub-images were read at full resolution.`
    : `Bright: read at full resolution (${kept.length} of ${total}). Dimmed: seen at lower resolution.`;
}

let closer = { look: null, number: 0 };

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

// ---- hands on

$("form").onsubmit = (event) => {
  event.preventDefault();
  const question = $("question").value.trim();
  if (question && !running) ask(question);
};
$("question").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("form").requestSubmit();
  }
};
$("stop").onclick = () => running?.abort();
$("another").onclick = () => { forget(); fault(""); $("file").focus(); };
$("file").onchange = () => $("file").files[0] && take($("file").files[0], $("file").files[0].name);
$("close").onclick = () => $("closer").close();
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("closer").onclose = () => { draw(closer.look); closer.look?.buttons[closer.number]?.focus(); };
$("closer").onkeydown = (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
};
document.onpaste = (event) => {
  const [file] = event.clipboardData.files;
  if (file) take(file, file.name || "pasted");
};
document.ondragover = (event) => { event.preventDefault(); document.body.classList.add("over"); };
document.ondragleave = (event) => { if (!event.relatedTarget) document.body.classList.remove("over"); };
document.ondrop = (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const file = event.dataTransfer.files[0];
  if (file) take(file, file.name);
};
new ResizeObserver(() => draw(shown)).observe($("image"));

for (const [name, title, question] of EXAMPLES) {
  const image = make("img", { src: `examples/${name}`, alt: title });
  const button = make("button", { type: "button" }, image, question);
  button.onclick = async () => {
    const blob = await (await fetch(`examples/${name}`)).blob();
    if (await take(blob, name)) $("question").value = question;
  };
  $("examples").append(make("li", {}, button));
}

fetch("v1/models").then(async (response) => {
  if (response.status === 401) $("locked").hidden = false;
  if (!response.ok) return;
  const [model] = (await response.json()).data;
  limits = model.dragonfly.limits;
  $("model").textContent = `Model: ${model.id}.`;
}).catch(() => fault("The server cannot be reached. Is it still running?"));
