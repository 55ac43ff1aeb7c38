/**
 * Small helpers for elements: making them, and keeping a list of them in step with values.
 * @module
 */

/**
 * A new element with properties, attributes (`data-…`, `aria-…`, `class`, `part`, `role`) and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Record<string, unknown>} [given] @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name in element) /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, String(value));
  }
  element.append(...children);
  return element;
}

/**
 * An icon from the path of a drawing in a square of 24. No markup is parsed, so it needs no trust.
 * @param {string} path
 */
export function icon(path) {
  const name = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(name, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const drawn = document.createElementNS(name, "path");
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
}

/**
 * Make the children of `parent` those of `values`, in their order: elements that are there already
 * stay the same ones, and only those that stand wrong are moved.
 * @template T
 * @param {HTMLElement} parent @param {readonly T[]} values
 * @param {(value: T) => string} key
 * @param {(value: T, before: HTMLElement | undefined) => HTMLElement} render the element of a value, new or changed
 */
export function keepInStep(parent, values, key, render) {
  const before = new Map([...parent.children].map((each) => [/** @type {HTMLElement} */ (each).dataset.key, /** @type {HTMLElement} */ (each)]));
  /** @type {Element | null} */
  let place = parent.firstElementChild;
  for (const value of values) {
    const name = key(value);
    const element = render(value, before.get(name));
    before.delete(name);
    element.dataset.key = name;
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const gone of before.values()) gone.remove();
}
