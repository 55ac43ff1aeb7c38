/**
 * The ways to a server, and which one to take: a WebSocket; Server-Sent Events where a proxy breaks
 * upgrades; long polls where it holds back what flows. The choice is kept for some minutes, and so
 * that nobody stays on a worse way than needed, the WebSocket is tried again then.
 * @module
 */

/** Failures in a row after which another way is tried: one may be chance. */
const FAILURES = 2;
/** Seconds until the WebSocket is tried again, from another way. */
const PROBE_AFTER = 300;

/** @typedef {"websocket" | "stream" | "poll"} Way */

export class Ways {
  #failures = 0;
  /** Until when the way is stayed on, in milliseconds since 1970; only one that has worked is. */
  #until = 0;
  #storage;
  #key;

  /** @param {string} key @param {import("./kept.js").Kept | null} storage @param {number} [probeAfter] seconds */
  constructor(key, storage, probeAfter = PROBE_AFTER) {
    this.probeAfter = probeAfter;
    this.#key = `${key}:way`;
    this.#storage = storage;
    /** The way to take next. @type {Way} */
    this.next = this.#kept();
  }

  /** A connection was made, and the server has let the device in. */
  worked() {
    this.#failures = 0;
    if (this.next === "websocket") return this.#keep(null);
    this.#until ||= Date.now() + this.probeAfter * 1000;
    return this.#keep(JSON.stringify({ way: this.next, until: this.#until }));
  }

  /**
   * Nothing was heard on a connection.
   * @param {boolean} isDown whether it was plainly the server, or the network, and not the way
   */
  failed(isDown) {
    this.#failures += 1;
    if (this.next === "websocket") {
      if (this.#failures >= FAILURES) this.#take("stream");
    } else if (!isDown) {
      this.#take(this.next === "stream" ? "poll" : "websocket");
    } else if (Date.now() >= this.#until) {
      this.#take("websocket");
    }
  }

  /** The WebSocket works again. */
  reset() {
    this.#take("websocket");
  }

  /** @param {Way} way */
  #take(way) {
    this.next = way;
    this.#failures = this.#until = 0;
  }

  /** @param {string | null} text */
  #keep(text) {
    try {
      if (text === null) this.#storage?.removeItem(this.#key);
      else this.#storage?.setItem(this.#key, text);
    } catch {
      // Full, or forbidden: it is found out anew.
    }
  }

  /** @returns {Way} */
  #kept() {
    try {
      const { way, until } = JSON.parse(this.#storage?.getItem(this.#key) ?? "{}");
      if ((way === "stream" || way === "poll") && until > Date.now()) {
        this.#until = until;
        return way;
      }
    } catch {
      // As if nothing was kept.
    }
    return "websocket";
  }
}
