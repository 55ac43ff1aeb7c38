/**
 * Whether an unchanged client may come back, by the number of docs/protocol.md: 40xx, it may; 44xx,
 * something must change first. The words stand in the goodbye, and in the close frame behind it.
 * @module
 */

export const UNAUTHENTICATED = 4401;
const RATE_LIMITED = 4429;
const FIRST = 4000;
const FINAL = 4400;
const BEYOND = 4500;

/**
 * The reason of an end: `said`, by a close code of the server's own; `lost` for that of a proxy, or of
 * a socket that just ended.
 * @param {number | undefined} code @param {string} [said]
 */
export const reasonOf = (code, said) => (/** @type {number} */ (code) >= FIRST && /** @type {number} */ (code) < BEYOND && said ? said : "lost");

/** @param {number | undefined} code */
export const mayReconnect = (code) => !(/** @type {number} */ (code) >= FINAL && /** @type {number} */ (code) < BEYOND) || code === RATE_LIMITED;
