/** The element `<tocsin-inbox>`: importing this defines it. See docs/clients.md. @module */

import { TocsinInbox } from "./element.js";

export { TocsinInbox };
export { TEXTS } from "./texts.js";

if (customElements.get("tocsin-inbox") === undefined) customElements.define("tocsin-inbox", TocsinInbox);
