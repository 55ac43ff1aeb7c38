/**
 * The inbox as a page shows it: an immutable snapshot that changes its identity only when its
 * content does, which is what `useSyncExternalStore`, signals and stores compare.
 *
 * A page of `GET /v1/inbox` is the ground; pushes behind its cursor are applied to it, and marks of
 * this page before the server has answered them. When the server refuses a mark, it is taken back.
 * @module
 */

import { isNotification, splitCursor } from "./frames.js";

/**
 * @typedef {import("./frames.js").Notification} Notification
 * @typedef {import("./frames.js").Push} Push
 * @typedef {"seen" | "read" | "unread" | "archived"} Mark
 *
 * @typedef {object} Snapshot
 * @property {readonly Notification[]} notifications newest first, without the archived
 * @property {number} unread
 * @property {number} unseen
 * @property {boolean} more whether there are older ones to load
 * @property {boolean} loaded whether the server has been heard at all
 *
 * @typedef {object} Page what `GET /v1/inbox` answers
 * @property {Notification[]} notifications
 * @property {string | null} next
 * @property {number} unread
 * @property {number} unseen
 * @property {string} cursor
 */

/** Notifications that may be pushed until the page is read anew. */
const ARRIVED_MAX = 500;

/** What a state counts towards. */
const UNREAD = new Set(["unseen", "seen"]);

/** The state that a mark leads to, or null where it changes nothing. @type {Record<Mark, (state: string) => string | null>} */
const MARKS = {
  seen: (state) => (state === "unseen" ? "seen" : null),
  read: (state) => (state === "read" ? null : "read"),
  unread: (state) => (UNREAD.has(state) ? null : "seen"),
  archived: (state) => (state === "archived" ? null : "archived"),
};

export class Inbox {
  /** @type {Snapshot} */
  #snapshot = Object.freeze({ notifications: Object.freeze([]), unread: 0, unseen: 0, more: false, loaded: false });
  /** @type {Set<(snapshot: Snapshot) => void>} */
  #watchers = new Set();
  #sequence = 0;
  /** @type {string | null} */
  #next = null;
  #isBehind = false;
  /** Notifications that were pushed since the page was read. */
  #arrived = 0;
  /** What was pushed while a page is being read. @type {Push[] | null} */
  #meanwhile = null;
  /** Whether the page that is being read may be too old. */
  #again = false;

  /** @returns {Snapshot} */
  get current() {
    return this.#snapshot;
  }

  /** Where the next older page begins, for `before`; null when all is loaded. */
  get next() {
    return this.#next;
  }

  /** Whether a page has to be read again, since a replay brought what may belong further down. */
  get isBehind() {
    return this.#isBehind;
  }

