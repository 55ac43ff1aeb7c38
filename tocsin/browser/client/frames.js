/**
 * The frames of the server, as a client reads them: what a later server adds is passed over.
 * @module
 */

/**
 * @typedef {object} Notification
 * @property {string} id
 * @property {string} title
 * @property {string | null} body
 * @property {string | null} url
 * @property {unknown} data
 * @property {string} category
 * @property {string} priority
 * @property {string | null} topic
 * @property {number} revision
 * @property {"unseen" | "seen" | "read" | "archived" | "withdrawn"} state
 * @property {string} created_at
 * @property {string} updated_at
 * @property {string | null} expires_at
 *
 * @typedef {object} Push
 * @property {number} sequence
 * @property {number} previous
 * @property {"created" | "updated" | "state" | "withdrawn"} change
 * @property {Notification} notification
 * @property {number} unread
 * @property {number} unseen
 * @property {boolean} replay
 * @property {number} attempt
 */

/** Fields that this client stands on, by their like: a frame without them is none of Tocsin's. @type {Record<string, Record<string, string | number>>} */
const FIELDS = {
  welcome: { user: "", device: "", cursor: "" },
  push: { sequence: 0, previous: 0, change: "" },
  status: { store: "", bus: "" },
  reset: { reason: "" },
  goodbye: { code: 0, reason: "" },
};

/** Whether it has what this client stands on. @param {any} it */
export const isNotification = (it) => typeof it?.id === "string" && typeof it.title === "string";

/** The frame in `text`, or null where it is none. @param {string} text @returns {any} */
export function readFrame(text) {
  try {
    const frame = JSON.parse(text);
    const fields = frame.type === "welcome" && frame.user === null ? {} : (FIELDS[frame.type] ?? {});
    const isWhole =
      typeof frame.type === "string" &&
      Object.entries(fields).every(([name, like]) => typeof frame[name] === typeof like) &&
      (frame.type !== "push" || isNotification(frame.notification));
    return isWhole ? frame : null;
  } catch {
    return null;
  }
}

/** A number that was said, or none. @param {unknown} said */
export function count(said) {
  return Number.isInteger(said) ? /** @type {number} */ (said) : 0;
}

/** Seconds that a server may name for a delay: a timer of more would fire at once. */
const SECONDS_MAX = 1e5;

/** Seconds that were said, or `otherwise` where it is no time at all. @template T @param {unknown} said @param {T} otherwise */
export const seconds = (said, otherwise) => (typeof said === "number" && said >= 0 && said <= SECONDS_MAX ? said : otherwise);

/** Epoch and sequence. @param {string} cursor @returns {[string, number]} */
export function splitCursor(cursor) {
  const [place = ""] = cursor.split("~");
  const dot = place.lastIndexOf(".");
  return [place.slice(0, Math.max(0, dot)), Number(place.slice(dot + 1)) || 0];
}
