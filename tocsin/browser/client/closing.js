/**
 * Why the server ends a connection, and whether an unchanged client may come back: the table of
 * docs/protocol.md. 40xx: the same client may come back; 44xx: something must change first.
 * @module
 */

/** @type {Readonly<Record<number, string>>} */
export const REASONS = Object.freeze({
  4000: "draining",
  4001: "slow",
  4002: "unresponsive",
  4003: "heartbeat_lost",
  4004: "internal_error",
  4005: "overloaded",
  4006: "store_unavailable",
  4400: "malformed",
  4401: "unauthenticated",
  4403: "forbidden",
  4408: "hello_timeout",
  4409: "replaced",
  4410: "disconnected",
  4411: "too_many_devices",
  4413: "frame_too_large",
  4429: "rate_limited",
});

export const UNAUTHENTICATED = 4401;

/**
 * The reason behind a close code; `lost` for a code that is not the server's own: a proxy's, or that
 * of a socket that just ended.
 * @param {number | undefined} code
 */
export function reasonOf(code) {
  return (code !== undefined && REASONS[code]) || "lost";
}

/** @param {number | undefined} code */
export function mayReconnect(code) {
  return reasonOf(code) === "lost" || /** @type {number} */ (code) < 4400 || code === 4429;
}
