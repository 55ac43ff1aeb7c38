/**
 * Marks on their way to the server. One is shown at once; where the server cannot be reached it
 * waits, and is sent later, which is harmless to do twice; where the server refuses it, it is taken
 * back.
 * @module
 */

import { ApiError } from "./api.js";

/** Ids that one call may name. */
const IDS_MAX = 500;
/** Marks that wait; beyond that, one fails at once. */
const WAITING_MAX = 200;
/** Seconds until one is sent again where the connection is there and only the call has failed. */
const AGAIN = 5;
const PATH = "v1/inbox/mark";

/**
 * @typedef {import("./inbox.js").Mark} Mark
 * @typedef {import("./snapshot.js").KeptMark} KeptMark
 *
 * @typedef {object} Around
 * @property {import("./api.js").Api} api
 * @property {import("./inbox.js").Inbox} inbox
 * @property {() => boolean} isConnected
 * @property {() => void} changed those that wait are others now
 * @property {(error: unknown) => void} refused the server has refused one that waited
 */

export class Marks {
  #around;
  #isSending = false;
  /** Those that the server has not heard of. @type {KeptMark[]} */
  waiting = [];

  /** @param {Around} around */
  constructor(around) {
    this.#around = around;
  }

  /** Mark `ids`, or all that are shown and not archived. @param {Mark} state @param {string[] | null} ids */
  async mark(state, ids) {
    const { api, inbox, changed } = this.#around;
    const settle = inbox.mark(state, ids);
    try {
      // What was marked before goes before: the later mark is the one that counts.
      if (this.waiting.length > 0) throw new ApiError(0, "unreachable", "others wait");
      settle(ids === null ? await api.call("POST", PATH, { state, all: true }) : await this.#post(state, ids));
    } catch (error) {
      if (!(error instanceof ApiError && error.isPassing && this.waiting.length < WAITING_MAX)) {
        settle();
        throw error;
      }
      settle(null);
      // All means what is there now: what comes until it can be sent is not meant.
      this.waiting.push({ state, ids: ids ?? inbox.current.notifications.map(({ id }) => id) });
      changed();
      this.#sendSoon(error.after);
    }
  }

  /** Send those that wait, in their order. */
  async send() {
    if (this.#isSending || this.waiting.length === 0) return;
    this.#isSending = true;
    try {
      for (let mark; (mark = this.waiting[0]) !== undefined; this.waiting.shift()) await this.#sendOne(mark);
    } catch (error) {
      this.#sendSoon(/** @type {any} */ (error).after);
    }
    this.#isSending = false;
    this.#around.changed();
  }

  /** Show those that wait in an inbox that was loaded anew. */
  show() {
    for (const { state, ids } of this.waiting) this.#around.inbox.mark(state, ids)(null);
  }

  /** @param {KeptMark} mark */
  async #sendOne({ state, ids }) {
    try {
      await this.#post(state, ids);
    } catch (error) {
      if (!(error instanceof ApiError) || error.isPassing) throw error;
      this.#around.refused(error);
    }
  }

  /** The last answer; null if there was nothing to say. @param {Mark} state @param {readonly string[]} ids */
  async #post(state, ids) {
    let answer = null;
    for (let start = 0; start < ids.length; start += IDS_MAX) {
      answer = await this.#around.api.call("POST", PATH, { state, ids: ids.slice(start, start + IDS_MAX) });
    }
    return answer;
  }

  /** Try again, where no new connection will say when. @param {number} [after] seconds */
  #sendSoon(after = AGAIN) {
    if (!this.#around.isConnected()) return;
    const timer = setTimeout(() => void this.send(), after * 1000);
    /** @type {any} */ (timer).unref?.();
  }
}
