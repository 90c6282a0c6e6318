"use strict";

const KEYS = {
  ArrowLeft: "left", 1: "left",
  ArrowRight: "right", 2: "right",
  ArrowDown: "tie", 3: "tie", t: "tie",
  ArrowUp: "both bad", 4: "both bad", b: "both bad",
  u: "undo", Backspace: "undo",
  z: "zoom", " ": "zoom",
  PageUp: "back", PageDown: "on", // through a long prompt
  w: "up", a: "west", s: "down", d: "east",
};
const MOVES = { up: [0, -10], down: [0, 10], west: [-10, 0], east: [10, 0] };
const SMALL = 256; // pixels: a smaller picture is shown with its pixels as squares, not blurred
const at = (id) => document.getElementById(id);

let voter = "";
let pair = null;
let seen = 0; // when both pictures of the pair were there
let busy = true;
let centre = [50, 50]; // of what zooming shows, in percent

async function ask(path, body) {
  const sent = body && { method: "POST", body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, sent || undefined);
  } catch {
    throw new Error("The server does not answer: start ddecli collect again, and open the address that it prints. Votes up to here are kept.");
  }
  const said = await answer.json().catch(() => ({ error: "The server gave an answer that cannot be read: load the page again." }));
  if (said.error) throw Object.assign(new Error(said.error), { gone: said.gone });
  return said;
}

function trouble(text) {
  at("trouble").textContent = text || "";
  at("trouble").hidden = !text;
}

function minutes(seconds) {
  if (seconds === null) return "";
  if (seconds < 90) return `about ${Math.max(1, Math.round(seconds))} s left`;
  if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
  return `about ${(seconds / 3600).toFixed(1)} h left`;
}

function load(image, source) {
  return new Promise((resolve, reject) => {
    image.onload = resolve;
    image.onerror = () => reject(new Error("A picture cannot be shown: load the page again."));
    image.src = source;
  });
}

async function show(state) {
  pair = state.pair;
  setBusy(true);
  at("count").textContent = [`${state.done} of ${state.total}`, pair ? minutes(state.seconds_left) : ""].filter(Boolean).join(", ");
  at("who").textContent = state.left_out ? `${state.voter}; ${state.left_out} left out, their pictures are gone` : state.voter;
  at("bar").max = Math.max(1, state.total);
  at("bar").value = state.done;
  at("prompt").textContent = pair ? pair.prompt : "";
  at("undo").dataset.able = state.can_undo ? "yes" : "";
  for (const id of ["progress", "choices"]) at(id).hidden = false;
  at("name").hidden = true;
  at("pair").hidden = !pair;
  at("end").hidden = Boolean(pair);
  document.body.classList.remove("voted-left", "voted-right");
  zoom(false);
  if (pair) {
    at("pair").classList.add("waiting");
    const images = [at("left"), at("right")];
    await Promise.all([load(images[0], pair.left), load(images[1], pair.right)]);
    at("pair").classList.toggle("small", images.every((image) => image.naturalWidth <= SMALL));
    at("pair").classList.remove("waiting");
    seen = performance.now();
  } else {
    at("thanks").textContent = `You voted on all ${state.done} pairs. Ctrl-C in its terminal ends ddecli collect, and sums the votes up.`;
  }
  setBusy(false);
  if (state.following) for (const side of ["left", "right"]) new Image().src = state.following[side];
}

function setBusy(is) {
  busy = is;
  for (const button of document.querySelectorAll("[data-choice], #zoom")) button.disabled = is || !pair;
  at("undo").disabled = is || !at("undo").dataset.able;
}

async function act(path, body) {
  if (busy) return;
  setBusy(true);
  try {
    const state = await ask(path, body);
    trouble("");
    await show(state);
  } catch (error) {
    trouble(error.message);
    if (error.gone) await refresh();
    setBusy(false);
  }
}

function vote(choice) {
  if (!pair || busy) return;
  if (choice === "left" || choice === "right") document.body.classList.add(`voted-${choice}`);
  act("vote", { voter, pair: pair.id, choice, seconds: (performance.now() - seen) / 1000 })
    .finally(() => document.body.classList.remove("voted-left", "voted-right"));
}

async function refresh() {
  try {
    await show(await ask(`state?voter=${encodeURIComponent(voter)}`));
  } catch (error) {
    trouble(error.message);
    if (at("choices").hidden) at("name").hidden = false; // a name that cannot be taken, in the address
    setBusy(false);
  }
}

function zoom(on) {
  const is = on && Boolean(pair);
  document.body.classList.toggle("zoomed", is);
  at("zoom").setAttribute("aria-pressed", String(is));
  centre = [50, 50];
  place();
}

function place() {
  for (const id of ["left", "right"]) at(id).style.transformOrigin = `${centre[0]}% ${centre[1]}%`;
}

function look(event) {
  if (!document.body.classList.contains("zoomed")) return;
  const box = event.currentTarget.getBoundingClientRect();
  centre = [100 * (event.clientX - box.left) / box.width, 100 * (event.clientY - box.top) / box.height];
  place();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  if (event.key === " " && event.target.matches("button")) return;
  const what = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
  if (!what || (event.repeat && !(what in MOVES))) return;
  event.preventDefault();
  if (what === "undo") { if (!at("undo").disabled) act("undo", { voter }); }
  else if (what === "zoom") zoom(!document.body.classList.contains("zoomed"));
  else if (what === "back" || what === "on") at("prompt").scrollBy(0, (what === "on" ? 1 : -1) * at("prompt").clientHeight);
  else if (what in MOVES) {
    centre = centre.map((value, axis) => Math.min(100, Math.max(0, value + MOVES[what][axis])));
    place();
  } else vote(what);
});

document.addEventListener("DOMContentLoaded", async () => {
  for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => vote(button.dataset.choice));
  at("undo").addEventListener("click", () => act("undo", { voter }));
  at("zoom").addEventListener("click", () => zoom(!document.body.classList.contains("zoomed")));
  for (const side of document.querySelectorAll(".side")) {
    side.addEventListener("click", (event) => { zoom(!document.body.classList.contains("zoomed")); look(event); });
    side.addEventListener("pointermove", look);
  }
  at("name").addEventListener("submit", async (event) => {
    event.preventDefault();
    voter = at("voter").value.trim().split(/\s+/).join(" ");
    if (!voter) return;
    trouble("");
    history.replaceState(null, "", `?voter=${encodeURIComponent(voter)}`);
    await refresh();
  });
  voter = new URLSearchParams(location.search).get("voter") || "";
  if (voter) return refresh();
  at("name").hidden = false;
  at("voter").focus();
  try {
    const known = await ask("state");
    for (const name of known.voters) at("voters").append(new Option(name));
  } catch (error) {
    trouble(error.message);
  }
});
