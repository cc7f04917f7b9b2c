// Values of a picture as colours, with a legend and the value of a pixel.

export class DepthView {
  // colors: 256 x 3 bytes from far to near.
  constructor(canvas, legend, ticks, colors) {
    Object.assign(this, { canvas, legend, ticks, colors });
    this.layers = {};
    this.layer = "depth";
    this.leastConfidence = 0;
  }

  // picture: as the server describes it; layers: Float32Arrays by name.
  show(picture, layers) {
    this.picture = picture;
    this.layers = layers;
    if (!layers[this.layer]) this.layer = "depth";
    [this.canvas.width, this.canvas.height] = picture.view;
    this.limits = extent(layers.depth, this.inverse.bind(this));
    this.reset();
  }

  get isMetres() { return this.picture.values === "metres"; }

  // Colours follow 1/Z, as disparity does.
  inverse(value) { return this.picture.inverse ? value : 1 / value; }

  reset() { this.setRange(this.picture.near, this.picture.far); }

  setRange(near, far) {
    this.near = near;
    this.far = far;
    this.paint();
  }

  // Where a value stands between the farthest (0) and the nearest (1) of the picture.
  shareOf(value) {
    const [low, high] = this.limits;
    return (this.inverse(value) - low) / (high - low || 1);
  }

  valueAt(share) {
    const [low, high] = this.limits;
    const inverse = low + share * (high - low);
    return this.picture.inverse ? inverse : 1 / inverse;
  }

  // From a value of the shown layer to 0..1.
  level() {
    if (this.layer === "confidence") return (value) => value;
    if (this.layer === "sigma") {
      const top = this.largestSigma();
      return (value) => value / top;
    }
    const low = this.inverse(this.far), high = this.inverse(this.near);
    return (value) => (this.inverse(value) - low) / (high - low || 1);
  }

  largestSigma() {
    const known = Array.from(this.layers.sigma).filter(Number.isFinite).sort((a, b) => a - b);
    return known[Math.floor(0.98 * (known.length - 1))] || 1;
  }

  paint() {
    const { width, height } = this.canvas;
    const pen = this.canvas.getContext("2d");
    const pixels = pen.createImageData(width, height);
    const values = this.layers[this.layer], trust = this.layers.confidence, level = this.level();
    for (let i = 0; i < values.length; i++) {
      pixels.data[4 * i + 3] = 255;
      if (!Number.isFinite(values[i]) || (trust && trust[i] < this.leastConfidence)) continue;
      const color = 3 * Math.max(0, Math.min(255, Math.round(255 * level(values[i]))));
      pixels.data[4 * i] = this.colors[color];
      pixels.data[4 * i + 1] = this.colors[color + 1];
      pixels.data[4 * i + 2] = this.colors[color + 2];
    }
    pen.putImageData(pixels, 0, 0);
    this.paintLegend();
  }

  paintLegend() {
    const pen = this.legend.getContext("2d");
    for (let i = 0; i < 256; i++) {
      pen.fillStyle = `rgb(${this.colors.slice(3 * i, 3 * i + 3).join(" ")})`;
      pen.fillRect(i, 0, 1, this.legend.height);
    }
    this.ticks.replaceChildren(...this.tickWords().map((words) => {
      const tick = document.createElement("span");
      tick.textContent = words;
      return tick;
    }));
  }

  tickWords() {
    const shares = [0, 0.25, 0.5, 0.75, 1];
    if (this.layer === "confidence") return shares.map((share) => share.toString());
    if (this.layer === "sigma") {
      return [0, 0.5, 1].map((share) => `\u00b1 ${shown(share * this.largestSigma())} m`);
    }
    if (!this.isMetres) return ["far (relative)", "near"];
    const low = this.inverse(this.far), high = this.inverse(this.near);
    return shares.map((share) => {
      const inverse = low + share * (high - low);
      return inverse > 1e-3 ? `${shown(1 / inverse)} m` : ">1 km";
    });
  }

  // The pixel of the shown picture under a point of the window, null beside it.
  pixelAt(clientX, clientY) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor((clientX - box.left) / box.width * this.canvas.width);
    const y = Math.floor((clientY - box.top) / box.height * this.canvas.height);
    const inside = x >= 0 && y >= 0 && x < this.canvas.width && y < this.canvas.height;
    return inside ? { x, y, u: x * this.picture.stride, v: y * this.picture.stride } : null;
  }

  words(pixel) {
    const index = pixel.y * this.canvas.width + pixel.x;
    const value = this.layers.depth[index];
    const parts = [`column ${pixel.u}, row ${pixel.v}:`];
    if (Number.isNaN(value)) parts.push("unknown");
    else if (!Number.isFinite(value)) parts.push(value > 0 ? "too far" : "too near");
    else if (this.isMetres) parts.push(`${shown(value)} m`);
    else parts.push(`relative ${this.picture.inverse ? "disparity" : "depth"} ${shown(value)} (no metres)`);
    const sigma = this.layers.sigma?.[index], confidence = this.layers.confidence?.[index];
    if (Number.isFinite(sigma)) parts.push(`\u00b1 ${shown(sigma)} m`);
    if (Number.isFinite(confidence)) parts.push(`, confidence ${confidence.toFixed(2)}`);
    return parts.join(" ").replace(" ,", ",");
  }
}

// Three digits, as measured values deserve.
export const shown = (value) => Number(value.toPrecision(3)).toString();

function extent(values, inverse) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    const each = inverse(value);
    if (!Number.isFinite(each)) continue;
    if (each < low) low = each;
    if (each > high) high = each;
  }
  return low < high ? [low, high] : [0, 1];
}
