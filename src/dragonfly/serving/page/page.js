// One image, a conversation about it, and for every answer the sub-images that the model read closely. No library, no state
// beyond this page: reload, and it is gone.

import { $, CHAT, fault, make, send } from "./common.js";
import { draw, show } from "./look.js";

const EXAMPLES = [
  ["receipt.png", "A receipt", "Give the qty."],
  ["chart.png", "A chart", "Is it true that salt is 206?"],
  ["shapes.png", "Shapes with values", "Read the value beside the blue diamond."],
];
let limits = {};
let alone = false; // whether the model is asked every question by itself
let explains = true; // whether it can tell why
const names = new Map(); // of the served models, by id; "" is the first
let url = null; // of the file, as a data URL
let view = ""; // which of its pages, frames or windows is shown
let turns = []; // {role, content} of what was said
let running = null; // AbortController

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
  const trial = await decoded(data);
  // Browsers show few of the forms that the server reads: it is asked what the file shows.
  if (!(trial ? put(trial, data, "", name) : await load(data, "", name))) return false;
  // The notes of a file that shows something else too say so, as "#2 after the name is the second".
  $("viewing").hidden = !/#[a-z0-9]|window|VOI/.test($("noted").textContent);
  $("question").focus();
  return true;
}

async function load(data, wanted, name) {
  fault("");
  try {
    const response = await send("v1/zoom", { image: data, view: wanted, format: "image" });
    const notes = JSON.parse(response.headers.get("Dragonfly-Notes"));
    const trial = await decoded(URL.createObjectURL(await response.blob()));
    if (!trial) throw new Error("this browser cannot show an image of this size.");
    return put(trial, data, wanted, name, notes);
  } catch (error) {
    fault(`'${name}': ${error.message}`);
    return false;
  }
}

function put(trial, data, wanted, name, notes = []) {
  forget();
  url = data;
  view = wanted;
  $("image").src = trial.src;
  // As large as the column is wide, and no higher than the screen.
  $("image").parentElement.style.maxWidth = `${(78 * trial.naturalWidth) / trial.naturalHeight}vh`;
  $("image").alt = `Your image, ${name}${wanted && `, ${wanted}`}`;
  $("image").dataset.name = name;
  $("view").value = wanted;
  $("noted").textContent = notes.map((note) => `${note}.`).join(" ");
  $("empty").hidden = true;
  $("stage").hidden = false;
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
  const said = alone ? [] : turns;
  const first = said.length === 0;
  const parts = [{ type: "text", text: question }];
  if (first && url) parts.unshift({ type: "image_url", image_url: view ? { url, view } : { url } });
  return { messages: [...said, { role: "user", content: parts }], ...more };
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
  const body = request(question, { stream: true });
  const other = $("compare").value;
  const sides = make("div", { className: other ? "sides two" : "sides" });
  const entry = make("article", {}, make("p", { className: "asked" }, question), sides);
  entry.ariaBusy = "true";
  $("log").append(entry);
  try {
    const asked = other ? [[body, names.get("")], [{ ...body, model: other }, names.get(other)]] : [[body, ""]];
    const told = await Promise.allSettled(asked.map(([own, title]) => answered(sides, own, title, signal)));
    const failed = told.find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
    turns = [...body.messages, { role: "assistant", content: told[0].value.text }];
    draw(told[0].value.look);
    $("question").value = "";
  } catch (error) {
    if (error.name !== "AbortError") {
      fault(error.message);
      entry.remove();
    }
  } finally {
    entry.ariaBusy = "false";
    if (running?.signal === signal) {
      running = null;
      busy(false);
      $("question").focus({ preventScroll: true });
    }
  }
}

// One answer as it comes, in a column of its own where another stands beside it.
async function answered(sides, body, title, signal) {
  const answer = make("p", { className: "answer" });
  const sure = make("p", { className: "quiet" }, url ? "Looking at the image …" : "Thinking …");
  const bar = make("div", { className: "working" });
  const side = make("section", { ariaLabel: title || "Answer" }, ...(title ? [make("h2", {}, title)] : []), answer, bar, sure);
  sides.append(side);
  try {
    let looked = null;
    for await (const event of events(await send(CHAT, body, signal))) {
      answer.append(event.choices?.[0]?.delta?.content ?? "");
      looked = event.dragonfly ?? looked;
    }
    if (looked === null) throw new Error("The answer broke off. Is the server still running?");
    sure.textContent = confidence(looked.confidence[0]);
    return { text: answer.textContent, look: url ? show(side, looked.images[0], body, title, explains) : null };
  } catch (error) {
    if (error.name === "AbortError") sure.textContent = "Stopped.";
    throw error;
  } finally {
    bar.remove();
  }
}

function busy(yes) {
  $("ask").disabled = yes;
  $("stop").hidden = !yes;
}

function confidence(value) {
  const words = value >= 0.9 ? "Very sure" : value >= 0.7 ? "Fairly sure" : value >= 0.4 ? "Unsure" : "Very unsure";
  return `${words}, ${Math.round(100 * value)} %.`;
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
$("viewing").onsubmit = (event) => {
  event.preventDefault();
  load(url, $("view").value.trim().replace(/^#/, ""), $("image").dataset.name);
};
$("stop").onclick = () => running?.abort();
$("another").onclick = () => { forget(); fault(""); $("file").focus(); };
$("file").onchange = () => $("file").files[0] && take($("file").files[0], $("file").files[0].name);
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
  const [model, ...others] = (await response.json()).data;
  limits = model.dragonfly.limits;
  alone = model.dragonfly.conversation === false;
  explains = model.dragonfly.why !== false;
  names.set("", `As served: policy ${model.dragonfly.policy}`);
  for (const other of others) {
    names.set(other.id, other.id.slice(model.id.length + 1).replaceAll(",", ", "));
    $("compare").append(make("option", { value: other.id }, names.get(other.id)));
  }
  $("comparing").hidden = others.length === 0;
  $("model").textContent = `Model: ${model.id}.${alone ? " It is asked every question by itself." : ""}`;
}).catch(() => fault("The server cannot be reached. Is it still running?"));
