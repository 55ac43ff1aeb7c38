"use strict";
document.documentElement.classList.add("scripted");

const one = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// --- The address that this page was loaded from --------------------------------------------------

for (const place of all(".origin")) place.textContent = location.origin;

// --- The token -----------------------------------------------------------------------------------

const pasted = one("#token");
const told = one("#told");
const who = one("#who");

function claimsOf(token) {
  const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(part), letter => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}

function spanOf(seconds) {
  const [many, unit] = seconds < 7200 ? [seconds / 60, "minutes"]
    : seconds < 172800 ? [seconds / 3600, "hours"] : [seconds / 86400, "days"];
  return `${Math.round(many)} ${unit}`;
}

function describe(token) {
  if (!token) return ["No token", ""];
  if (token.startsWith("tk_")) return ["An API key", "An API key."];
  try {
    const claims = claimsOf(token);
    const name = String(claims.sub ?? "somebody");
    const scopes = [claims.scope ?? claims.scp ?? []].flat().join(" ");
    const able = scopes ? `with the scope ${scopes}` : "without scopes";
    const left = claims.exp - Date.now() / 1000;
    const until = left > 0 ? `good for ${spanOf(left)} more` : "which has expired";
    return [name, `A token of ${name}, ${able}, ${until}.`];
  } catch {
    return ["Not a token", "This is neither a token (eyJ…) nor an API key (tk_…)."];
  }
}

pasted.addEventListener("input", () => {
  [who.textContent, told.textContent] = describe(pasted.value.trim());
});

// --- Forms ---------------------------------------------------------------------------------------

function requestOf(form) {
  const { method, path, media } = form.dataset;
  const headers = new Headers();
  const query = new URLSearchParams();
  let address = path;
  for (const field of all("[data-name]", form)) {
    const { name, in: where } = field.dataset;
    if (where === "path") {
      address = address.replace(`{${name}}`, encodeURIComponent(field.value));
    } else if (field.value !== "") {
      if (where === "query") query.append(name, field.value);
      else headers.set(name, field.value);
    }
  }
  if (query.size) address += `?${query}`;
  const text = one("textarea", form);
  if (text) headers.set("Content-Type", media);
  const token = pasted.value.trim();
  if (token && form.dataset.asks === "yes") headers.set("Authorization", `Bearer ${token}`);
  const options = { method, headers, cache: "no-store" };
  return [address, text ? { ...options, body: text.value } : options];
}

function legible(text, type) {
  if (!/json/.test(type)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function send(form) {
  const answer = form.nextElementSibling;
  const line = one(".line", answer);
  const [headers, body] = all("pre code", answer);
  const [button, stop] = all("button", form);
  const hint = one(".send .soft", form);
  const leaving = new AbortController();
  const tell = (text, good) => {
    line.textContent = text;
    line.className = `line ${good ? "good" : "bad"}`;
  };
  answer.hidden = false;
  button.disabled = true;
  hint.textContent = "";
  headers.textContent = body.textContent = "";
  stop.hidden = false;
  stop.onclick = () => leaving.abort();
  tell("Waiting for the answer …", true);
  try {
    const [address, options] = requestOf(form);
    const began = performance.now();
    const got = await fetch(address, { ...options, signal: leaving.signal });
    const took = Math.round(performance.now() - began);
    tell(`${got.status} ${got.statusText} after ${took} ms`, got.ok || got.status === 304);
    headers.textContent = [...got.headers].map(each => each.join(": ")).join("\n");
    const type = got.headers.get("Content-Type") ?? "";
    // Bit by bit: a stream of events has no end.
    const reader = got.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part; reader && !(part = await reader.read()).done;) {
      text += part.value;
      body.textContent = text.slice(-100000);
    }
    body.textContent = legible(text, type) || "(no body)";
    if (got.status === 401) {
      hint.textContent = "Paste a token of this server above, under “Tokens and keys”.";
    }
  } catch (error) {
    if (error.name === "AbortError") line.textContent += ", and stopped";
    else tell(`No answer: ${error.message}`, false);
  } finally {
    button.disabled = false;
    stop.hidden = true;
  }
}

for (const form of all(".try form")) {
  form.addEventListener("submit", event => {
    event.preventDefault();
    send(form);
  });
}

// --- Copying -------------------------------------------------------------------------------------

if (navigator.clipboard) {
  for (const text of all("main pre")) {
    if (text.closest(".answer")) continue;
    const frame = document.createElement("div");
    const button = document.createElement("button");
    frame.className = "code";
    button.className = "copy";
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    text.replaceWith(frame);
    frame.append(text, button);
  }
}

// --- Search --------------------------------------------------------------------------------------

const search = one("#search");
const sections = all("main section");
const words = new Map();

function textOf(section) {
  if (!words.has(section)) words.set(section, section.textContent.toLowerCase());
  return words.get(section);
}

function find() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = section => wanted.every(word => textOf(section).includes(word));
  for (const section of sections) section.hidden = !fits(section);
  for (const group of all("main .group")) group.hidden = !one("section:not([hidden])", group);
  for (const item of all("nav li")) {
    const target = document.getElementById(one("a", item).hash.slice(1));
    item.hidden = target?.closest("[hidden]") != null;
  }
  for (const list of all("nav ul")) {
    list.hidden = list.previousElementSibling.hidden = !one("li:not([hidden])", list);
  }
  one("#nothing").hidden = sections.some(section => !section.hidden);
}

search.addEventListener("input", find);
search.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  search.value = "";
  find();
});
document.addEventListener("keydown", event => {
  if (event.key !== "/" || event.target.matches("input, textarea, select")) return;
  event.preventDefault();
  search.focus();
  search.select();
});
// A link that leads to what the search has hidden ends the search.
window.addEventListener("hashchange", () => {
  const target = document.getElementById(location.hash.slice(1));
  if (!target?.closest("[hidden]")) return;
  search.value = "";
  find();
  target.scrollIntoView();
});
