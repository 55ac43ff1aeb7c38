/** A follower under test, and the server's half of what is said to it, at a time that only we move. */

import { Follower } from "../../tocsin/browser/client/follower.js";

export class Conversation {
  constructor(options = {}) {
    this.now = 1000;
    this.follower = new Follower({ device: "desk", random: () => 0.5, ...options });
  }

  opens(token = "token", expires = Infinity) {
    const [hello] = this.follower.opened(this.now, token, expires);
    return hello.frame;
  }

  hears(type, fields = {}) {
    return this.follower.heard(JSON.stringify({ type, ...fields }), this.now);
  }

  hearsWelcome(cursor = "e1.0", fields = {}) {
    const epoch = cursor.split(".")[0];
    const said = { user: "ada", device: "desk", node: "n", epoch, cursor, unread: 0, unseen: 0, heartbeat: 25, window: 64 };
    return this.hears("welcome", { ...said, ...fields });
  }

  hearsPush(sequence, { previous = sequence - 1, id = String(sequence), ...fields } = {}) {
    const notification = { id, title: `no. ${sequence}`, state: "unseen" };
    return this.hears("push", { sequence, previous, change: "created", notification, unread: 1, unseen: 1, ...fields });
  }

  /** Hears a push and handles it at once. */
  takesPush(sequence, fields) {
    const actions = this.hearsPush(sequence, fields);
    return [...actions, ...shown(actions).flatMap((push) => this.follower.handled(push, this.now))];
  }

  hearsGoodbye(code, reason, fields = {}) {
    const reconnect = code < 4400 || code === 4429;
    this.hears("goodbye", { code, reason, reconnect, ...fields });
    return this.follower.closed(code, reason);
  }

  /** Time passes, and the follower is called at each of its deadlines. */
  passes(seconds) {
    const actions = [];
    const until = this.now + seconds;
    while (this.follower.deadline <= until) {
      this.now = Math.max(this.now, this.follower.deadline);
      actions.push(...this.follower.due(this.now));
      if (actions.some(({ do: what }) => what === "wait" || what === "stop")) return actions;
    }
    this.now = until;
    return actions;
  }

  live(cursor = "e1.0") {
    this.opens();
    this.hearsWelcome(cursor);
    this.hears("synced", { sequence: 0 });
    return this;
  }
}

export const sent = (actions) => actions.filter(({ do: what }) => what === "send").map(({ frame }) => frame);
export const shown = (actions) => actions.filter(({ do: what }) => what === "show").map(({ push }) => push);
export const sequences = (actions) => shown(actions).map(({ sequence }) => sequence);
