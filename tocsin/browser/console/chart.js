/**
 * A line over time on a canvas: no more than a look from afar needs, and the value at the pointer.
 * @module
 */
import { make } from "../inbox/dom.js";

/** A chart with its title, its scale, and its last value or the one that is pointed at. */
export class Panel {
  #title;
  #show;
  #top;
  #value = make("strong", {}, "-");
  #since = make("span");
  #most = make("span");
  #canvas = make("canvas", { role: "img" });
  /** @type {readonly number[]} */ #times = [];
  /** @type {readonly number[]} */ #values = [];
  #span = 1;
  /** Where the pointer is, from 0 to 1. @type {number | null} */ #pointed = null;

  /** @param {string} title @param {(value: number) => string} show @param {number} [top] the value at the top, if it is fixed */
  constructor(title, show, top) {
    this.#title = title;
    this.#show = show;
    this.#top = top;
    this.#canvas.setAttribute("aria-label", title);
    this.element = make("figure", {}, make("figcaption", {}, title, this.#value), this.#canvas, make("p", { class: "scale", "aria-hidden": "true" }, this.#since, this.#most));
    this.#canvas.onpointermove = ({ offsetX }) => this.#point(offsetX / this.#canvas.clientWidth);
    this.#canvas.onpointerleave = () => this.#point(null);
  }

  /** @param {readonly number[]} times @param {readonly number[]} values @param {number} span milliseconds shown */
  draw(times, values, span) {
    this.#times = times;
    this.#values = values;
    this.#span = span;
    draw(this.#canvas, times, values, { span, top: this.#top });
    const most = this.#show(Math.max(0, ...values));
    const minutes = Math.max(1, Math.round(span / 60_000));
    this.#most.textContent = `max ${most}`;
    this.#canvas.setAttribute("aria-label", `${this.#title}: now ${this.#show(values.at(-1) ?? 0)}, at most ${most} in ${minutes} min`);
    this.#point(this.#pointed);
  }

  /** @param {number | null} at */
  #point(at) {
    this.#pointed = at;
    const until = this.#times.at(-1) ?? 0;
    const time = at === null ? until : until - (1 - at) * this.#span;
    const place = at === null ? this.#times.length - 1 : this.#times.findIndex((each) => each >= time);
    const value = this.#values[place];
    if (value === undefined) return;
    const ago = Math.round((until - (this.#times[place] ?? until)) / 1000);
    this.#value.textContent = this.#show(value);
    this.#since.textContent = at === null ? `${Math.max(1, Math.round(this.#span / 60_000))} min` : `${Math.floor(ago / 60)}:${String(ago % 60).padStart(2, "0")} min ago`;
  }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {readonly number[]} times Unix milliseconds, ascending
 * @param {readonly number[]} values of the same length
 * @param {{span: number, top?: number}} scale milliseconds shown, and the value at the top if it is fixed
 */
export function draw(canvas, times, values, { span, top }) {
  const ratio = devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
    canvas.width = width * ratio;
    canvas.height = height * ratio;
  }
  const pen = canvas.getContext("2d");
  if (!pen || times.length === 0) return;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const until = /** @type {number} */ (times.at(-1));
  const greatest = top ?? Math.max(1e-9, ...values);
  const x = (/** @type {number} */ time) => width - ((until - time) / span) * width;
  const y = (/** @type {number} */ value) => height - 2 - (Math.min(value, greatest) / greatest) * (height - 6);
  const colour = getComputedStyle(canvas).color;
  pen.beginPath();
  times.forEach((time, index) => {
    const place = /** @type {[number, number]} */ ([x(time), y(values[index])]);
    if (index === 0) pen.moveTo(...place);
    else pen.lineTo(...place);
  });
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(x(until), height);
  pen.lineTo(x(times[0]), height);
  pen.globalAlpha = 0.12;
  pen.fillStyle = colour;
  pen.fill();
  pen.globalAlpha = 1;
}
