/**
 * One WebSocket, as what happens to it and what can be done with it. Nothing is decided here.
 * @module
 */

const SUBPROTOCOL = "tocsin.v1.json";
/** The close code of a client that leaves in order (RFC 6455 §7.4.1). */
const NORMAL = 1000;

/**
 * @typedef {object} Listener
 * @property {() => void} opened
 * @property {(text: string) => void} heard
 * @property {(code: number | undefined, wasOpen: boolean, isDown?: boolean, said?: string) => void} closed once, and nothing comes
 *   after it; `isDown` where it was plainly the server or the network that gave no connection
 *
 * @typedef {object} Connection
 * @property {(frame: Record<string, unknown>) => void} send
 * @property {() => void} close without a word to the listener
 */

/**
 * Open a WebSocket to the server at `base`, an http or https URL.
 * @param {URL} base @param {Listener} listener @param {typeof WebSocket} [Socket]
 * @returns {Connection}
 */
export function openSocket(base, listener, Socket = WebSocket) {
  const url = new URL("v1/ws", base);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new Socket(url.href, SUBPROTOCOL);
  let wasOpen = false;
  let over = false;
  socket.onopen = () => {
    wasOpen = true;
    if (!over) listener.opened();
  };
  socket.onmessage = ({ data }) => {
    if (!over) listener.heard(typeof data === "string" ? data : "");
  };
  /** @param {number} [code] @param {string} [said] */
  const ended = (code, said) => {
    if (over) return;
    over = true;
    listener.closed(code, wasOpen, false, said);
  };
  socket.onclose = ({ code, reason }) => ended(code, reason);
  // Some say nothing but this of a connection that could not be made (Node 20).
  socket.onerror = () => void (wasOpen || ended());
  return {
    send(frame) {
      if (socket.readyState === Socket.OPEN) socket.send(JSON.stringify(frame));
    },
    close() {
      over = true;
      socket.close(NORMAL);
    },
  };
}
