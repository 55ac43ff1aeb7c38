/**
 * `<tocsin-inbox server="https://…" token-url="/my-token">`: a bell that counts, and the inbox.
 * @module
 */

import { Tocsin } from "../client/index.js";
import { icon, make } from "./dom.js";
import { Item, safeAddress } from "./item.js";
import { LOOK } from "./look.js";
import { PreferencesForm } from "./preferences.js";
import { Rows } from "./rows.js";
import { textsOf } from "./texts.js";

const BELL = "M12 2a2 2 0 0 0-2 2v.6A6.5 6.5 0 0 0 5.5 11v5L4 18.5V20h16v-1.5L18.5 16v-5A6.5 6.5 0 0 0 14 4.6V4a2 2 0 0 0-2-2Zm-2.5 19a2.5 2.5 0 0 0 5 0Z";
const CHECKS = "M2.5 12.5l4.5 4.5L16 7.5M11.5 15.5L13 17l9-9.5";
const GEAR = "M4 7h9M17 7h3M4 17h3M11 17h9M13 4.5v5M7 14.5v5";
/** The greatest number that the badge shows. */
const SHOWN_MAX = 99;
/** Pixels from the end of the list at which older ones are loaded. */
const MARGIN = 400;
/** Milliseconds after which what was said of a failure goes. */
const FAILURE_SHOWN = 5000;

/**
 * @typedef {import("../client/frames.js").Notification} Notification
 * @typedef {import("../client/inbox.js").Snapshot} Snapshot
 * @typedef {import("../client/inbox.js").Mark} Mark
 */

export class TocsinInbox extends HTMLElement {
  /** @type {Tocsin | null} */ #tocsin = null;
  /** Whether the element made its client, and closes it. */ #owns = false;
  #onlyUnread = false;
  #isLoading = false;
  /** What a person is told that did not work, for a while. */ #failure = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #failureTimer;
  /** @type {(() => void)[]} */ #stops = [];
  #texts = textsOf("en");
  #look = new CSSStyleSheet();

  constructor() {
    super();
    this.#look.replaceSync(LOOK);
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    root.adoptedStyleSheets = [this.#look];
  }

  /** The client. A page that has one gives it; else the element makes one of its attributes. */
  get tocsin() {
    return this.#tocsin;
  }

  set tocsin(tocsin) {
    this.#release();
    this.#tocsin = tocsin;
    if (this.isConnected && tocsin !== null) this.#watch(tocsin);
  }

  connectedCallback() {
    const lang = this.closest("[lang]")?.getAttribute("lang") ?? navigator.language;
    this.#texts = textsOf(lang);
    this.#draw(lang);
    if (this.#tocsin === null) {
      this.#tocsin = this.#made();
      this.#owns = true;
    }
    this.#watch(this.#tocsin);
    this.#tocsin.connect();
  }

  disconnectedCallback() {
    this.#release();
  }

  #made() {
    const tokenUrl = this.getAttribute("token-url") ?? "/token";
    const user = this.getAttribute("user");
    return new Tocsin(this.getAttribute("server") ?? "/", {
      ...(user === null ? {} : { user }),
      token: async () => {
        const answer = await fetch(tokenUrl, { cache: "no-store" });
        if (!answer.ok) throw new Error(`${tokenUrl} answered ${answer.status}`);
        return (await answer.text()).trim();
      },
    });
  }

