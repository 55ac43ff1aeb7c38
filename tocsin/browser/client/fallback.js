/**
 * The ways over plain HTTP, with the face of a WebSocket: frames go in and out, so that the machine
 * knows of no difference. Loaded only where a WebSocket cannot be had.
 *
 * A stream is read with `fetch`, since an `EventSource` cannot send the header with the token. What
 * is handled is acknowledged by a call (`ack=explicit`), and a comment counts as heard. A poll is
 * asked again when what it brought is handled: naming its cursor acknowledges.
 * @module
 */

/** Seconds until a stream must have said something, or something on the way holds it back. */
const FLOWS = 5;
/** Seconds that a poll waits for news: proxies give up an answer after 60. */
const WAIT = 25;
/** Seconds until a refused push is asked for again: the server counts each answer as an attempt. */
const REFUSED_WAIT = 10;
/** Milliseconds that a WebSocket may take to open where it is only tried. */
const PROBE_PATIENCE = 10_000;
/** Pushes of one answer. */
const LIMIT = 100;
/** The close codes behind the statuses that end a stream or a poll before it has begun. */
const CODES = /** @type {Record<string, number>} */ ({
  401: 4401,
  403: 4403,
  disconnected: 4410,
  replaced: 4409,
});

/**
 * @typedef {import("./socket.js").Listener} Listener
 * @typedef {import("./socket.js").Connection} Connection
 */

/** What both ways share: calls with the token, and how they end. */
class Http {
  over = false;
  epoch = "";
  abort = new AbortController();
  /** @type {string} */ token = "";
  /** @type {string} */ device = "";

  /** @param {URL} base @param {Listener} listener @param {typeof globalThis.fetch} fetch */
  constructor(base, listener, fetch) {
    this.base = base;
    this.listener = listener;
    this.fetch = fetch;
  }

  /**
   * @param {string} path @param {Record<string, any>} query @param {object} [body]
   * @returns {Promise<Response>}
   */
  call(path, query, body) {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) if (value != null) url.searchParams.set(name, value);
    return this.fetch(url.href, {
      method: body === undefined ? "GET" : "POST",
      headers: { Authorization: `Bearer ${this.token}`, ...(body && { "Content-Type": "application/json" }) },
      credentials: "omit",
      cache: "no-store",
      // The last words outlive the page, and the connection that they are about.
      ...(body ? { body: JSON.stringify(body), keepalive: true } : { signal: this.abort.signal }),
    });
  }

  /** @param {Record<string, any>} frame */
  hear(frame) {
    if (!this.over) this.listener.heard(JSON.stringify(frame));
  }

  /** @param {boolean} wasOpen @param {boolean} [isDown] */
  end(wasOpen, isDown = false) {
    if (this.over) return;
    this.over = true;
    this.abort.abort();
    this.listener.closed(undefined, wasOpen, isDown);
  }

  /** The answer is no success: say so as the server would on a WebSocket. @param {Response} answer */
  async refuse(answer) {
    const said = await answer.json().catch(() => ({}));
    const { status } = answer;
    const after = Number(answer.headers.get("Retry-After")) || undefined;
    if (status === 429 || status >= 500) return this.end(false, true);
    const code = CODES[said.code] ?? CODES[status] ?? (status === 409 ? 4411 : 4400);
    // The word of a WebSocket's goodbye; what was wrong with the token is in the detail.
    const reason = code === CODES[401] ? "unauthenticated" : (said.code ?? "refused");
    this.hear({ type: "goodbye", code, reason, reconnect: false, detail: said.detail, after });
    this.end(true);
  }

  /** Acknowledge by a call; what is lost of these comes again. @param {Record<string, any>} what */
  acknowledge(what) {
    this.call("v1/inbox/ack", {}, { device: this.device, ...what }).catch(() => {});
  }

  /** @param {Record<string, any>} hello */
  greet({ token = "", device = "" }) {
    this.token = token;
    this.device = device;
  }

  close() {
    this.over = true;
    this.abort.abort();
  }
}

/** @param {URL} base @param {Listener} listener @param {typeof globalThis.fetch} fetch @returns {Connection} */
export function openStream(base, listener, fetch) {
  const http = new Http(base, listener, fetch);
  /** @param {Record<string, any>} hello */
  const read = async (hello) => {
    http.greet(hello);
    const { device, cursor } = hello;
    let flows = false;
    const timer = setTimeout(() => flows || http.end(false), FLOWS * 1000);
    try {
      const answer = await http.call("v1/inbox/stream", { device, cursor, ack: "explicit" });
      if (!answer.ok) return await http.refuse(answer);
      for await (const frame of framesOf(answer)) {
        flows = true;
        if (frame.type === "welcome") http.epoch = frame.epoch;
        http.hear(frame);
      }
      http.end(flows);
    } catch {
      http.end(flows, !flows);
    } finally {
      clearTimeout(timer);
    }
  };
  setTimeout(() => http.over || listener.opened());
  return {
    send(frame) {
      if (frame.type === "hello") void read(frame);
      else if (frame.ids) http.acknowledge({ ids: frame.ids });
      else if (frame.type === "ack") http.acknowledge({ cursor: `${http.epoch}.${frame.sequence}` });
    },
    close: () => http.close(),
  };
}

