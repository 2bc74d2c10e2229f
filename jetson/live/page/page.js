// Shows the server's state around its live picture, and keeps the score of the game.
"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const SECONDS = 180; // of the charts
const AGAIN = 2000; // ms before a lost connection is tried again

let state = null;
let history = [];

// --- The game: a new pair opens a round, the machine holds its answer back, who is first takes the point. ---

const game = { on: false, phase: "waiting", round: null, symbol: "", opened: 0, took: 0, you: 0, machine: 0, best: null };
const patience = () => Number($("slider").value);

function follow() {
  const now = state.round;
  if (now === null) {
    if (game.phase === "open") game.phase = "waiting"; // cards taken away before anyone answered
  } else if (now !== game.round) {
    game.round = now;
    game.symbol = (state.rounds.find((round) => round.number === now) || {}).symbol;
    game.phase = "open";
    game.opened = performance.now();
  }
}

function answer(by) {
  if (!game.on || game.phase !== "open") return;
  game.took = (performance.now() - game.opened) / 1000;
  game.phase = by;
  game[by] += 1;
  if (by === "you") game.best = Math.min(game.best === null ? Infinity : game.best, game.took);
  show();
}

function takeBack() {
  if (game.phase !== "you") return;
  game.you -= 1;
  game.machine += 1;
  game.phase = "machine";
  game.took = null;
  show();
}

function setMode(on) {
  game.on = on;
  game.phase = "waiting";
  game.round = state && state.round; // its answer has been seen
  document.body.classList.toggle("game", on);
  $("watch").setAttribute("aria-pressed", String(!on));
  $("play").setAttribute("aria-pressed", String(on));
  if (state) show();
}

function restart() {
  Object.assign(game, { you: 0, machine: 0, best: null });
  setMode(true);
}

function tick() {
  if (game.on && game.phase === "open") {
    const left = 1 - (performance.now() - game.opened) / 1000 / patience();
    $("clock").firstElementChild.style.transform = `scaleX(${Math.max(0, left)})`;
    if (left <= 0) answer("machine");
  }
  requestAnimationFrame(tick);
}

// --- What is seen ---

const hidden = () => game.on && !["you", "machine"].includes(game.phase);
const percent = (share) => `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1)} %`;

function show() {
  if (game.on) follow();
  showStatus();
  showOverlay();
  showAnswer();
  showRounds();
}

function showStatus() {
  $("status").className = state.problem ? "bad" : "good";
  $("status").lastElementChild.textContent = state.problem ? "not playing" : `live · ${state.runner}`;
  $("notice").hidden = !state.problem;
  $("notice").textContent = state.problem || "";
  $("runner").textContent = state.runner === "none" ? state.runner_reason : `${state.runner}: ${state.runner_reason}`;
}

function shape(parent, name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
  return parent.appendChild(made);
}

function showOverlay() {
  const overlay = $("overlay");
  overlay.replaceChildren();
  if (!state.frame) return;
  const { width, height } = state.frame;
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  overlay.parentElement.style.aspectRatio = `${width} / ${height}`;
  for (const [cx, cy, long, short, angle] of state.cards) {
    const transform = `rotate(${angle} ${cx} ${cy})`;
    shape(overlay, "ellipse", { cx, cy, rx: long / 2 + 4, ry: short / 2 + 4, transform });
  }
  const match = state.match;
  if (!match || !match.boxes || hidden() || (game.on && match.symbol !== game.symbol)) return;
  const size = Math.max(width / 42, (width / overlay.clientWidth) * 13);
  for (const [left, top, right, bottom] of match.boxes) {
    const pad = width / 160;
    const box = { x: left - pad, y: top - pad, width: right - left + 2 * pad, height: bottom - top + 2 * pad, rx: pad };
    shape(overlay, "rect", { class: "box", ...box });
    const text = shape(overlay, "text", { "font-size": size });
    text.textContent = match.symbol;
    const wide = text.getComputedTextLength() + size;
    const x = Math.min(Math.max(0, box.x), width - wide);
    const y = box.y > 1.6 * size ? box.y - 1.6 * size : box.y + box.height;
    text.setAttribute("x", x + size / 2);
    text.setAttribute("y", y + 1.12 * size);
    overlay.insertBefore(shape(overlay, "rect", { class: "plate", x, y, width: wide, height: 1.6 * size, rx: size / 3 }), text);
  }
}

function words() {
  const match = state.match;
  if (!game.on) {
    if (!match) return ["silent", "Waiting for the camera", ""];
    if (!match.symbol) return ["silent", match.probability === null ? "Lay down two cards" : "Not sure", match.no_answer];
    const next = `next ${match.runner_up} ${percent(match.runner_up_probability)}`;
    return ["found", match.symbol, `${percent(match.probability)} sure · ${next} · ${match.rule} rule · ${Math.round(state.latency_ms)} ms`];
  }
  if (game.phase === "open") return ["asking", "Which symbol is on both cards?", "The machine knows. It gives you a head start."];
  if (game.phase === "waiting") return ["silent", "Lay down two new cards", "A new pair starts the round."];
  const round = state.rounds.find((played) => played.number === game.round);
  const knew = round ? ` It knew after ${Math.round(round.latency_ms)} ms.` : "";
  const said = game.took === null ? "Point to the machine: fair enough." : "The machine was first.";
  return game.phase === "you"
    ? ["you", game.symbol, `You were first, in ${game.took.toFixed(2)} s!${knew}`]
    : ["machine", game.symbol, said + knew];
}

