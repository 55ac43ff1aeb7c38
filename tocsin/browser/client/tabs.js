/**
 * One connection for all tabs of an origin: Web Locks elect the tab that has it, and a
 * BroadcastChannel carries what it hears to the others. A tab that dies gives its lock up with it,
 * and the next one in the queue goes on from the cursor that was kept.
 * @module
 */

/**
 * @typedef {object} Member
 * @property {() => void} leads this tab is to connect now
 * @property {(message: any) => void} heard the tab that leads has said something, or another asks
 *
 * @typedef {object} Membership
 * @property {(message: unknown) => void} tell say something to all other tabs
 * @property {() => void} leave give up the place, or the wish for it
 *
 * @typedef {object} Browser what it takes of a browser
 * @property {Pick<LockManager, "request"> | undefined} locks
 * @property {typeof BroadcastChannel | undefined} Channel
 */

/** @returns {Browser} */
function thisBrowser() {
  return { locks: globalThis.navigator?.locks, Channel: globalThis.BroadcastChannel };
}

/**
 * Join the tabs that share `name`. Where a browser has no locks (before 2022, or without TLS), each
 * tab is on its own, and this is null.
 * @param {string} name @param {Member} member @param {Browser} [browser]
 * @returns {Membership | null}
 */
export function joinTabs(name, member, { locks, Channel } = thisBrowser()) {
  if (locks === undefined || Channel === undefined) return null;
  const channel = new Channel(name);
  /** @type {any} */ (channel).unref?.();
  channel.onmessage = ({ data }) => member.heard(data);
  const wish = new AbortController();
  let giveUp = () => {};
  const lead = () => {
    member.leads();
    return new Promise((resolve) => void (giveUp = () => resolve(undefined)));
  };
  // Rejected when the wish is withdrawn, which is how it ends.
  locks.request(name, { signal: wish.signal }, lead).catch(() => {});
  return {
    tell: (message) => channel.postMessage(message),
    leave() {
      channel.close();
      wish.abort();
      giveUp();
    },
  };
}