/** The frames of a stream of events; a comment counts as a `pong`. @param {Response} answer */
async function* framesOf({ body }) {
  const reader = /** @type {ReadableStream<any>} */ (body).pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop() ?? "";
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data:"));
      if (data.length > 0) yield JSON.parse(data.map((line) => line.slice(5)).join("\n"));
      else yield { type: "pong" };
    }
  }
}

/** @param {URL} base @param {Listener} listener @param {typeof globalThis.fetch} fetch @returns {Connection} */
export function openPolls(base, listener, fetch) {
  const http = new Http(base, listener, fetch);
  let acknowledged = 0;
  let refused = false;
  let moved = () => {};

  /** Wait until the pushes up to `last` are handled. @param {number} last */
  const settled = async (last) => {
    while (!http.over && acknowledged < last && !refused) {
      await new Promise((resolve) => void (moved = () => resolve(undefined)));
    }
    if (refused) await new Promise((resolve) => setTimeout(resolve, REFUSED_WAIT * 1000));
    refused = false;
  };

  /**
   * @param {any} page @param {string | undefined} from the cursor that it was asked with
   * @param {boolean} isFirst
   */
  const tell = ({ cursor, changes, more, unread, unseen, reset, reason }, from, isFirst) => {
    const last = changes.at(-1)?.sequence;
    http.epoch = cursor.replace(/\.\d+(~.*)?$/, "");
    if (isFirst) {
      const isKnown = !reset && from?.startsWith(`${http.epoch}.`);
      const start = isKnown ? from : changes.length > 0 ? `${http.epoch}.${changes[0].previous}` : cursor;
      const { device } = http;
      // An answer in time is all that is heard in silence.
      http.hear({ type: "welcome", user: "", device, cursor: start, heartbeat: WAIT * 2, unread, unseen });
    }
    if (reset) http.hear({ type: "reset", reason });
    for (const change of changes) http.hear({ ...change, type: "push" });
    if (!more) http.hear({ type: "synced", sequence: last ?? 0 });
    http.hear({ type: "counters", unread, unseen });
    return last;
  };

  /** @param {Record<string, any>} hello */
  const ask = async (hello) => {
    http.greet(hello);
    let { cursor } = hello;
    let isFirst = true;
    try {
      for (;;) {
        const query = { device: http.device, cursor, wait: isFirst ? 0 : WAIT, limit: LIMIT };
        const answer = await http.call("v1/inbox/changes", query);
        if (!answer.ok) return await http.refuse(answer);
        const page = await answer.json();
        if (page.goodbye) {
          http.hear({ ...page.goodbye, type: "goodbye" });
          return http.end(true);
        }
        const last = tell(page, cursor, isFirst);
        isFirst = false;
        if (last !== undefined) await settled(last);
        cursor = last === undefined || acknowledged >= last ? page.cursor : `${http.epoch}.${acknowledged}`;
        if (http.over) return undefined;
      }
    } catch {
      return http.end(!isFirst, isFirst);
    }
  };

  setTimeout(() => http.over || listener.opened());
  return {
    send(frame) {
      if (frame.type === "hello") return void ask(frame);
      if (frame.ids) http.acknowledge({ ids: frame.ids });
      else if (frame.type === "ack") acknowledged = /** @type {number} */ (frame.sequence);
      else if (frame.type === "nack") refused = true;
      return moved();
    },
    close() {
      // What was handled last is not named by another poll.
      if (acknowledged > 0) http.acknowledge({ cursor: `${http.epoch}.${acknowledged}` });
      http.close();
      moved();
    },
  };
}

/**
 * Whether a WebSocket can be had by now.
 * @param {typeof import("./socket.js").openSocket} open @param {URL} base @param {typeof WebSocket} Socket
 * @returns {Promise<boolean>}
 */
export function opensSocket(open, base, Socket) {
  return new Promise((resolve) => {
    /** @param {boolean} opens */
    const done = (opens) => {
      clearTimeout(timer);
      probe.close();
      resolve(opens);
    };
    const probe = open(base, { opened: () => done(true), heard: () => {}, closed: () => done(false) }, Socket);
    const timer = setTimeout(() => done(false), PROBE_PATIENCE);
  });
}
