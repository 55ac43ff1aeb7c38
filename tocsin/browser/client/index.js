/**
 * The browser client of Tocsin: see `tocsin.js`, and docs/clients.md.
 * @module
 *
 * @typedef {import("./follower.js").Action} Action
 * @typedef {import("./frames.js").Notification} Notification
 * @typedef {import("./frames.js").Push} Push
 * @typedef {import("./inbox.js").Mark} Mark
 * @typedef {import("./inbox.js").Snapshot} Snapshot
 * @typedef {import("./line.js").State} State
 * @typedef {import("./tocsin.js").Options} Options
 */

export { ApiError } from "./api.js";
export { Follower } from "./follower.js";
export { Inbox } from "./inbox.js";
export { Tocsin } from "./tocsin.js";
