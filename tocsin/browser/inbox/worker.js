/**
 * The service worker of Web Push: shows what the node has pushed, and opens where it leads.
 *
 * It controls no page, keeps nothing and fetches nothing. A page of the node's own origin registers
 * `/inbox/worker.js`; one of another origin serves a copy. Without `import` and `export` it runs in
 * browsers that know no modules in service workers.
 * @module
 */

/** @type {any} */
const worker = globalThis;

/** What was pushed; a push that cannot be read must be shown as something all the same. @param {any} data */
function readPush(data) {
  try {
    const said = data.json();
    if (typeof said.title === "string") return said;
  } catch {
    // Of somebody else, or of a later release.
  }
  return { title: "New notification" };
}

/** Where a click leads: http or https, and nowhere else. @param {unknown} url @param {string} base */
function addressOf(url, base) {
  try {
    const { protocol, href } = new URL(String(url ?? "/"), base);
    if (protocol === "https:" || protocol === "http:") return href;
  } catch {
    // As if it led nowhere.
  }
  return new URL("/", base).href;
}

/** @param {any} event */
async function show(event) {
  const { id, title, body, url, priority, others } = readPush(event.data);
  await worker.registration.showNotification(title, {
    body: [body, others ? `+ ${others}` : ""].filter((each) => typeof each === "string" && each !== "").join("\n"),
    // One that is pushed again takes the place of itself.
    ...(typeof id === "string" && { tag: id }),
    requireInteraction: priority === "critical",
    data: addressOf(url, worker.location.href),
  });
}

/** @param {string} address */
async function open(address) {
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages.find((/** @type {any} */ each) => each.url === address);
  await (page === undefined ? worker.clients.openWindow(address) : page.focus());
}

worker.addEventListener("push", (/** @type {any} */ event) => event.waitUntil(show(event)));
worker.addEventListener("notificationclick", (/** @type {any} */ event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data));
});
