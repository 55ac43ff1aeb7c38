/**
 * Following one user's log from one device: a machine without clock, socket or promise.
 *
 * The machine outlives its connections. What it carries from one to the next is a cursor: the epoch
 * of the log and the sequence up to which every push has been handled. Each push names the one
 * before it, so a gap is seen here; and a push that was handled already is acknowledged again and
 * not shown again. So each change is shown once, in order, through any number of connections.
 *
 *     opened ──► hello ──► welcome ──► push … push ──► synced ──► push …
 *        ▲                    │ reset: forget the cursor            │
 *        └──── wait ◄── closed: goodbye, a lost socket ◄────────────┘──► stop: coming back is no use
 *
 * A push is *shown* to the page's handlers, and *handled* when they are done with it. Handled pushes
 * are acknowledged, many by one frame. A push whose handler failed is refused (`nack`): the server
 * sends it again, and until then what was handled behind it is acknowledged by id, since a sequence
 * would acknowledge the refused one as well.
 *
 * Inputs are calls with `now` in seconds of a clock that never goes back; outputs are lists of
 * actions, to be carried out in order. `clients/python` has the same machine in Python, and one
 * file of conversations holds both to each other (tests/browser/conversations.json).
 * @module
 */

import { UNAUTHENTICATED, mayReconnect, reasonOf } from "./closing.js";
import { count, readFrame, seconds, splitCursor } from "./frames.js";

/** Seconds that the first handled push waits for company: less than the server lingers. */
export const ACK_DELAY = 0.02;
/** Handled pushes after which that waiting ends; or half the window, if that is less. */
export const ACK_AFTER = 32;
/** Ids that one `ack` frame may name. */
export const ACK_IDS_MAX = 1024;
/** Seconds that making a connection may take, and from the `hello` until the `welcome`. */
export const WELCOME_TIMEOUT = 15;
/** Seconds until a `ping` of ours must be answered. */
export const PONG_TIMEOUT = 10;
/** Seconds between two signs of life at least, whatever the server says. */
export const HEARTBEAT_MIN = 1;
/** Seconds of the first delay before coming back, doubled by each failure up to the cap. */
export const RECONNECT_INITIAL = 0.5;
export const RECONNECT_CAP = 20;
/** Seconds before its end at which a token is asked for anew. */
export const REFRESH_BEFORE = 30;
/** Characters of a reason that a `nack` may give. */
const REASON_MAX = 256;

/**
 * @typedef {import("./frames.js").Push} Push
 *
 * @typedef {{do: "send", frame: Record<string, unknown>}
 *   | {do: "show", push: Push}
 *   | {do: "welcome", user: string, device: string, unread: number, unseen: number}
 *   | {do: "synced"}
 *   | {do: "counters", unread: number, unseen: number}
 *   | {do: "status", store: string, bus: string}
 *   | {do: "reset", reason: string}
 *   | {do: "refresh"}
 *   | {do: "wait", delay: number, reason: string, code?: number}
 *   | {do: "stop", reason: string, code?: number, detail?: string}} Action
 */

/** What has become of a push that is not yet covered by the cursor. */
const SHOWN = "shown";
const HANDLED = "handled";
const ACKNOWLEDGED = "acknowledged";
const REFUSED = "refused";

export class Follower {
  /** @type {string | null} */ #epoch = null;
  /** The sequence up to which all is handled; the cursor without its epoch. @type {number | null} */
  #through = null;
  /** The sequence last received on this connection. @type {number | null} */
  #last = null;
  /** Pushes behind `#through`, in the order of the log. @type {Map<number, {push: Push, fate: string}>} */
  #open = new Map();
  #unacknowledged = 0;
  #failures = 0;
  #ackAt = Infinity;
  #silentAt = Infinity;
  #refreshAt = Infinity;
  #welcomed = false;
  #pinged = false;
  #heartbeat = 25;
  #window = 64;
  /** @type {{code: number, reason: string, reconnect: boolean, after?: number, detail?: string} | null} */
  #goodbye = null;
  #random;
  #client;

