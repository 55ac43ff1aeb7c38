/**
 * What a page keeps from one visit to the next: the device's name and its cursor.
 * @module
 */

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem">} Kept */

export class Memory {
  /** What was saved last, so that a frame that moves no cursor costs the page no write. */
  #saved = "";

  /** @param {string} key @param {Kept | null} storage */
  constructor(key, storage) {
    this.key = key;
    this.storage = storage;
  }

  /** @param {{device: string | null, cursor: string | null}} place */
  save({ device, cursor }) {
    const text = JSON.stringify({ device, cursor });
    if (text === this.#saved) return;
    this.#saved = text;
    try {
      this.storage?.setItem(this.key, text);
    } catch {
      // Full, or forbidden: the server knows the cursor as well.
    }
  }

  /** @returns {{device: string | null, cursor: string | null}} */
  read() {
    try {
      const kept = JSON.parse(this.storage?.getItem(this.key) ?? "null");
      if (typeof kept?.device === "string") {
        return { device: kept.device, cursor: typeof kept.cursor === "string" ? kept.cursor : null };
      }
    } catch {
      // As if nothing was kept.
    }
    return { device: null, cursor: null };
  }

  forget() {
    this.#saved = "";
    try {
      this.storage?.removeItem(this.key);
    } catch {
      // Forbidden, so nothing was kept.
    }
  }
}

/** The page's own storage, if it may have one. @returns {Kept | null} */
export function pageStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null; // forbidden to this page
  }
}

/** A name for a device that has none. */
export function newName() {
  return `web-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
}
