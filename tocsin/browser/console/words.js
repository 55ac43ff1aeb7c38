/**
 * Numbers and times for people.
 * @module
 */

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** @param {number} value */
export const count = (value) => (Math.abs(value) < 10000 ? number.format(value) : compact.format(value));
/** How many of what, as in "1 letter". @param {number} value @param {string} one @param {string} [many] */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
/** @param {number} value bytes */
export const bytes = (value) => `${number.format(value / 2 ** 20)} MiB`;
/** @param {number} value a share from 0 to 1 */
export const share = (value) => `${Math.round(value * 100)} %`;
/** @param {number} value seconds */
export const seconds = (value) => (value < 1 ? `${number.format(value * 1000)} ms` : `${number.format(value)} s`);

/** @param {string | null} instant RFC 3339 @param {number} now Unix milliseconds */
export function ago(instant, now = Date.now()) {
  if (instant === null) return "never";
  const passed = (Date.parse(instant) - now) / 1000;
  for (const [unit, size] of UNITS) {
    if (Math.abs(passed) >= size || unit === "second") return relative.format(Math.round(passed / size), unit);
  }
  return instant;
}
