/**
 * `Tocsin`: what a page uses. It follows the user's log (`line.js`, `follower.js`), for all tabs by
 * one connection (`tabs.js`), hands each change to the page's handlers, and keeps the inbox.
 * @module
 */

import { Api, ApiError } from "./api.js";
import { Follower } from "./follower.js";
import { Inbox } from "./inbox.js";
import { Memory, newName, pageStorage } from "./kept.js";
import { Line, now, onPage } from "./line.js";
import { Marks } from "./marks.js";
import { joinTabs } from "./tabs.js";
import { SnapshotKeeper, pageDatabase, subjectOf } from "./snapshot.js";
import { Ways } from "./ways.js";

/** Notifications of a page of the inbox. */
const PAGE = 50;
/** Seconds until they are asked for again. */
const AGAIN = 5;
/**
 * @typedef {import("./follower.js").Action} Action
 * @typedef {import("./frames.js").Push} Push
 * @typedef {import("./inbox.js").Mark} Mark
 * @typedef {import("./line.js").State} State
 * @typedef {import("./line.js").News} News
 *
 * @typedef {object} Options
 * @property {() => string | Promise<string>} token gives a token of the user; called for each connection
 * @property {string | null} [device] the device's name; by default one that is kept in `storage`
 * @property {import("./kept.js").Kept | null} [storage] keeps device and cursor; by default `localStorage` where there is one
 * @property {string} [user] whose page it is; then the inbox of the last visit is shown before `token` answers
 * @property {import("./snapshot.js").Database | null} [database] keeps the inbox of the last visit; by default IndexedDB, where there is a `storage`
 * @property {boolean} [shared] whether the tabs of the origin share one connection; by default where the device is one that is kept
 * @property {() => number} [random]
 * @property {typeof WebSocket} [WebSocket] for programs outside of a browser
 * @property {typeof fetch} [fetch] the same
 * @property {import("./tabs.js").Browser} [browser] the same
 */

export class Tocsin {
  #base;
  #options;
  #api;
  #fetch;
  #memory;
  #follower;
  #line;
  #keeper;
  #marks;
  /** @type {Map<string, Set<(event: any) => unknown>>} */ #handlers = new Map();
  /** The handlers' work, one push after the other. @type {Promise<void>} */ #work = Promise.resolve();
  /** @type {State} */ #state = { phase: "idle", since: Date.now(), store: "ok", bus: "ok" };
  /** @type {import("./tabs.js").Membership | null} */ #tabs = null;
  /** Ends the watch over the page. */ #page = new AbortController();
  /** Whether this tab has the connection. */ #leads = false;
  /** The sequence of the last push that was told here, by whichever tab's connection it came. */
  #told = 0;
  /** When the inbox is asked for again. @type {ReturnType<typeof setTimeout> | undefined} */ #again;
  /** Those of them that a handler of this tab has refused. @type {Set<number>} */ #refused = new Set();

  /** The inbox: `subscribe`, `current`; marks go through `mark`. */
  inbox = new Inbox();

