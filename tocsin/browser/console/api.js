/**
 * Calls of the server's API, with the operator's key. The key is kept for this tab and this session only.
 * @module
 */

const KEPT = "tocsin-console-key";

/** What the server said no to: `status`, the problem's `code`, and a text for people. */
export class Refusal extends Error {
  /** @param {number} status @param {string} code @param {string} text */
  constructor(status, code, text) {
    super(text);
    this.status = status;
    this.code = code;
  }
}

/** The node did not answer, or the network did not lead there. */
export class Unreachable extends Error {}

/** @returns {string | null} the key of this tab */
export const key = () => sessionStorage.getItem(KEPT);

/** @param {string} text */
export const signIn = (text) => sessionStorage.setItem(KEPT, text);
export const signOut = () => sessionStorage.removeItem(KEPT);

/**
 * As `fetch`, but rejects with `Unreachable`, which says what is the matter.
 * @param {string} path @param {RequestInit} options
 */
export async function reach(path, options) {
  try {
    return await fetch(path, { ...options, cache: "no-store" });
  } catch (error) {
    throw options.signal?.aborted ? error : new Unreachable("The node does not answer. This page goes on when it does.");
  }
}

/**
 * The answer to a call. Rejects with a `Refusal`, or as `reach`.
 * @param {string} path
 * @param {{method?: string, body?: unknown, signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export async function ask(path, { method = "GET", body, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Authorization: `Bearer ${key() ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const answer = await reach(path, { method, headers, body: sent, signal });
  const text = await answer.text();
  const read = text ? JSON.parse(text) : null;
  // A node that is not ready says so with 503, and with all that it knows.
  if (answer.ok || path === "/readyz") return read;
  throw new Refusal(answer.status, read?.code ?? "", read?.detail ?? read?.title ?? answer.statusText);
}
