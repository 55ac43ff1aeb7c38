/**
 * The line to the server: carries out what the machine (`follower.js`) wants, with real sockets,
 * tokens and clocks, and comes back after whatever happens to the network, the page or the server.
 * @module
 */

import { REFRESH_BEFORE, wantsAnotherToken } from "./follower.js";
import { claimsOf } from "./snapshot.js";
import { openSocket } from "./socket.js";

/** Seconds that two looks at the clock may be apart before the machine must have slept. */
const SLEPT = 5;
/** Milliseconds between these looks. */
const LOOK = 2000;
/** The longest delay of a timer, in milliseconds: browsers keep it in 31 bits. */
const DELAY_MAX = 2 ** 31 - 1;

/**
 * @typedef {import("./follower.js").Action} Action
 * @typedef {import("./follower.js").Follower} Follower
 *
 * @typedef {object} State
 * @property {"idle" | "connecting" | "connected" | "waiting" | "stopped"} phase
 * @property {number} since when it became so, in milliseconds since 1970
 * @property {import("./ways.js").Way} [transport] the way that it has taken
 * @property {string} [reason] why it waits or has stopped
 * @property {number | undefined} [code] the close code, if there was one
 * @property {number} [retryAt] when it will connect again, in milliseconds since 1970
 * @property {string} store `ok`, or how the server's store is
 * @property {string} bus `ok`, or how the server hears the other nodes
 *
 * @typedef {Partial<State> & Pick<State, "phase">} News
 *
 * @typedef {object} Ends what is at the ends of the line
 * @property {URL} server
 * @property {() => string | Promise<string>} token
 * @property {typeof WebSocket} WebSocket
 * @property {typeof fetch} fetch
 * @property {import("./ways.js").Ways} ways
 * @property {(action: Action) => void} heard what concerns the user: shown pushes, counters, resets …
 * @property {(news: News) => void} became how the line is now
 * @property {(follower: Follower) => void} moved the cursor may have moved
 */

export class Line {
  #ends;
  #follower;
  /** @type {import("./socket.js").Connection | null} */ #connection = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retry;
  /** @type {ReturnType<typeof setInterval> | undefined} */ #look;
  /** Which connection is meant, by those that are told later. */
  #generation = 0;
  #askedAgain = false;
  #isWaiting = false;
  /** Whether there is a connection, or one is being made. */ #isOpening = false;
  /** Whether anything was heard on the connection. */ #wasHeard = false;
  /** @type {import("./ways.js").Way} */ #way = "websocket";
  #isDown = false;
  #probeAt = Infinity;
  #abort = new AbortController();

  /** @param {Follower} follower @param {Ends} ends */
  constructor(follower, ends) {
    this.#follower = follower;
    this.#ends = ends;
  }

  /** Connect, and stay connected until `close`, or until coming back is no use. */
  open() {
    this.#askedAgain = false;
    this.#watchPage();
    void this.#connect();
  }

