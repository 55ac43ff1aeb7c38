/** The backend's buttons, and the ledger: what has become of each post on each device. */

const ledger = document.querySelector("#ledger");

for (const button of document.querySelectorAll("[data-do]")) {
  button.onclick = async () => {
    await fetch(`/do/${button.dataset.do}`, { method: "POST" });
    await show();
  };
}
for (const button of document.querySelectorAll("[data-cut]")) {
  button.onclick = () => {
    const isOffline = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(isOffline));
    button.textContent = isOffline ? "Come back" : "Go offline";
    frames[button.dataset.cut].postMessage(isOffline ? "offline" : "online", location.origin);
  };
}

function make(tag, className, text = "") {
  return Object.assign(document.createElement(tag), { className, textContent: text });
}

async function show() {
  const posts = await (await fetch("/ledger")).json();
  ledger.replaceChildren(...posts.map(({ title, lines }) => {
    const row = make("li", "");
    const devices = make("span", "lines");
    for (const { device, outcome } of lines) devices.append(make("span", outcome, device));
    row.append(make("b", "", title), devices);
    return row;
  }));
}

setInterval(show, 1000);
await show();
