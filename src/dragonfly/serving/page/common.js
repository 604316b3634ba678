// What all of the page's scripts use: elements, one line for what went wrong, and requests.

export const $ = (id) => document.getElementById(id);
export const CHAT = "v1/chat/completions";

export function make(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

export function fault(message) {
  $("fault").textContent = message;
  $("fault").hidden = !message;
}

export async function send(path, body, signal) {
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