  /** The service worker for Web Push, if the page's origin has one. */
  get #worker() {
    const server = new URL(`${this.getAttribute("server") ?? ""}/`, location.href);
    return this.getAttribute("push-worker") ?? (server.origin === location.origin ? new URL("inbox/worker.js", server).href : null);
  }

  /** @param {Tocsin} tocsin */
  #watch(tocsin) {
    const abort = new AbortController();
    this.#stops = [
      tocsin.inbox.subscribe((snapshot) => this.#show(snapshot)),
      tocsin.on("state", () => this.#showState()),
      tocsin.on("push", ({ change, replay, notification }) => {
        if (change === "created" && !replay) this.#aloud.textContent = this.#texts.arrived(notification.title);
      }),
      () => abort.abort(),
    ];
    // What was written as "a minute ago" does not stay so.
    const timer = setInterval(() => this.#show(tocsin.inbox.current), 60_000);
    abort.signal.addEventListener("abort", () => clearInterval(timer));
    this.#show(tocsin.inbox.current);
    this.#showState();
  }

  #release() {
    for (const stop of this.#stops) stop();
    this.#stops = [];
    if (this.#owns) this.#tocsin?.close();
    if (this.#owns) this.#tocsin = null;
    this.#owns = false;
  }

  // --- What is there -----------------------------------------------------------------------------

  #badge = make("span", { class: "badge", part: "badge", hidden: true });
  #bell = make("button", { class: "bell", part: "bell", type: "button" }, icon(BELL), this.#badge);
  #list = make("ul", { class: "list", role: "list" });
  #rows = new Rows(this.#list, (/** @type {Notification} */ each, before) => this.#item.render(each, before));
  #nothing = make("p");
  #empty = make("div", { class: "note" }, icon(BELL), this.#nothing);
  #status = make("span");
  #retry = make("button", { type: "button", hidden: true });
  #footer = make("footer", { role: "status", hidden: true }, this.#status, this.#retry);
  #aloud = make("div", { class: "aloud", role: "status" });
  #all = make("button", { type: "button" });
  #unread = make("button", { type: "button" });
  #markAll = make("button", { type: "button", class: "mark-all" }, icon(CHECKS));
  #gear = make("button", { type: "button", class: "gear" }, icon(GEAR));
  #heading = make("h2");
  #panel = make(
    "div",
    { class: "panel", part: "panel", popover: "auto", role: "dialog" },
    make("header", {}, this.#heading, this.#all, this.#unread, this.#markAll, this.#gear),
    this.#list,
    this.#empty,
    this.#footer,
  );
  /** @type {PreferencesForm | null} */ #preferences = null;
  #item = new Item("en", this.#texts, { mark: () => {}, open: () => {} });

  /** @param {string} lang */
  #draw(lang) {
    const texts = this.#texts;
    this.#item = new Item(lang, texts, { mark: (state, id) => void (state === "archived" ? this.#archive(id) : this.#mark(state, id)), open: (each) => this.#open(each) });
    this.#heading.textContent = texts.title;
    this.#panel.setAttribute("aria-label", texts.title);
    this.#all.textContent = texts.all;
    this.#unread.textContent = texts.unread;
    this.#markAll.title = texts.markAll;
    this.#markAll.setAttribute("aria-label", texts.markAll);
    this.#retry.textContent = texts.retry;
    this.#preferences?.element.remove();
    this.#preferences = new PreferencesForm(texts, () => this.#failed(), this.#worker);
    this.#list.before(this.#preferences.element);
    this.#gear.title = texts.preferences;
    this.#gear.setAttribute("aria-label", texts.preferences);
    this.#gear.onclick = () => void this.#try(this.#prefer(this.#gear.getAttribute("aria-pressed") !== "true"));
    this.#bell.onclick = () => this.#panel.togglePopover();
    this.#bell.setAttribute("aria-haspopup", "dialog");
    this.#all.onclick = () => this.#filter(false);
    this.#unread.onclick = () => this.#filter(true);
    this.#markAll.onclick = () => void this.#try(this.#tocsin?.markAll());
    this.#retry.onclick = () => this.#tocsin?.connect();
    this.#list.onkeydown = ({ key }) => void (key === "Delete" && this.#archive(this.#current?.id));
    this.#list.onscroll = () => {
      this.#rows.scrolled();
      void this.#loadMore();
    };
    this.#panel.ontoggle = (event) => this.#toggled(/** @type {ToggleEvent} */ (event).newState === "open");
    this.shadowRoot?.replaceChildren(this.#bell, this.#panel, this.#aloud);
    this.#filter(this.#onlyUnread);
  }

  /** @param {Snapshot} snapshot */
  #show(snapshot) {
    const { unread, loaded } = snapshot;
    this.#badge.textContent = unread > SHOWN_MAX ? `${SHOWN_MAX}+` : String(unread);
    this.#badge.hidden = unread === 0;
    this.#bell.setAttribute("aria-label", this.#texts.bell(unread));
    this.#markAll.hidden = unread === 0;
    if (this.#isOpen) {
      const shown = this.#shown(snapshot);
      const hadFocus = this.#hasFocus;
      this.#list.hidden = shown.length === 0;
      this.#empty.hidden = shown.length > 0;
      this.#rows.show(shown);
      if (hadFocus && this.#list.hidden) this.#all.focus();
      this.#nothing.textContent = loaded ? (this.#onlyUnread ? this.#texts.emptyUnread : this.#texts.empty) : this.#trouble ? "" : this.#texts.loading;
    }
    this.dispatchEvent(new CustomEvent("change", { detail: snapshot }));
  }

  /** @param {Snapshot} snapshot */
  #shown({ notifications }) {
    return this.#onlyUnread ? notifications.filter(({ state }) => state !== "read") : notifications;
  }

  /** Why new ones do not come, or come late; "" if they do. */
  get #trouble() {
    const { phase, store, bus } = this.#tocsin?.state ?? {};
    if (phase === "stopped") return this.#texts.stopped;
    if (phase === "waiting") return this.#texts.offline;
    return phase === "connected" && (store !== "ok" || bus !== "ok") ? this.#texts.late : "";
  }

  #showState() {
    const text = this.#failure || this.#trouble;
    this.#status.textContent = text;
    this.#footer.hidden = text === "";
    this.#retry.hidden = this.#tocsin?.state.phase !== "stopped";
    if (this.#isOpen && this.#tocsin !== null) this.#show(this.#tocsin.inbox.current);
  }

  // --- What a person does ------------------------------------------------------------------------

  get #isOpen() {
    return this.#panel.matches(":popover-open");
  }

  /** @param {boolean} isOpen */
  #toggled(isOpen) {
    this.#bell.setAttribute("aria-expanded", String(isOpen));
    void this.#prefer(false);
    const { activeElement } = /** @type {ShadowRoot} */ (this.shadowRoot);
    if (!isOpen && this.#panel.contains(activeElement)) this.#bell.focus();
    if (!isOpen || this.#tocsin === null) return;
    const { bottom, right, left } = this.#bell.getBoundingClientRect();
    const width = this.#panel.offsetWidth;
    const start = Math.max(8, Math.min(right - width, innerWidth - width - 8));
    this.#panel.style.insetBlockStart = `${bottom + 8}px`;
    this.#panel.style.left = `${left + width < innerWidth - 8 && left < innerWidth / 2 ? Math.max(8, left) : start}px`;
    const { current } = this.#tocsin.inbox;
    this.#show(current);
    const unseen = current.notifications.filter(({ state }) => state === "unseen").map(({ id }) => id);
    if (unseen.length > 0) void this.#try(this.#tocsin.mark("seen", unseen));
    this.#rows.focus(0);
  }

  /** Show the preferences in the place of the list, or the list again. @param {boolean} isShown */
  async #prefer(isShown) {
    const form = this.#preferences?.element;
    if (isShown && this.#tocsin !== null) await this.#preferences?.show(this.#tocsin);
    else if (form !== undefined) form.hidden = true;
    this.#gear.setAttribute("aria-pressed", String(isShown));
    this.#panel.toggleAttribute("data-preferences", isShown);
  }

  /** @param {boolean} onlyUnread */
  #filter(onlyUnread) {
    this.#onlyUnread = onlyUnread;
    void this.#prefer(false);
    this.#all.setAttribute("aria-pressed", String(!onlyUnread));
    this.#unread.setAttribute("aria-pressed", String(onlyUnread));
    if (this.#tocsin !== null) this.#show(this.#tocsin.inbox.current);
  }

  /** @param {Notification} notification */
  #open(notification) {
    if (notification.state !== "read") void this.#mark("read", notification.id);
    const event = new CustomEvent("open", { detail: notification, cancelable: true });
    const address = safeAddress(notification.url);
    if (this.dispatchEvent(event) && address !== null) location.assign(address);
  }

  /** @param {Mark} state @param {string} id */
  async #mark(state, id) {
    await this.#try(this.#tocsin?.mark(state, id));
  }

  /** @param {Promise<void> | undefined} work */
  async #try(work) {
    try {
      await work;
    } catch {
      this.#failed();
    }
  }

  #failed() {
    this.#failure = this.#texts.failed;
    this.#showState();
    clearTimeout(this.#failureTimer);
    this.#failureTimer = setTimeout(() => {
      this.#failure = "";
      this.#showState();
    }, FAILURE_SHOWN);
  }

  async #loadMore() {
    const { scrollTop, clientHeight, scrollHeight } = this.#list;
    if (this.#isLoading || this.#tocsin === null || scrollTop + clientHeight + MARGIN < scrollHeight) return;
    this.#isLoading = true;
    await this.#try(this.#tocsin.loadMore().then(() => {}));
    this.#isLoading = false;
  }

  /** The notification that keys act on. */
  get #current() {
    return this.#tocsin === null ? undefined : this.#shown(this.#tocsin.inbox.current)[this.#rows.at];
  }

  /** Whether the focus is in the list. */
  get #hasFocus() {
    return this.#list.contains(/** @type {ShadowRoot} */ (this.shadowRoot).activeElement);
  }

  /** Archive a notification; the focus goes to the one behind it. @param {string | undefined} id */
  #archive(id) {
    if (id === undefined) return;
    const { at } = this.#rows;
    const hadFocus = this.#hasFocus;
    void this.#mark("archived", id);
    if (hadFocus) this.#rows.focus(at);
  }
}