  /**
   * @param {object} options
   * @param {string | null} [options.device] the device's name; null leaves it to the server
   * @param {string | null} [options.cursor] where to go on; null leaves it to the server
   * @param {() => number} [options.random] gives numbers in [0, 1)
   * @param {string} [options.client] what is told to the server of this program
   */
  constructor({ device = null, cursor = null, random = Math.random, client = "tocsin-js" } = {}) {
    this.device = device;
    /** Where the next connection goes on. @type {string | null} */
    this.cursor = cursor;
    this.#random = random;
    this.#client = client;
  }

  // --- The connection ----------------------------------------------------------------------------

  /** A connection is being made. @param {number} now @returns {Action[]} */
  connecting(now) {
    this.#welcomed = this.#pinged = false;
    this.#silentAt = now + WELCOME_TIMEOUT;
    return [];
  }

  /**
   * There is a connection: say hello. `expires` is when the token ends, by the clock of `now`.
   * @param {number} now @param {string | null} token @param {number} [expires]
   * @returns {Action[]}
   */
  opened(now, token, expires = Infinity) {
    this.#welcomed = this.#pinged = false;
    this.#goodbye = null;
    this.#last = null;
    this.#ackAt = Infinity;
    this.#silentAt = now + WELCOME_TIMEOUT;
    this.#refreshAt = expires - REFRESH_BEFORE;
    /** @type {Record<string, unknown>} */
    const frame = { type: "hello", client: this.#client };
    if (this.device !== null) frame.device = this.device;
    if (this.cursor !== null) frame.cursor = this.cursor;
    if (token !== null) frame.token = token;
    return [{ do: "send", frame }];
  }

  /**
   * The server has said something.
   * @param {string} text @param {number} now
   * @returns {Action[]}
   */
  heard(text, now) {
    const frame = readFrame(text);
    if (frame === null) return [{ do: "stop", reason: "not_tocsin" }];
    this.#pinged = false;
    if (this.#welcomed) this.#silentAt = now + this.#heartbeat;
    switch (frame.type) {
      case "welcome":
        return this.#hearWelcome(frame, now);
      case "push":
        return this.#hearPush(frame, now);
      case "synced":
        this.#failures = 0;
        return [...this.#acknowledge(), { do: "synced" }];
      case "counters":
        return [{ do: "counters", unread: count(frame.unread), unseen: count(frame.unseen) }];
      case "status":
        return [{ do: "status", store: frame.store, bus: frame.bus }];
      case "reset":
        return this.#hearReset(frame.reason);
      case "goodbye":
        this.#goodbye = frame;
        return [];
      default:
        return []; // a pong, or a frame of a later server
    }
  }

  /**
   * The handlers are done with `push`: `error` is why they failed, if they did.
   * @param {Push} push @param {number} now @param {unknown} [error]
   * @returns {Action[]}
   */
  handled(push, now, error) {
    const entry = this.#open.get(push.sequence);
    if (entry?.push !== push) return []; // of a log that was reset meanwhile
    if (error !== undefined) {
      entry.fate = REFUSED;
      return [{ do: "send", frame: { type: "nack", id: push.notification.id, reason: reasonText(error) } }];
    }
    entry.fate = HANDLED;
    this.#advance();
    this.#ackSoon(now);
    const enough = this.#unacknowledged >= Math.min(ACK_AFTER, Math.max(1, this.#window >> 1));
    return enough ? this.#acknowledge() : [];
  }

  /**
   * The connection has ended, with a close code and what was `said` with it, if there was one.
   * @param {number} [code] @param {string} [said]
   * @returns {Action[]}
   */
  closed(code, said) {
    this.#ackAt = this.#silentAt = this.#refreshAt = Infinity;
    const goodbye = this.#goodbye;
    if (goodbye !== null) {
      if (goodbye.reconnect) return this.#comeBack(goodbye.reason, seconds(goodbye.after, undefined), goodbye.code);
      const { code, reason, detail } = goodbye;
      return [detail === undefined ? { do: "stop", reason, code } : { do: "stop", reason, code, detail }];
    }
    const reason = reasonOf(code, said);
    if (mayReconnect(code)) return this.#comeBack(reason, undefined, code);
    return [{ do: "stop", reason, code: /** @type {number} */ (code) }];
  }

  /**
   * No connection is to be had; `after` seconds, if the server said when there will be one.
   * @param {string} [reason] @param {number} [after]
   * @returns {Action[]}
   */
  unreachable(reason = "unreachable", after) {
    return this.#comeBack(reason, after);
  }

  /** This side is about to end the connection: the last words. @returns {Action[]} */
  leaving() {
    return this.#acknowledge();
  }

  /**
   * A newer token for this connection.
   * @param {string} token @param {number} [expires]
   * @returns {Action[]}
   */
  refreshed(token, expires = Infinity) {
    this.#refreshAt = expires - REFRESH_BEFORE;
    return [{ do: "send", frame: { type: "refresh", token } }];
  }

  // --- Time --------------------------------------------------------------------------------------

  /** When `due` wants to be called. */
  get deadline() {
    return Math.min(this.#ackAt, this.#silentAt, this.#refreshAt);
  }

  /**
   * Acknowledge, ask for a newer token, look whether the server is still there.
   * @param {number} now
   * @returns {Action[]}
   */
  due(now) {
    /** @type {Action[]} */
    const actions = [];
    if (now >= this.#ackAt) actions.push(...this.#acknowledge());
    if (now >= this.#refreshAt) {
      this.#refreshAt = Infinity; // until there is a newer token
      actions.push({ do: "refresh" });
    }
    if (now >= this.#silentAt) actions.push(...this.#doubt(now));
    return actions;
  }

  /**
   * The machine slept, or the page was restored: see at once whether the server is still there.
   * @param {number} now @param {number} [patience] seconds until it must have answered
   * @returns {Action[]}
   */
  wake(now, patience = PONG_TIMEOUT / 2) {
    if (!this.#welcomed) return [];
    this.#pinged = true;
    this.#silentAt = now + patience;
    return [{ do: "send", frame: { type: "ping" } }];
  }

  /** @param {number} now @returns {Action[]} */
  #doubt(now) {
    if (!this.#welcomed || this.#pinged) {
      this.#silentAt = Infinity;
      return this.#comeBack("silent");
    }
    // Browsers answer the server's pings by themselves, which proves nothing here: ask.
    this.#pinged = true;
    this.#silentAt = now + PONG_TIMEOUT;
    return [{ do: "send", frame: { type: "ping" } }];
  }

  // --- Inside ------------------------------------------------------------------------------------

  /** @param {any} frame @param {number} now @returns {Action[]} */
  #hearWelcome(frame, now) {
    if (frame.user === null) return [{ do: "stop", reason: "no_inbox" }];
    const [epoch, sequence] = splitCursor(frame.cursor);
    this.#welcomed = true;
    this.#heartbeat = Math.max(HEARTBEAT_MIN, seconds(frame.heartbeat, this.#heartbeat));
    this.#window = count(frame.window) || this.#window;
    this.#silentAt = now + this.#heartbeat;
    if (this.#epoch !== epoch || this.#through === null || sequence < this.#through) {
      // Another log, the first connection, or a server that goes back: what it says counts.
      this.#open.clear();
      this.#through = sequence;
    } else if (sequence > this.#through) {
      this.#through = sequence;
      for (const each of this.#open.keys()) if (each <= sequence) this.#open.delete(each);
    }
    this.#epoch = epoch;
    this.#last = sequence;
    this.device = frame.device;
    this.cursor = frame.cursor;
    this.#unacknowledged = 0;
    const { user, device } = frame;
    return [{ do: "welcome", user, device, unread: count(frame.unread), unseen: count(frame.unseen) }];
  }

  /** @param {Push} push @param {number} now @returns {Action[]} */
  #hearPush(push, now) {
    if (!this.#welcomed) return [{ do: "stop", reason: "not_tocsin" }];
    if (this.#last !== null && push.sequence > this.#last && push.previous !== this.#last) {
      return this.#comeBack("gap");
    }
    if (this.#last === null || push.sequence > this.#last) this.#last = push.sequence;
    const known = this.#open.get(push.sequence);
    const isPast = this.#through !== null && push.sequence <= this.#through;
    if (isPast || known?.fate === HANDLED || known?.fate === ACKNOWLEDGED) {
      // Our acknowledgment crossed with it, or was lost: the next one covers it too.
      if (known !== undefined) known.fate = HANDLED;
      this.#ackSoon(now);
      return [];
    }
    if (known?.fate === SHOWN) return [];
    this.#supersede(push);
    this.#open.set(push.sequence, { push, fate: SHOWN });
    return [{ do: "show", push }];
  }

  /** A refused change of the same notification need not be acknowledged any more. @param {Push} push */
  #supersede(push) {
    for (const [sequence, { push: older, fate }] of this.#open) {
      if (fate === REFUSED && sequence < push.sequence && older.notification.id === push.notification.id) {
        this.#open.delete(sequence);
      }
    }
  }

  /** @param {string} reason @returns {Action[]} */
  #hearReset(reason) {
    // The replay that comes now starts where the server can, which the next push's `previous` names.
    this.#open.clear();
    this.#through = this.#last = null;
    this.#unacknowledged = 0;
    this.#ackAt = Infinity;
    this.cursor = "0";
    return [{ do: "reset", reason }];
  }

  /** Move the cursor over all that is handled without a hole. */
  #advance() {
    for (const [sequence, { fate }] of this.#open) {
      if (fate === SHOWN || fate === REFUSED) return;
      this.#through = sequence;
      this.cursor = `${this.#epoch}.${sequence}`;
      this.#open.delete(sequence);
    }
  }

  /** @param {number} now */
  #ackSoon(now) {
    this.#unacknowledged += 1;
    this.#ackAt = Math.min(this.#ackAt, now + ACK_DELAY);
  }

  /** The acknowledgment of all that was handled, if there is news in it. @returns {Action[]} */
  #acknowledge() {
    this.#ackAt = Infinity;
    if (this.#unacknowledged === 0 || !this.#welcomed) return [];
    this.#unacknowledged = 0;
    /** @type {Action[]} */
    const actions = [];
    if (this.#through !== null && this.#through > 0) {
      actions.push({ do: "send", frame: { type: "ack", sequence: this.#through } });
    }
    const behind = [...this.#open.values()].filter(({ fate }) => fate === HANDLED);
    for (const each of behind) each.fate = ACKNOWLEDGED;
    const ids = behind.map(({ push }) => push.notification.id);
    for (let start = 0; start < ids.length; start += ACK_IDS_MAX) {
      actions.push({ do: "send", frame: { type: "ack", ids: ids.slice(start, start + ACK_IDS_MAX) } });
    }
    return actions;
  }

  /**
   * Wait as long as the server says, or else longer each time: anywhere between nothing and the full
   * delay (Brooker's full jitter), since whoever shut the door shut it for all clients at once.
   * @param {string} reason @param {number} [after] @param {number} [code]
   * @returns {Action[]}
   */
  #comeBack(reason, after, code) {
    this.#failures += 1;
    const full = Math.min(RECONNECT_CAP, RECONNECT_INITIAL * 2 ** Math.min(this.#failures - 1, 16));
    const delay = after ?? full * this.#random();
    return [code === undefined ? { do: "wait", delay, reason } : { do: "wait", delay, reason, code }];
  }
}

/** Whether a `stop` can be ended by another token. @param {Action} action */
export function wantsAnotherToken(action) {
  return action.do === "stop" && action.code === UNAUTHENTICATED;
}

/** What a program threw may be anything; and half a character would be no JSON to the server. @param {unknown} error */
function reasonText(error) {
  try {
    const text = String(error instanceof Error ? error.message : error).slice(0, 2 * REASON_MAX);
    return /** @type {any} */ ([...text].slice(0, REASON_MAX).join("")).toWellFormed();
  } catch {
    return "refused";
  }
}
