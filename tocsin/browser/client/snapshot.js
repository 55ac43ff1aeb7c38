/**
 * What a page shows before the server answers, and what it has yet to tell it: the last inbox, and
 * marks that were made without a network. Kept in IndexedDB, for one user at a time, so that nobody
 * is shown what was another's.
 * @module
 */

/** Notifications that are kept: what a page shows at first. */
const KEPT = 50;
/** Milliseconds that changes wait for company before they are written. */
const LINGER = 300;
const STORE = "kept";

/**
 * @typedef {{state: import("./inbox.js").Mark, ids: string[]}} KeptMark a mark that waits for the server
 *
 * @typedef {object} Remembered
 * @property {string} owner
 * @property {import("./frames.js").Notification[]} notifications
 * @property {number} unread
 * @property {number} unseen
 * @property {KeptMark[]} marks
 *
 * @typedef {object} Database
 * @property {(key: string) => Promise<unknown>} get
 * @property {(key: string, value: unknown) => Promise<unknown>} set undefined removes
 */

/** The browser's own, if it may be had. @returns {Database | null} */
export function pageDatabase() {
  const { indexedDB } = globalThis;
  if (indexedDB === undefined) return null;
  /** @type {Promise<IDBDatabase> | undefined} */
  let opened;
  const open = () => {
    const request = indexedDB.open("tocsin", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    return answer(request);
  };
  /** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} work */
  const run = async (mode, work) => answer(work((await (opened ??= open())).transaction(STORE, mode).objectStore(STORE)));
  return {
    get: (key) => run("readonly", (store) => store.get(key)),
    set: (key, value) => run("readwrite", (store) => (value === undefined ? store.delete(key) : store.put(value, key))),
  };
}

/** @template T @param {IDBRequest<T>} request @returns {Promise<T>} */
function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export class SnapshotKeeper {
  #database;
  #key;
  /** @type {string | undefined} */ #owner;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #timer;

  /** @param {string} key @param {Database | null} database */
  constructor(key, database) {
    this.#key = key;
    this.#database = database;
  }

  /**
   * The page is `owner`'s: what was kept of theirs, the first time; what was another's goes.
   * @param {string | null} owner @returns {Promise<Remembered | null>}
   */
  async claim(owner) {
    if (owner === null || owner === this.#owner) return null;
    this.#owner = owner;
    // Forbidden, or of a later release: as if nothing was kept.
    const kept = /** @type {Remembered | undefined} */ (await this.#database?.get(this.#key).catch(() => undefined));
    return kept?.owner === owner ? kept : null;
  }

  /** Write what `take` gives, soon. @param {() => Omit<Remembered, "owner">} take */
  save(take) {
    if (this.#owner === undefined || this.#database === null || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const { notifications, ...rest } = take();
      if (this.#owner !== undefined) this.#write({ owner: this.#owner, ...rest, notifications: notifications.slice(0, KEPT) });
    }, LINGER);
    /** @type {any} */ (this.#timer).unref?.();
  }

  forget() {
    clearTimeout(this.#timer);
    this.#timer = this.#owner = undefined;
    this.#write();
  }

  /** @param {Remembered} [record] */
  #write(record) {
    this.#database?.set(this.#key, record).catch(() => {}); // full, or forbidden
  }
}

/** The user of a token, as far as it says. @param {string} token @returns {string | null} */
export function subjectOf(token) {
  const { sub } = claimsOf(token);
  return typeof sub === "string" ? sub : null;
}

/** What a JWT says, unverified; nothing of another token. @param {string} token @returns {Record<string, unknown>} */
export function claimsOf(token) {
  try {
    const [, claims = ""] = token.split(".");
    const bytes = Uint8Array.from(atob(claims.replaceAll("-", "+").replaceAll("_", "/")), (each) => each.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) ?? {};
  } catch {
    return {};
  }
}
