/** One device: the shop's page with an inbox. Each frame is a device of its own, so it names itself. */

import { Tocsin } from "{node}/client.js";
import "{node}/inbox.js";

const asked = new URLSearchParams(location.search);
const user = asked.get("user") ?? "ada";
const name = asked.get("name") ?? "laptop";

const tocsin = new Tocsin("{node}", {
  token: async () => (await fetch(`/token?user=${encodeURIComponent(user)}`)).text(),
  device: `${user}-${name}`,
  storage: null,
});
const inbox = document.createElement("tocsin-inbox");
inbox.tocsin = tocsin;
document.querySelector("#inbox").replaceWith(inbox);
document.querySelector("#face").textContent = user[0].toUpperCase();
document.body.dataset.user = user;

addEventListener("message", ({ data, origin }) => {
  if (origin !== location.origin) return;
  if (data === "offline") tocsin.close();
  else if (data === "online") tocsin.connect();
  document.body.classList.toggle("offline", data === "offline");
});