function showAnswer() {
  const [kind, name, details] = words();
  $("answer").className = kind;
  $("name").textContent = name;
  $("details").textContent = details;
  $("mine").disabled = game.phase !== "open";
  $("wrong").hidden = game.phase !== "you";
  $("you").textContent = game.you;
  $("machine").textContent = game.machine;
  $("best").textContent = game.best === null
    ? "Name the shared symbol aloud, then hit the space bar or tap."
    : `Your best time: ${game.best.toFixed(2)} s`;
}

function showRounds() {
  const rounds = state.rounds.filter((round) => !(hidden() && round.number === game.round)).slice(0, 6);
  const list = $("rounds");
  if (rounds.length && list.querySelector(".empty")) list.replaceChildren();
  const kept = new Map([...list.children].map((item) => [item.dataset.number, item]));
  rounds.forEach((round, place) => {
    let item = kept.get(String(round.number));
    kept.delete(String(round.number));
    if (!item) {
      item = document.createElement("li");
      item.dataset.number = round.number;
      item.append(new Image(80, 40), document.createElement("b"), document.createElement("span"));
      item.firstChild.src = `/rounds/${round.number}.jpg`;
      item.firstChild.alt = "";
      item.children[1].textContent = round.symbol;
    }
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] || null);
    item.lastChild.textContent = ago(round.seconds_ago);
  });
  if (rounds.length) kept.forEach((item) => item.remove());
}

function ago(seconds) {
  if (seconds < 5) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min ago` : `${Math.round(seconds / 3600)} h ago`;
}

const KEYS = ["fps", "latency_ms", "power_w", "temperature_c"];

function showCharts() {
  for (const chart of $("charts").children) {
    const column = KEYS.indexOf(chart.dataset.key);
    const values = history.map((row) => row[column]);
    const known = values.filter((value) => value !== null);
    const last = values.length ? values[values.length - 1] : null;
    if (!chart.querySelector("svg")) {
      chart.append(document.createElement("b"), document.createElement("small"));
      const svg = shape(chart, "svg", { viewBox: `0 0 ${SECONDS - 1} 100`, preserveAspectRatio: "none" });
      shape(svg, "path", { class: "area" });
      shape(svg, "path", {});
    }
    chart.querySelector("svg").toggleAttribute("hidden", !known.length);
    chart.querySelector("b").textContent = last === null ? "–" : last.toFixed(Number(chart.dataset.digits));
    chart.querySelector("small").textContent = last === null ? "not measured" : chart.dataset.unit;
    const low = Math.min(...known) * 0.8, high = Math.max(...known) * 1.05 || 1;
    const start = SECONDS - values.length;
    const points = values
      .map((value, place) => value !== null && `${start + place} ${(96 - 92 * (value - low) / (high - low || 1)).toFixed(1)}`)
      .filter(Boolean);
    const line = points.length ? `M${points.join("L")}` : "";
    const [area, path] = chart.querySelectorAll("path");
    path.setAttribute("d", line);
    area.setAttribute("d", line && `${line}L${SECONDS - 1} 100L${parseFloat(points[0])} 100Z`);
  }
}

setInterval(() => {
  if (!state || !events || document.hidden) return;
  history = [...history, KEYS.map((key) => state[key])].slice(-SECONDS);
  showCharts();
}, 1000);

// --- Connections ---

let events = null;

function connect() {
  if (events) events.close();
  events = new EventSource("/events");
  events.onopen = watch;
  events.addEventListener("history", (event) => {
    history = JSON.parse(event.data);
    showCharts();
  });
  events.onmessage = (event) => {
    const before = state;
    state = JSON.parse(event.data);
    if (before && before.problem && !state.problem) watch();
    show();
  };
  events.onerror = () => {
    lost("The connection to the device is lost, or too many are watching. Trying again.");
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN);
  };
}

function watch() {
  $("picture").src = `/camera.mjpg?${Date.now()}`;
}

function lost(notice) {
  $("status").className = "bad";
  $("status").lastElementChild.textContent = "not connected";
  $("notice").hidden = false;
  $("notice").textContent = notice;
}

$("picture").onerror = () => setTimeout(watch, AGAIN);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return connect();
  events.close(); // a page that nobody looks at costs the device nothing
  $("picture").removeAttribute("src");
});
document.addEventListener("keydown", (event) => {
  if (event.code !== "Space" || !game.on) return;
  event.preventDefault();
  if (!event.repeat) answer("you");
});
document.addEventListener("keyup", (event) => event.code === "Space" && game.on && event.preventDefault());
$("mine").addEventListener("pointerdown", () => answer("you"));
$("wrong").onclick = takeBack;
$("watch").onclick = () => setMode(false);
$("play").onclick = () => setMode(true);
$("again").onclick = restart;
$("slider").oninput = () => {
  $("patience").textContent = patience();
  localStorage.setItem("patience", patience());
};
if (localStorage.getItem("patience")) $("slider").value = localStorage.getItem("patience");
$("patience").textContent = patience();
connect();
tick();
