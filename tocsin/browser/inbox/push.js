/**
 * Notifications of the browser itself, also while no page is open: one button, where the node has a
 * channel for it, the browser can do it, and there is a service worker for the page's origin.
 * @module
 */

import { make } from "./dom.js";

/**
 * @typedef {import("../client/tocsin.js").Tocsin} Tocsin
 * @typedef {"denied" | "off" | "on"} Subscribed
 */

/** Whether this browser can be pushed to. */
const isAble = () => "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis;

export class PushButton {
  #texts;
  #failed;
  #worker;
  #button = make("button", { type: "button", class: "push" });
  #note = make("p", { class: "hint" });
  /** @type {{name: string, key: string} | null} */ #channel = null;
  /** @type {Tocsin | null} */ #tocsin = null;

  /**
   * @param {import("./texts.js").Texts} texts @param {() => void} failed
   * @param {string | null} worker the address of the service worker; none, and there is no button
   */
  constructor(texts, failed, worker) {
    this.#texts = texts;
    this.#failed = failed;
    this.#worker = worker;
    this.element = make("div", { class: "webpush", hidden: true }, this.#button, this.#note);
    this.#button.onclick = () => void this.#toggle();
  }

  /** Show how it stands, where there is anything to show. @param {Tocsin} tocsin @param {{name: string, kind: string, key: string}[]} channels */
  async show(tocsin, channels) {
    const channel = channels.find(({ kind }) => kind === "webpush");
    this.element.hidden = channel === undefined || this.#worker === null || !isAble();
    if (this.element.hidden || channel === undefined) return;
    this.#tocsin = tocsin;
    this.#channel = channel;
    this.#draw(await this.#state());
  }

  /** @returns {Promise<Subscribed>} */
  async #state() {
    if (Notification.permission === "denied") return "denied";
    const registration = await navigator.serviceWorker.getRegistration(this.#worker ?? "");
    return (await registration?.pushManager.getSubscription()) ? "on" : "off";
  }

  /** @param {Subscribed} state */
  #draw(state) {
    this.#button.textContent = state === "on" ? this.#texts.pushOff : this.#texts.pushOn;
    this.#button.setAttribute("aria-pressed", String(state === "on"));
    this.#button.hidden = state === "denied";
    this.#note.textContent = state === "denied" ? this.#texts.pushDenied : "";
    this.#note.hidden = state !== "denied";
  }

  async #toggle() {
    this.#button.disabled = true;
    try {
      if ((await this.#state()) === "on") await this.#unsubscribe();
      else await this.#subscribe();
    } catch {
      this.#failed();
    }
    this.#button.disabled = false;
    this.#draw(await this.#state());
    this.#button.focus();
  }

  get #path() {
    return `v1/me/channels/${encodeURIComponent(this.#channel?.name ?? "")}/${encodeURIComponent(this.#tocsin?.device ?? "")}`;
  }

  async #subscribe() {
    if (this.#channel === null || (await Notification.requestPermission()) !== "granted") return;
    const registration = await navigator.serviceWorker.register(this.#worker ?? "");
    await activated(registration);
    const subscription = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: this.#channel.key });
    try {
      const { endpoint, keys } = subscription.toJSON();
      await this.#tocsin?.call("PUT", this.#path, { endpoint, keys });
    } catch (error) {
      // The node does not know of it: neither is the person to think so.
      await subscription.unsubscribe();
      throw error;
    }
  }

  async #unsubscribe() {
    await this.#tocsin?.call("DELETE", this.#path);
    const registration = await navigator.serviceWorker.getRegistration(this.#worker ?? "");
    await (await registration?.pushManager.getSubscription())?.unsubscribe();
  }
}

/** A worker that is new takes a moment until it can be pushed to. @param {ServiceWorkerRegistration} registration */
async function activated({ active, installing, waiting }) {
  const worker = installing ?? waiting;
  if (active !== null || worker === null) return;
  await new Promise((resolve) => {
    worker.onstatechange = () => worker.state === "activated" && resolve(undefined);
  });
}
