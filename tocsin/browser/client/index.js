/** The browser client of Tocsin: see `tocsin.js`, and docs/clients.md. @module */

export { ApiError } from "./api.js";
export { Follower } from "./follower.js";
export { Inbox } from "./inbox.js";
export { Tocsin } from "./tocsin.js";