  /**
   * @param {string | URL} server an http or https URL
   * @param {Options} options
   */
  constructor(server, options) {
    this.#base = new URL(server, globalThis.location?.href);
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.#options = { device: null, storage: pageStorage(), random: Math.random, ...options };
    this.#memory = new Memory(`tocsin:${this.#base.href}`, this.#options.storage);
    this.#follower = this.#newFollower(newName());
    this.#memory.save(this.#follower);
    this.#fetch = this.#options.fetch ?? globalThis.fetch?.bind(globalThis);
    const { storage, database = storage === null ? null : pageDatabase() } = this.#options;
    this.#keeper = new SnapshotKeeper(this.#memory.key, database);
    this.#line = this.#newLine();
    this.#api = new Api(this.#base, () => this.#token(), this.#fetch);
    this.#marks = new Marks({
      api: this.#api,
      inbox: this.inbox,
      isConnected: () => this.#state.phase === "connected",
      changed: () => this.#keep(),
      refused: (error) => this.#tell("error", error),
    });
    this.inbox.subscribe(() => this.#keep());
  }

  /** @returns {Readonly<State>} */
  get state() {
    return this.#state;
  }

  /** This device's name. */
  get device() {
    return this.#follower.device;
  }

  /**
   * Call `handler` for each event of the kind; the function that is returned ends that.
   *
   * `push`: a `Push`, each change once and in order. It is acknowledged when all handlers are done;
   * one that throws or rejects refuses it, and the server sends it again. In a tab that does not have
   * the connection, that is an `error`.
   * `state`: the `State`, at each change. `error`: what could not be done, or what a handler has thrown.
   * @param {"push" | "state" | "error"} kind
   * @param {(event: any) => unknown} handler
   */
  on(kind, handler) {
    const handlers = this.#handlers.get(kind) ?? new Set();
    this.#handlers.set(kind, handlers.add(handler));
    return () => void handlers.delete(handler);
  }

  /** Connect, and stay connected until `close`. Again is no error. @returns {this} */
  connect() {
    const { phase } = this.#state;
    if (phase === "stopped" && this.#leads) {
      this.#line.open();
    } else if (phase === "stopped" && this.#tabs !== null) {
      this.#tabs.tell({ ask: "connect" });
    } else if (phase === "idle") {
      void this.#claim(this.#options.user ?? null);
      this.#join();
      // A page that a browser may keep, to restore it, can neither listen nor hold a lock meanwhile.
      const { signal } = (this.#page = new AbortController());
      onPage("pagehide", () => this.#leave({ phase: "waiting", reason: "hidden" }), signal);
      onPage("pageshow", ({ persisted }) => persisted && this.#join(), signal);
    }
    return this;
  }

  #join() {
    this.#tabs = this.#isShared
      ? joinTabs(this.#memory.key, { leads: () => this.#lead(), heard: (message) => this.#hearTab(message) }, this.#options.browser)
      : null;
    if (this.#tabs === null) this.#lead();
    else this.#follow();
  }

  /** Leave in order: what was handled is acknowledged. `connect` may be called again. */
  close() {
    this.#page.abort();
    this.#leave({ phase: "idle" });
  }

  /** @param {News} news */
  #leave(news) {
    if (this.#leads) this.#line.close();
    this.#leads = false;
    this.#become(news);
    this.#tabs?.leave();
    this.#tabs = null;
  }

  /**
   * Each change as an item of an async iteration, which connects; acknowledged when the next is asked
   * for. It ends with the connection, when coming back is no use.
   * @returns {AsyncGenerator<Push, void, void>}
   */
  async *changes() {
    /** @type {{push: Push, done: () => void, refuse: (why: Error) => void}[]} */
    const waiting = [];
    let wake = () => {};
    const stops = [
      this.on("push", (/** @type {Push} */ push) => new Promise((resolve, refuse) => {
        waiting.push({ push, done: () => resolve(undefined), refuse });
        wake();
      })),
      this.on("state", () => wake()),
    ];
    this.connect();
    let current;
    try {
      while (this.#state.phase !== "stopped" && this.#state.phase !== "idle") {
        current = waiting.shift();
        if (current === undefined) {
          await new Promise((resolve) => void (wake = () => resolve(undefined)));
          continue;
        }
        yield current.push;
        current.done();
        current = undefined;
      }
    } finally {
      for (const stop of stops) stop();
      const why = new Error("the iteration has ended");
      current?.refuse(why);
      for (const each of waiting) each.refuse(why);
    }
  }

  /** Load the next older page; false if there is none. */
  async loadMore() {
    const before = this.inbox.next;
    if (before === null) return false;
    const path = `v1/inbox?limit=${PAGE}&before=${encodeURIComponent(before)}`;
    this.inbox.append(await this.#api.call("GET", path));
    return true;
  }

  /**
   * Mark notifications; shown at once, kept until the server can be reached, and taken back if it
   * refuses (`ApiError`).
   * @param {Mark} state @param {string | readonly string[]} ids
   */
  async mark(state, ids) {
    await this.#marks.mark(state, typeof ids === "string" ? [ids] : [...ids]);
  }

  /** Mark all that are not archived. @param {Mark} [state] */
  async markAll(state = "read") {
    await this.#marks.mark(state, null);
  }

  async #token() {
    const token = await this.#options.token();
    void this.#claim(this.#options.user ?? subjectOf(token));
    return token;
  }

  /** The page is this user's: show what was kept of theirs, until the server answers. @param {string | null} user */
  async #claim(user) {
    const kept = await this.#keeper.claim(user);
    if (kept === null) return;
    this.#marks.waiting.unshift(...kept.marks);
    this.inbox.restore(kept);
  }

  #keep() {
    const { waiting: marks } = this.#marks;
    if (!this.inbox.current.loaded && marks.length === 0) return;
    this.#keeper.save(() => {
      const { notifications, unread, unseen } = this.inbox.current;
      return { notifications: [...notifications], unread, unseen, marks };
    });
  }

  /**
   * What the user wants to hear of, as `/v1/me/preferences` has it; with `wanted`, from now on that.
   * @param {object} [wanted] @returns {Promise<any>}
   */
  preferences(wanted) {
    return this.call(wanted === undefined ? "GET" : "PUT", "v1/me/preferences", wanted);
  }

  /**
   * Any other call of the API as this user; rejects with an `ApiError`.
   * @param {string} method @param {string} path without a slash in front @param {unknown} [body]
   * @returns {Promise<any>} what was answered, null for nothing
   */
  call(method, path, body) {
    return this.#api.call(method, path, body);
  }

  /** Sign out: leave, forget device and cursor here, and the device on the server. */
  async forget() {
    this.close();
    this.#memory.forget();
    this.#keeper.forget();
    try {
      await this.#api.call("DELETE", `v1/me/devices/${encodeURIComponent(this.device ?? "")}`);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }

  // --- The tabs ----------------------------------------------------------------------------------

  get #isShared() {
    return this.#options.shared ?? (this.#options.device === null && this.#options.storage !== null);
  }

  /** This tab has the connection, and goes on where the one before it has stopped. */
  #lead() {
    this.#leads = true;
    this.#follower = this.#newFollower(this.device ?? newName());
    this.#line = this.#newLine();
    this.#line.open();
  }

  /** Another tab has the connection, if there is one: it tells how it stands. */
  #follow() {
    this.#become({ phase: "connecting" });
    this.#tabs?.tell({ ask: "state" });
    void this.#load();
  }

  /** @param {any} message */
  #hearTab(message) {
    if (this.#leads) {
      if (message.ask === "state") this.#tabs?.tell({ state: this.#state });
      else if (message.ask === "connect") this.connect();
    } else if (message.action !== undefined) {
      this.#hear(message.action);
    } else if (message.state !== undefined && message.state.phase !== "idle") {
      this.#become(message.state);
    }
  }

  // --- The line ----------------------------------------------------------------------------------

  /** @param {string} name of a device that was given none */
  #newFollower(name) {
    const kept = this.#memory.read();
    const device = this.#options.device ?? kept.device ?? name;
    const cursor = device === kept.device ? kept.cursor : null;
    return new Follower({ device, cursor, random: this.#options.random });
  }

  #newLine() {
    return new Line(this.#follower, {
      server: this.#base,
      token: () => this.#token(),
      WebSocket: this.#options.WebSocket ?? globalThis.WebSocket,
      fetch: this.#fetch,
      ways: new Ways(this.#memory.key, this.#options.storage ?? null),
      became: (news) => this.#become(news),
      moved: (follower) => this.#memory.save(follower),
      heard: (action) => {
        this.#tabs?.tell({ action });
        this.#hear(action);
      },
    });
  }

  /** What the line has heard, this tab's or that of another. @param {Action} action */
  #hear(action) {
    switch (action.do) {
      case "show":
        return this.#show(action.push);
      case "welcome":
        this.inbox.recount(action);
        if (!this.inbox.current.loaded || this.#marks.waiting.length > 0) void this.#load();
        return;
      case "synced":
        if (this.inbox.isBehind) void this.#load();
        return;
      case "counters":
        return this.inbox.recount(action);
      case "status":
        return this.#become({ ...this.#state, store: action.store, bus: action.bus });
      case "reset":
        this.#told = 0;
        this.#refused.clear();
        return void this.#load();
    }
  }

  /** @param {Push} push */
  #show(push) {
    const { sequence } = push;
    if (this.inbox.apply(push)) void this.#load();
    // A tab that has begun to lead is sent what the one before it had not yet acknowledged.
    const isNew = sequence > this.#told || this.#refused.delete(sequence);
    this.#told = Math.max(this.#told, sequence);
    this.#work = this.#work.then(async () => {
      const failure = isNew ? await this.#handle(push) : undefined;
      if (this.#leads) {
        if (failure !== undefined) this.#refused.add(sequence);
        this.#line.carry(this.#follower.handled(push, now(), failure));
      } else if (failure !== undefined) {
        this.#tell("error", failure);
      }
    });
  }

  /** Why the handlers refuse a push, if they do. @param {Push} push @returns {Promise<unknown>} */
  async #handle(push) {
    try {
      for (const handler of [...(this.#handlers.get("push") ?? [])]) await handler(push);
      return undefined;
    } catch (error) {
      return error ?? new Error("refused");
    }
  }

  async #load() {
    await this.#marks.send();
    try {
      await this.inbox.load(() => this.#api.call("GET", `v1/inbox?limit=${PAGE}`));
      this.#marks.show();
    } catch (error) {
      this.#tell("error", error);
      // The connection is there and the call has failed: nothing else would say when to ask again.
      const { isPassing, after = AGAIN } = /** @type {ApiError} */ (error);
      clearTimeout(this.#again);
      if (isPassing) this.#again = setTimeout(() => this.#state.phase === "connected" && this.#load(), after * 1000);
      /** @type {any} */ (this.#again)?.unref?.();
    }
  }

  /** @param {News} news */
  #become(news) {
    const { store, bus } = this.#state;
    this.#state = Object.freeze({ store, bus, since: Date.now(), ...news });
    if (this.#leads) this.#tabs?.tell({ state: this.#state });
    this.#tell("state", this.#state);
  }

  /** @param {"state" | "error"} kind @param {unknown} event */
  #tell(kind, event) {
    for (const handler of [...(this.#handlers.get(kind) ?? [])]) {
      try {
        handler(event);
      } catch (error) {
        if (kind !== "error") this.#tell("error", error);
      }
    }
  }
}
