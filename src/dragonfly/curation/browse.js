"use strict";
const at = name => document.getElementById(name);
const main = document.querySelector("main");
const cards = Array.from(document.querySelectorAll("article"));
const value = name => at(name) ? at(name).value : "";
const number = (name, otherwise) => value(name) === "" ? otherwise : Number(value(name));
function update() {
  const source = value("source"), split = value("split"), text = value("text").toLowerCase();
  const asked = ["least", "most", "smallest", "largest"].map((name, i) => number(name, i % 2 ? Infinity : 0));
  let shown = 0;
  for (const card of cards) {
    const words = Number(card.dataset.words), side = Number(card.dataset.side);
    card.hidden = !((source === "" || card.dataset.source === source) && (split === "" || card.dataset.split === split)
      && words >= asked[0] && words <= asked[1] && side >= asked[2] && side <= asked[3]
      && (text === "" || card.textContent.toLowerCase().includes(text)));
    shown += card.hidden ? 0 : 1;
  }
  const order = value("order");
  cards.slice().sort((a, b) => Number(a.dataset[order]) - Number(b.dataset[order])).forEach(card => main.append(card));
  for (const name of ["mid", "high", "evidence"]) document.body.classList.toggle("no-" + name, !at(name).checked);
  at("shown").textContent = shown + " of " + cards.length;
}
at("filters").addEventListener("input", update);
at("filters").addEventListener("submit", event => event.preventDefault());
document.addEventListener("keydown", event => {
  const typing = /^(INPUT|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && !typing) {
    event.preventDefault();
    at("text").focus();
  } else if (event.key === "Escape" && typing) {
    event.target.blur();
  } else if (!typing && ["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"].includes(event.key)) {
    const visible = Array.from(main.children).filter(card => !card.hidden);
    const now = visible.indexOf(document.activeElement);
    const next = visible[Math.max(0, Math.min(visible.length - 1, now + (/Right|Down/.test(event.key) ? 1 : -1)))];
    if (next) {
      event.preventDefault();
      next.focus();
      next.scrollIntoView({block: "nearest"});
    }
  }
});
update();