  /** Leave in order: what was handled is acknowledged. `open` may be called again. */
  close() {
    this.carry(this.#follower.leaving());
    this.#end();
  }

  /** Carry out what the machine wants. @param {Action[]} actions */
  carry(actions) {
    for (const action of actions) this.#do(action);
    this.#ends.moved(this.#follower);
    this.#schedule();
  }

  async #connect() {
    const generation = ++this.#generation;
    clearTimeout(this.#retry);
    this.#isWaiting = false;
    this.#ends.became({ phase: "connecting" });
    // From here on: neither a token nor a module may be waited for without end.
    this.#isOpening = this.#wasHeard = true;
    this.carry(this.#follower.connecting(now()));
    let token = "";
    try {
      token = await this.#ends.token();
    } catch {
      if (generation === this.#generation) this.carry(this.#follower.unreachable("token"));
      return;
    }
    if (generation !== this.#generation) return;
    const { server, WebSocket, fetch, ways } = this.#ends;
    /** @type {import("./socket.js").Listener} */
    const listener = {
      opened: () => this.carry(this.#follower.opened(now(), token, endOf(token))),
      heard: (text) => {
        this.#wasHeard = true;
        this.carry(this.#follower.heard(text, now()));
      },
      closed: (code, wasOpen, isDown = false, said = "") => {
        this.#connection = null;
        this.#isDown = isDown;
        this.carry(wasOpen ? this.#follower.closed(code, said) : this.#follower.unreachable());
      },
    };
    this.#wasHeard = this.#isDown = false;
    this.#way = ways.next;
    try {
      if (this.#way === "websocket") {
        this.#connection = openSocket(server, listener, WebSocket);
      } else {
        const fallback = await import("./fallback.js");
        if (generation !== this.#generation) return;
        const open = this.#way === "stream" ? fallback.openStream : fallback.openPolls;
        this.#connection = open(server, listener, fetch);
      }
    } catch {
      // A module that cannot be had, or a socket that the page may not open (mixed content).
      if (generation === this.#generation) listener.closed(undefined, false, this.#way !== "websocket");
    }
  }

  /** On another way than the WebSocket: see now and then whether that works again. */
  async #probe() {
    this.#probeAt = now() + this.#ends.ways.probeAfter;
    const connection = this.#connection;
    const { opensSocket } = await import("./fallback.js");
    if (!(await opensSocket(openSocket, this.#ends.server, this.#ends.WebSocket).catch(() => false))) return;
    if (this.#connection !== connection || connection === null) return;
    this.#ends.ways.reset();
    this.carry([...this.#follower.leaving(), { do: "wait", delay: 0, reason: "websocket" }]);
  }

  /** @param {Action} action */
  #do(action) {
    switch (action.do) {
      case "send":
        return this.#connection?.send(action.frame);
      case "refresh":
        return void this.#refresh();
      case "wait":
        return this.#wait(action);
      case "stop":
        return this.#stop(action);
      case "welcome":
        this.#ends.ways.worked();
        this.#ends.became({ phase: "connected", transport: this.#way });
        this.#probeAt = this.#way === "websocket" ? Infinity : now() + this.#ends.ways.probeAfter;
        break;
      case "synced":
        this.#askedAgain = false;
    }
    this.#ends.heard(action);
  }

  /** @param {Action & {do: "wait"}} action */
  #wait({ delay, reason, code }) {
    if (!this.#wasHeard && reason !== "token") this.#ends.ways.failed(this.#isDown);
    this.#connection?.close();
    this.#connection = null;
    this.#generation += 1;
    this.#isWaiting = true;
    this.#isOpening = false;
    const retryAt = Date.now() + delay * 1000;
    this.#ends.became({ phase: "waiting", reason, retryAt, code });
    this.#retry = setTimeout(() => void this.#connect(), delay * 1000);
  }

  /** @param {Action & {do: "stop"}} action */
  #stop(action) {
    if (wantsAnotherToken(action) && !this.#askedAgain) {
      // The token may have ended between being made and being used: another is asked for, once.
      this.#askedAgain = true;
      return this.#wait({ do: "wait", delay: 0, reason: action.reason });
    }
    this.#end();
    const { reason, code } = action;
    this.#ends.became({ phase: "stopped", reason, code });
  }

  #end() {
    this.#connection?.close();
    this.#connection = null;
    this.#generation += 1;
    this.#isWaiting = this.#isOpening = false;
    this.#abort.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#retry);
    clearInterval(this.#look);
  }

  async #refresh() {
    const generation = this.#generation;
    try {
      const token = await this.#ends.token();
      if (generation === this.#generation) this.carry(this.#follower.refreshed(token, endOf(token)));
    } catch {
      // The session ends with its token then, and the next connection asks again.
    }
  }

  // --- Time --------------------------------------------------------------------------------------

  #schedule() {
    clearTimeout(this.#timer);
    const { deadline } = this.#follower;
    if (!this.#isOpening || deadline === Infinity) return;
    const delay = Math.min(Math.max(0, deadline - now()) * 1000, DELAY_MAX);
    this.#timer = setTimeout(() => this.carry(this.#follower.due(now())), delay);
  }

  /** See to it that sleep and a network that comes back are noticed at once. */
  #watchPage() {
    this.#abort.abort();
    this.#abort = new AbortController();
    clearInterval(this.#look);
    let looked = Date.now();
    this.#look = setInterval(() => {
      const slept = Math.abs(Date.now() - looked - LOOK) > SLEPT * 1000;
      looked = Date.now();
      if (slept) this.#wake();
      if (now() >= this.#probeAt) void this.#probe();
    }, LOOK);
    /** @type {any} */ (this.#look).unref?.();
    const { signal } = this.#abort;
    onPage("online", () => this.#wake(), signal);
  }

  #wake() {
    if (this.#isWaiting) void this.#connect();
    else if (this.#connection !== null) this.carry(this.#follower.wake(now()));
  }
}

/**
 * Hear of what happens to the page, where there is one.
 * @param {string} kind @param {(event: any) => void} hear @param {AbortSignal} signal ends it
 */
export const onPage = (kind, hear, signal) => globalThis.addEventListener?.(kind, hear, { signal });

/** Seconds of a clock that never goes back. */
export function now() {
  return performance.now() / 1000;
}

/**
 * When the token ends by the clock of `now`, as far as it says. One of less than a minute is renewed
 * after half of that; of one that seems to have ended, the clock here is wrong.
 * @param {string} token
 */
function endOf(token) {
  const { exp } = claimsOf(token);
  const left = typeof exp === "number" ? exp - Date.now() / 1000 : 0;
  return left > 0 ? now() + Math.max(left, left / 2 + REFRESH_BEFORE) : Infinity;
}
