/**
 * A line over time on a canvas: no more than a look from afar needs.
 * @module
 */

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
