/**
 * The console: signing in, and the page for each address behind `#`.
 * @module
 */
import { make } from "../inbox/dom.js";
import { Refusal, Unreachable, key, signIn, signOut } from "./api.js";
import { showKeys } from "./keys.js";
import { showActors, showChannels, showConnectors, showLetters, showSend, showSpool, showWebhooks } from "./lists.js";
import { show as showOverview } from "./overview.js";
import { failure, heading } from "./parts.js";
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
    make("h1", {}, "Sign in to the console"),
    make("label", {}, "API key or token", input),
    ...(wrong ? [failure(new Error(wrong))] : []),
    make("button", {}, "Sign in"),
    make("p", { class: "about" }, "A key with the scope admin; with notify as well, it shows notifications and sends. It is kept in this tab until you close it. To make one:"),
    make("pre", { tabIndex: 0 }, make("code", {}, "tocsin key create --scope admin,notify --name console")),
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
  showMenu(page[0]);
  menu.querySelector("[aria-current]")?.scrollIntoView({ inline: "center", block: "nearest" });
  document.title = `${page[1]} - Tocsin`;
  if (place.dataset.at !== location.hash) place.replaceChildren();
  place.dataset.at = location.hash;
  try {
    await page[2](place, signal, id ? decodeURIComponent(id) : undefined);
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof Refusal && error.status === 401) {
      signOut();
      return askForKey(error.message);
    }
    tellFailure(page[1], failure(error));
    // A page is left open for hours: it goes on when the node is back.
    if (error instanceof Unreachable) setTimeout(() => signal.aborted || route(), 2000);
  }
}

/** Below the title, where it is seen; once, however often it happens. @param {string} title @param {HTMLElement} told */
function tellFailure(title, told) {
  const before = place.querySelector(".heading ~ .failure");
  if (before?.textContent === told.textContent) return;
  before?.remove();
  if (place.querySelector(".heading") === null) place.append(heading(title));
  place.querySelector(".heading")?.after(told);
}

/** @param {string} current the path of the page that is shown */
function showMenu(current) {
  // Made once: an entry that is made anew takes the focus with it.
  if (menu.childElementCount === 0) menu.append(...PAGES.map(([path, title]) => make("a", { href: `#/${path}` }, title)), signOutButton());
  menu.hidden = false;
  PAGES.forEach(([path], at) => {
    const entry = menu.children[at];
    if (path === current) entry?.setAttribute("aria-current", "page");
    else entry?.removeAttribute("aria-current");
  });
}

function signOutButton() {
  const made = make("button", { type: "button" }, "Sign out");
  made.addEventListener("click", () => {
    signOut();
    route();
  });
  return made;
}

addEventListener("hashchange", () => {
  // Keyboards and screen readers go on with the page: what had the focus is about to be gone.
  place.focus({ preventScroll: true });
  scrollTo(0, 0);
  void route();
});
await route();
