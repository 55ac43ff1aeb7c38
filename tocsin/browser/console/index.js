/**
 * The console: signing in, and the page for each address behind `#`.
 * @module
 */
import { make } from "../inbox/dom.js";
import { Refusal, key, signIn, signOut } from "./api.js";
import { showKeys } from "./keys.js";
import { showActors, showChannels, showConnectors, showLetters, showSend, showSpool, showWebhooks } from "./lists.js";
import { show as showOverview } from "./overview.js";
import { failure } from "./parts.js";
import { showNotification, showUser } from "./people.js";

/** @typedef {(place: HTMLElement, signal: AbortSignal, id?: string) => Promise<void>} Page */
/** @type {[string, string, Page][]} */
const PAGES = [
  ["", "Overview", showOverview],
  ["users", "Users", showUser],
  ["notifications", "Notifications", showNotification],
  ["letters", "Dead letters", showLetters],
  ["spool", "Spool", showSpool],
  ["webhooks", "Webhooks", showWebhooks],
  ["channels", "Channels", showChannels],
  ["connectors", "Connectors", showConnectors],
  ["actors", "Actors", showActors],
  ["send", "Send", showSend],
  ["keys", "Keys", showKeys],
];

const place = /** @type {HTMLElement} */ (document.querySelector("main"));
const menu = /** @type {HTMLElement} */ (document.querySelector("nav"));
let shown = new AbortController();

/** @param {string} [wrong] */
function askForKey(wrong) {
  menu.hidden = true;
  const input = make("input", { type: "password", name: "key", required: true, autocomplete: "off" });
  const form = make(
    "form",
    { class: "sign-in" },
    make("h1", {}, "Console"),
    make("p", {}, "An API key with the scope admin; with notify as well, it shows notifications and sends. It is kept in this tab until you close it."),
    make("pre", {}, make("code", {}, "tocsin key create --scope admin,notify --name console")),
    make("label", {}, "API key or token", input),
    make("button", {}, "Sign in"),
    ...(wrong ? [failure(new Error(wrong))] : []),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    signIn(input.value.trim());
    await route();
  });
  place.replaceChildren(form);
  input.focus();
}

async function route() {
  shown.abort();
  shown = new AbortController();
  const { signal } = shown;
  if (key() === null) return askForKey();
  const [, name = "", id] = location.hash.split("/");
  const page = PAGES.find(([path]) => path === name) ?? PAGES[0];
  menu.hidden = false;
  menu.replaceChildren(
    ...PAGES.map(([path, title]) => make("a", { href: `#/${path}`, ...(path === page[0] ? { "aria-current": "page" } : {}) }, title)),
    signOutButton(),
  );
  menu.querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  document.title = `${page[1]} - Tocsin`;
  try {
    await page[2](place, signal, id ? decodeURIComponent(id) : undefined);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refusal && error.status === 401) {
      signOut();
      return askForKey(error.message);
    }
    place.append(failure(error));
    // The overview is left open for hours: it goes on when the node is back.
    if (page[0] === "" && !(error instanceof Refusal)) setTimeout(() => signal.aborted || route(), 2000);
  }
}

function signOutButton() {
  const made = make("button", { type: "button" }, "Sign out");
  made.addEventListener("click", () => {
    signOut();
    route();
  });
  return made;
}

addEventListener("hashchange", route);
await route();
