"use strict";
document.documentElement.classList.add("scripted");

const EVERY = 5000; // milliseconds
const HEADS = {
  ok: "It works",
  degraded: "It works, and is late",
  not_ready: "It is not ready",
  silent: "It does not answer",
};
const TEXTS = {
  ok: "Everything that this node needs is there.",
  degraded: "Something that this node needs is away; it does its work, and will catch up.",
  not_ready: "It takes no work now. The hops below say what it waits for.",
  silent: "This page was loaded from it, and now there is nobody. It is asked again.",
};
const status = document.getElementById("status");
const [head, text, hops] = ["h2", "p", "ul"].map(name => status.querySelector(name));
let asked = 0;

function show(state, known) {
  status.className = `status ${state}`;
  head.textContent = HEADS[state] ?? state;
  text.textContent = TEXTS[state] ?? "";
  hops.replaceChildren(...Object.entries(known).map(([name, what]) => {
    const line = document.createElement("li");
    const word = document.createElement("b");
    line.className = what;
    word.textContent = what;
    line.append(`${name} `, word);
    return line;
  }));
}

async function ask() {
  const number = ++asked;
  let state = "silent";
  let known = {};
  try {
    const signal = AbortSignal.timeout(EVERY);
    const answer = await fetch("/readyz", { cache: "no-store", signal });
    const said = await answer.json();
    [state, known] = [said.status in HEADS ? said.status : "silent", said.hops ?? {}];
  } catch {
    // Nobody there, or no answer of ours: that is what `silent` says.
  }
  if (number === asked) show(state, known);
}

ask();
setInterval(() => document.hidden || ask(), EVERY);
document.addEventListener("visibilitychange", () => document.hidden || ask());
