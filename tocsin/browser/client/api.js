/**
 * The calls of a user over HTTP. An answer that is no success is an `ApiError`.
 * @module
 */

/** Seconds that a server may ask to wait: what says more is none of ours. */
const AFTER_MAX = 1e5;

/** Milliseconds for an answer, a little more than a server takes at most: on half a connection none comes. */
const PATIENCE = 35_000;

/** A problem (RFC 9457) that the server answered, or that it could not be reached. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where there was no answer
   * @param {string} code the problem's `code`, or `unreachable`
   * @param {string} detail
   * @param {number} [after] seconds until it is worth another try
   */
  constructor(status, code, detail, after) {
    super(detail);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.after = after;
  }

  /** Whether the same call may succeed later. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export class Api {
  /**
   * @param {URL} base
   * @param {() => Promise<string>} token
   * @param {typeof globalThis.fetch} fetch
   */
  constructor(base, token, fetch) {
    this.base = base;
    this.token = token;
    this.fetch = fetch;
  }

  /**
   * @param {string} method @param {string} path @param {unknown} [body]
   * @returns {Promise<any>} what was answered, read from JSON; null for an empty answer
   */
  async call(method, path, body) {
    let answer, text;
    try {
      // A page whose network is gone has no token either; and an answer that is cut is none.
      const headers = { Authorization: `Bearer ${await this.token()}`, ...(body !== undefined && { "Content-Type": "application/json" }) };
      answer = await this.fetch(new URL(path, this.base).href, {
        method,
        headers,
        body: JSON.stringify(body),
        credentials: "omit",
        cache: "no-store",
        signal: AbortSignal.timeout(PATIENCE),
      });
      text = await answer.text();
      if (answer.ok) return text === "" ? null : JSON.parse(text);
    } catch (error) {
      throw new ApiError(0, "unreachable", String(error));
    }
    throw problem(answer, text);
  }
}

/** @param {Response} answer @param {string} text */
function problem(answer, text) {
  let said;
  try {
    said = JSON.parse(text);
  } catch {
    said = null; // a proxy's page
  }
  const after = Number(answer.headers.get("Retry-After")); // NaN for a date, which no node sends
  return new ApiError(
    answer.status,
    said?.code ?? "unknown",
    said?.detail ?? `HTTP ${answer.status}`,
    after > 0 && after < AFTER_MAX ? after : undefined,
  );
}
