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
 * @typedef {Notification["state"]} State
 * @typedef {{unread: number, unseen: number}} Counts
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

/** The state that a mark leads to. @type {Record<Mark, (state: State) => State>} */
const MARKS = {
  seen: (state) => (state === "unseen" ? "seen" : state),
  read: () => "read",
  unread: (state) => (UNREAD.has(state) ? state : "seen"),
  archived: () => "archived",
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
  /** Marks that are shown and not answered. */
  #inFlight = 0;
  /** The counts that were heard last while there were such. @type {Counts | null} */
  #held = null;

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
    if (place >= 0) {
      after = gone ? before.toSpliced(place, 1) : before.with(place, notification);
    } else if (gone) {
      // It was not shown.
    } else if (push.change === "created" && !push.replay) {
      after = [notification, ...before];
      this.#arrived += 1;
    } else {
      // It entered the log earlier than it was changed: only the server knows its place.
      this.#isBehind = true;
    }
    this.#show({ ...this.#heard(push), notifications: after });
    return this.#arrived >= ARRIVED_MAX;
  }

  /** @param {Counts} counts */
  recount(counts) {
    this.#show(this.#heard(counts));
  }

  /** @param {Counts} counts */
  #heard(counts) {
    if (this.#inFlight === 0) return countsOf(counts);
    this.#held = countsOf(counts);
    return {};
  }

  /**
   * Show `mark` of the notifications `ids` (all, if null) before the server has answered. Until the
   * function that is returned is told how that went, counts that are heard are held back: they may be
   * older than the mark, and the badge would go up and down again. It is called once: with the answer;
   * with null where the mark waits; without either to take the mark back, where nothing newer has
   * been heard.
   * @param {Mark} mark @param {readonly string[] | null} ids
   * @returns {(answer?: Counts & {cursor: string} | null) => void}
   */
  mark(mark, ids) {
    const sequence = this.#sequence;
    const before = this.#snapshot;
    const wanted = new Set(ids);
    let { unread, unseen } = before;
    let isChanged = false;
    const marked = before.notifications.map((each) => {
      const state = ids === null || wanted.has(each.id) ? MARKS[mark](each.state) : each.state;
      if (state === each.state) return each;
      isChanged = true;
      unread += +UNREAD.has(state) - +UNREAD.has(each.state);
      unseen -= +(each.state === "unseen");
      return { ...each, state };
    });
    if (!isChanged) return () => {};
    this.#inFlight += 1;
    const notifications = marked.filter(({ state }) => state !== "archived");
    this.#show({ notifications, unread: Math.max(0, unread), unseen: Math.max(0, unseen) });
    return (answer) => {
      this.#inFlight -= 1;
      if (answer === undefined && this.#sequence === sequence) this.#show(before);
      if (this.#inFlight > 0) return;
      const held = answer === null ? null : this.#held;
      this.#held = null;
      // The answer counts up to its cursor; what was pushed behind that counts more.
      if (held) this.recount(answer && splitCursor(String(answer.cursor))[1] >= this.#sequence ? answer : held);
    };
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

/** @param {Counts} said */
function countsOf({ unread, unseen }) {
  return { unread, unseen };
}