  /**
   * Call `watcher` at each change; the function that is returned ends that.
   * @param {(snapshot: Snapshot) => void} watcher
   */
  subscribe(watcher) {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /**
   * Begin with the newest page, which `read` gives. What is pushed meanwhile may be newer than the
   * page, and is applied to it as well. Rejects as `read` does.
   * @param {() => Promise<Page>} read
   */
  async load(read) {
    this.#again = true;
    if (this.#meanwhile !== null) return;
    try {
      while (this.#again) {
        this.#again = false;
        this.#meanwhile = [];
        this.replace(await read());
      }
    } finally {
      this.#meanwhile = null;
    }
  }

  /** @param {Page} page */
  replace(page) {
    const meanwhile = this.#meanwhile ?? [];
    this.#meanwhile = null;
    this.#sequence = splitCursor(page.cursor)[1];
    this.#next = page.next;
    this.#isBehind = false;
    this.#arrived = 0;
    this.#show({ ...countsOf(page), notifications: page.notifications.filter(isNotification), more: page.next !== null, loaded: true });
    for (const push of meanwhile) this.apply(push);
  }

  /**
   * What was kept of an earlier visit, until the server answers.
   * @param {Pick<Snapshot, "notifications" | "unread" | "unseen">} kept
   */
  restore({ notifications, unread, unseen }) {
    if (!this.#snapshot.loaded) this.#show({ notifications, unread, unseen });
  }

  /** Go on with an older page. @param {Page} page */
  append(page) {
    const known = new Set(this.#snapshot.notifications.map(({ id }) => id));
    const older = page.notifications.filter((each) => isNotification(each) && !known.has(each.id));
    this.#next = page.next;
    this.#show({ notifications: [...this.#snapshot.notifications, ...older], more: page.next !== null });
  }

  /**
   * True if so many have come that the page is to be read anew: a tab that stays open for weeks keeps
   * no more than a page and what came since.
   * @param {Push} push
   */
  apply(push) {
    if (push.sequence <= this.#sequence) return false;
    this.#meanwhile?.push(push);
    this.#sequence = push.sequence;
    const { notification } = push;
    const before = this.#snapshot.notifications;
    const place = before.findIndex(({ id }) => id === notification.id);
    const gone = notification.state === "withdrawn" || notification.state === "archived";
    let after = before;
    if (gone) {
      if (place >= 0) after = before.filter((_, at) => at !== place);
    } else if (place >= 0) {
      after = before.map((each, at) => (at === place ? notification : each));
    } else if (push.change === "created" && !push.replay) {
      after = [notification, ...before];
      this.#arrived += 1;
    } else {
      // It entered the log earlier than it was changed: only the server knows its place.
      this.#isBehind = true;
    }
    this.#show({ ...countsOf(push), notifications: after });
    return this.#arrived >= ARRIVED_MAX;
  }

  /** @param {{unread: number, unseen: number}} counts */
  recount(counts) {
    this.#show(countsOf(counts));
  }

  /**
   * Show `mark` of the notifications `ids` (all that are unread, if null) before the server has
   * answered; the function that is returned takes it back, where nothing newer has been heard.
   * @param {Mark} mark @param {readonly string[] | null} ids
   */
  mark(mark, ids) {
    const wanted = ids === null ? null : new Set(ids);
    /** @type {Map<string, [Notification, Notification]>} */
    const marked = new Map();
    for (const each of this.#snapshot.notifications) {
      if (wanted !== null && !wanted.has(each.id)) continue;
      const state = MARKS[mark](each.state);
      if (state !== null) marked.set(each.id, [each, /** @type {Notification} */ ({ ...each, state })]);
    }
    const sequence = this.#sequence;
    const before = this.#snapshot;
    this.#exchange((each) => marked.get(each.id)?.[1] ?? each, [...marked.values()]);
    return () => {
      if (this.#sequence === sequence && this.#snapshot !== before) this.#show(before);
    };
  }

  /**
   * @param {(each: Notification) => Notification} change
   * @param {[Notification, Notification][]} changed
   */
  #exchange(change, changed) {
    if (changed.length === 0) return;
    let { unread, unseen } = this.#snapshot;
    for (const [before, after] of changed) {
      unread += Number(UNREAD.has(after.state)) - Number(UNREAD.has(before.state));
      unseen += Number(after.state === "unseen") - Number(before.state === "unseen");
    }
    const notifications = this.#snapshot.notifications.map(change).filter(({ state }) => state !== "archived");
    this.#show({ notifications, unread: Math.max(0, unread), unseen: Math.max(0, unseen) });
  }

  /** @param {Partial<Snapshot>} change */
  #show(change) {
    const before = this.#snapshot;
    const after = { ...before, ...change };
    const keys = /** @type {(keyof Snapshot)[]} */ (Object.keys(after));
    if (keys.every((key) => after[key] === before[key])) return;
    this.#snapshot = Object.freeze(after);
    for (const watcher of [...this.#watchers]) {
      try {
        watcher(this.#snapshot);
      } catch (error) {
        // A page's mistake is told to the page, and holds up no push.
        globalThis.reportError?.(error);
      }
    }
  }
}

/** @param {{unread: number, unseen: number}} said */
function countsOf({ unread, unseen }) {
  return { unread, unseen };
}
