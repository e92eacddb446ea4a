// The plane of numbers, to explore: fields, picture and table stand in the page together, so that none lags behind another.
// From Python come the kinds of the numbers (prime or not, ...) and their colours, a byte for each; where a number lies is
// computed here, by the same formulas as in cllm_lib/lattice/spirals.py, and a test compares the two.

const PICTURE = 448; // pixels of the page, at most
const NARROWEST = 8; // units, the smallest window
const NEIGHBOURS = 4;
const DIGIT = 6.8; // pixels; every number is written where there is room
const POINT = { Sacks: 0.45, Vogel: 0.8 }; // radius of a point of the round curves, in units
const DOTS = 100; // width of the window up to which they are drawn one by one
const MARK = "#D55E00";
const SETTLED = 150; // milliseconds after the last movement of the mouse
const GOLDEN_ANGLE = Math.PI * (3 - Math.sqrt(5));

// Where a number lies

function ulam(n) {
  const m = n - 1;
  const r = Math.round(Math.sqrt(m));
  const d = m - r * r;
  const sign = r % 2 ? 1 : -1;
  return [sign * (Math.ceil(r / 2) + Math.min(d, 0)), sign * (Math.max(d, 0) - Math.floor(r / 2))];
}

function hilbert(n, limit) {
  let [rest, x, y] = [n - 1, 0, 0];
  let levels = Math.ceil(Math.log2(Math.max(limit, 2)) / 2);
  levels += levels % 2; // an even number of sizes: then all of them agree
  for (let size = 1, level = 0; level < levels; size *= 2, level += 1) {
    const [right, up] = [(rest >> 1) & 1, ((rest >> 1) ^ rest) & 1];
    if (!up) {
      const mirror = right ? size - 1 : 0;
      [x, y] = [y ^ mirror, x ^ mirror];
    }
    x += size * right;
    y += size * up;
    rest >>= 2;
  }
  return [x, y];
}

function morton(n) {
  let [x, y] = [0, 0];
  for (let rest = n - 1, bit = 1; rest; rest >>= 2, bit *= 2) {
    x += bit * (rest & 1);
    y += bit * ((rest >> 1) & 1);
  }
  return [x, y];
}

function rows(n, limit) {
  const width = Math.ceil(Math.sqrt(limit));
  return [(n - 1) % width, Math.floor((n - 1) / width)];
}

const round = (radius, angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];

export const CURVES = {
  Ulam: ulam,
  Sacks: (n) => round(Math.sqrt(n), 2 * Math.PI * (Math.sqrt(n) % 1)),
  Vogel: (n) => round(Math.sqrt(n), n * GOLDEN_ANGLE),
  Hilbert: hilbert,
  Morton: morton,
  "row-major": rows,
};

/** The places of 1, 2, ..., limit, and the cells of the plane that they need. */
export function places(curve, limit) {
  const [x, y] = [new Float64Array(limit), new Float64Array(limit)];
  const box = { left: 0, bottom: 0, right: 0, top: 0 };
  for (let i = 0; i < limit; i += 1) {
    [x[i], y[i]] = CURVES[curve](i + 1, limit);
    box.left = Math.min(box.left, x[i]);
    box.right = Math.max(box.right, x[i]);
    box.bottom = Math.min(box.bottom, y[i]);
    box.top = Math.max(box.top, y[i]);
  }
  if (limit === 1) [box.left, box.right, box.bottom, box.top] = [x[0], x[0], y[0], y[0]];
  const [left, bottom] = [Math.round(box.left), Math.round(box.bottom)];
  return { curve, x, y, left, bottom, width: Math.round(box.right) - left + 1, height: Math.round(box.top) - bottom + 1 };
}

/** The window that shows everything: left, bottom, width; it begins and ends between two cells. */
export function whole(plane) {
  const side = Math.max(plane.width, plane.height, NARROWEST);
  const middle = (low, extent) => low - 0.5 - Math.floor((side - extent) / 2);
  return [middle(plane.left, plane.width), middle(plane.bottom, plane.height), side];
}

/** The numbers nearest to a place, nearest first, of two equally near ones the smaller. */
export function nearest({ x, y }, px, py, count) {
  const found = [];
  for (let i = 0; i < x.length; i += 1) {
    const square = (x[i] - px) ** 2 + (y[i] - py) ** 2;
    if (found.length === count && square >= found[count - 1][0]) continue;
    let at = found.length;
    while (at > 0 && found[at - 1][0] > square) at -= 1;
    found.splice(at, 0, [square, i + 1]);
    if (found.length > count) found.pop();
  }
  return found.map(([, n]) => n);
}

/** The numbers nearest to n; on a grid those that share a side with its cell. */
export function neighbours(plane, n) {
  const { x, y } = plane;
  const near = nearest(plane, x[n - 1], y[n - 1], NEIGHBOURS + 1).filter((m) => m !== n).slice(0, NEIGHBOURS);
  if (plane.curve in POINT) return near;
  return near.filter((m) => Math.abs(x[m - 1] - x[n - 1]) + Math.abs(y[m - 1] - y[n - 1]) === 1);
}

/** In which row of memory a number lies if the plane is stored row by row of its cells, from the lowest. */
export function rowOrder({ x, y, left, bottom, width }, n) {
  return (Math.round(y[n - 1]) - bottom) * width + Math.round(x[n - 1]) - left;
}

/** n as a product of primes, in words where it is none. */
export function factors(n) {
  const found = [];
  let rest = n;
  for (let p = 2; p * p <= rest; p += 1) {
    let power = 0;
    for (; rest % p === 0; rest /= p) power += 1;
    if (power) found.push([p, power]);
  }
  if (rest > 1) found.push([rest, 1]);
  if (n === 1) return "none";
  if (found.length === 1 && found[0][1] === 1) return "prime";
  return found.map(([p, power]) => number(p) + (power > 1 ? `<sup>${power}</sup>` : "")).join(" × ");
}

/** What was typed, as a whole number within limits, or one sentence. */
export function read(text, bad, least, most, name) {
  const value = Number(text);
  if (bad || text.trim() === "" || !Number.isInteger(value) || value < least || value > most) {
    const shown = bad || text.trim() === "" ? "no number" : text.trim().slice(0, 20);
    return { problem: `${name} is ${shown}: give a whole number from ${number(least)} to ${number(most)}` };
  }
  return { value };
}

const number = (n) => n.toLocaleString("en-US");
const signed = (n) => (n > 0 ? "+" : "−") + number(Math.abs(n));

// What is drawn

/** The whole plane as pictures, a pixel for each cell, and the same with half as many pixels each way, again and again. */
function levelsOf(plane, kinds, colours) {
  const { x, y, left, bottom, width, height } = plane;
  const pixels = new Uint8ClampedArray(4 * width * height);
  const sharing = new Uint8Array(width * height);
  for (let i = 0; i < x.length; i += 1) {
    const cell = (height - 1 - Math.round(y[i]) + bottom) * width + Math.round(x[i]) - left;
    const colour = colours[kinds[i]];
    sharing[cell] += 1;
    for (let c = 0; c < 3; c += 1) pixels[4 * cell + c] += (colour[c] - pixels[4 * cell + c]) / sharing[cell];
    pixels[4 * cell + 3] = 255;
  }
  const levels = [new OffscreenCanvas(width, height)];
  levels[0].getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  while (Math.max(levels.at(-1).width, levels.at(-1).height) > PICTURE) {
    const finer = levels.at(-1);
    const coarser = new OffscreenCanvas(Math.ceil(finer.width / 2), Math.ceil(finer.height / 2));
    coarser.getContext("2d").drawImage(finer, 0, 0, finer.width / 2, finer.height / 2);
    levels.push(coarser);
  }
  return levels;
}

/** Draw a window: cells, or points one by one; numbers where there is room; the chosen one ringed, its neighbours thinly. */
function draw(canvas, state) {
  const { plane, kinds, colours, levels, window: [left, bottom, width], chosen, near } = state;
  const side = canvas.clientWidth || PICTURE;
  const ratio = globalThis.devicePixelRatio || 1;
  if (canvas.width !== Math.round(side * ratio)) canvas.width = canvas.height = Math.round(side * ratio);
  const context = canvas.getContext("2d");
  const unit = side / width;
  const at = (x, y) => [(x - left) * unit, (bottom + width - y) * unit];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = "white";
  context.fillRect(0, 0, side, side);
  const single = plane.curve in POINT && width <= DOTS;
  const inside = single || unit > DIGIT ? insideOf(plane, state.window) : [];
  if (single) {
    for (const i of inside) {
      context.fillStyle = `rgb(${colours[kinds[i]]})`;
      context.beginPath();
      context.arc(...at(plane.x[i], plane.y[i]), POINT[plane.curve] * unit, 0, 2 * Math.PI);
      context.fill();
    }
  } else {
    let level = 0;
    while (level < levels.length - 1 && width / 2 ** level > side * ratio) level += 1;
    const [x, y] = at(plane.left - 0.5, plane.bottom - 0.5 + plane.height);
    const scale = unit * 2 ** level; // of a pixel of that picture
    context.imageSmoothingEnabled = level > 0;
    context.drawImage(levels[level], x, y, levels[level].width * scale, levels[level].height * scale);
  }
  context.font = "11px sans-serif";
  context.textAlign = "center";
  for (const i of inside) {
    if (String(i + 1).length * DIGIT > unit) continue;
    const [red, green, blue] = colours[kinds[i]];
    context.fillStyle = 0.3 * red + 0.59 * green + 0.11 * blue > 115 ? "black" : "white";
    const [x, y] = at(plane.x[i], plane.y[i]);
    context.fillText(i + 1, x, y + 4);
  }
  const ring = (n, radius, thick) => {
    for (const [style, line] of [["white", 2 * thick], [MARK, thick]]) {
      [context.strokeStyle, context.lineWidth] = [style, line];
      context.beginPath();
      context.arc(...at(plane.x[n - 1], plane.y[n - 1]), radius, 0, 2 * Math.PI);
      context.stroke();
    }
  };
  if (unit > 10) for (const n of near) ring(n, 0.46 * unit, 1);
  ring(chosen, Math.max(5, 0.56 * unit), 2.5);
}

/** Positions of the numbers in a window. */
function insideOf({ x, y }, [left, bottom, width]) {
  const found = [];
  for (let i = 0; i < x.length; i += 1) {
    if (x[i] >= left && x[i] < left + width && y[i] >= bottom && y[i] < bottom + width) found.push(i);
  }
  return found;
}

/** What a window shows, in words and numbers, and how many of each kind. */
export function description({ plane, kinds, labels, name, window: [left, bottom, width] }) {
  const { x, y } = plane;
  const counts = new Array(labels.length).fill(0);
  let inside = 0;
  for (let i = 0; i < x.length; i += 1) {
    if (x[i] < left || x[i] >= left + width || y[i] < bottom || y[i] >= bottom + width) continue;
    counts[kinds[i]] += 1;
    inside += 1;
  }
  const counted = labels.map((label, k) => [label, counts[k]]).filter(([, count]) => count);
  const edges = (low) => `${Math.ceil(low)} to ${Math.ceil(low + width) - 1}`;
  const words =
    `${plane.curve}, 1 to ${number(plane.x.length)}, coloured by ${name}. In view: x from ${edges(left)}, y from ${edges(bottom)}, ` +
    `${number(inside)} numbers: ${counted.map(([label, count]) => `${label}: ${number(count)}`).join("; ") || "no number"}.`;
  return { words, counts };
}

/** Two strips of memory around a number: the plane stored along the curve, and row by row; where its neighbours lie in each. */
export function strips(plane, n, near) {
  const orders = { "along the curve": (m) => m - n, "row by row": (m) => rowOrder(plane, m) - rowOrder(plane, n) };
  const [width, height, middle] = [448, 112, 224];
  const reach = Math.log10(1 + plane.x.length);
  const place = (apart) => middle + Math.sign(apart) * (Math.log10(1 + Math.abs(apart)) / reach) * 0.42 * width;
  const said = [];
  let drawn = "";
  Object.entries(orders).forEach(([order, apartness], strip) => {
    const line = height * strip + 62;
    const marks = near.map((m) => ({ m, apart: apartness(m) })).sort((a, b) => a.apart - b.apart);
    said.push(`${order} ${marks.map(({ m, apart }) => `${number(m)} at ${apart ? signed(apart) : "0"}`).join(", ") || "no neighbour"}`);
    drawn += `<text x="4" y="${line - 48}">in memory ${order}</text><path d="M8,${line} H${width - 8}" stroke="currentColor"/>`;
    const lines = [-10, 18, -23, 31, -36]; // of writing, from the strip: as many as there can be marks, so that none lies on another
    const ends = lines.map(() => -Infinity);
    for (const { m, apart } of [...marks, { m: n, apart: 0 }].sort((a, b) => a.apart - b.apart)) {
      const [x, words] = [place(apart), m === n ? number(n) : `${number(m)} (${apart ? signed(apart) : "0"})`];
      const half = 3.5 * words.length + 3;
      const free = ends.findIndex((end) => end < x - half);
      ends[free] = x + half;
      const look = m === n ? `r="6" fill="${MARK}"` : 'r="4.5" fill="currentColor"';
      drawn += `<circle cx="${x.toFixed(1)}" cy="${line}" ${look}/>`;
      drawn += `<text x="${x.toFixed(1)}" y="${line + lines[free]}" text-anchor="middle">${words}</text>`;
    }
  });
  const label = `Where they lie in memory, in rows from ${number(n)}: ${said.join("; ")}`;
  return (
    `<svg role="img" aria-label="${label}" viewBox="0 0 ${width} ${2 * height}" width="${width}" ` +
    `style="max-width:100%; height:auto; font-size:12px" fill="currentColor">${drawn}</svg>`
  );
}

/** The number and its neighbours: where each is, its prime factors, and how many rows of memory lie between, in both orders. */
export function table(plane, n, near) {
  const heads = ["number", "place", "factors", "by curve", "by row"];
  const digits = plane.curve in POINT ? 2 : 0;
  const lines = [n, ...near].map((m) => {
    const place = `(${plane.x[m - 1].toFixed(digits)}, ${plane.y[m - 1].toFixed(digits)})`;
    const apart = m === n ? ["chosen", "chosen"] : [Math.abs(m - n), Math.abs(rowOrder(plane, m) - rowOrder(plane, n))].map(number);
    return `<tr><th scope="row">${number(m)}</th><td>${place}</td><td>${factors(m)}</td><td>${apart[0]}</td><td>${apart[1]}</td></tr>`;
  });
  const head = heads.map((words) => `<th scope="col">${words}</th>`).join("");
  return `<table><caption>${number(n)} and its neighbours on the plane, and how many rows apart they lie in memory</caption><tr>${head}</tr>${lines.join("")}</table>`;
}

// The panel

const BUTTONS = {
  "zoom in": "halve the window, around its middle",
  "zoom out": "double the window, around its middle",
  left: "move the window by a quarter to the left",
  right: "move the window by a quarter to the right",
  up: "move the window up by a quarter",
  down: "move the window down by a quarter",
  "to the number": "move the window so that the number is in its middle",
  all: "show all numbers",
};

let panels = 0; // so far in the page: each has a name for its line of complaints

function page(limit) {
  const problem = `cllm-problem-${(panels += 1)}`;
  const button = (name, tip) => `<button type="button" class="jupyter-button widget-button" title="${tip}">${name}</button>`;
  const field = (name) => `<label>${name} <input type="number" step="1" name="${name}" aria-describedby="${problem}"></label>`;
  return `
    <div class="row">${field("number")}<span>whole numbers from 1 to ${number(limit)}</span></div>
    <div class="row">${field("x")}${field("y")}${button("find", "choose the number nearest to x and y")}</div>
    <div class="problem" id="${problem}" role="alert"></div>
    <div class="row">${Object.entries(BUTTONS).map(([name, tip]) => button(name, tip)).join("")}</div>
    <p role="status"></p>
    <div class="row"><canvas role="img"></canvas><div class="beside"><div class="table"></div><div class="memory"></div></div></div>
    <p class="hint">With the mouse: a click chooses a number, the wheel zooms, dragging moves.</p>`;
}

class Explorer {
  constructor(model, root) {
    this.model = model;
    this.limit = model.get("limit");
    root.innerHTML = page(this.limit);
    root.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the keys for itself
    this.fields = Object.fromEntries([...root.querySelectorAll("input")].map((input) => [input.name, input]));
    [this.problem, this.status, this.canvas] = [".problem", "[role=status]", "canvas"].map((name) => root.querySelector(name));
    [this.table, this.memory] = [".table", ".memory"].map((name) => root.querySelector(name));
    this.state = { chosen: model.get("number"), near: [] };
    this.listen(root);
    this.renewPlane();
  }

  listen(root) {
    const { number: chosen, x, y } = this.fields;
    chosen.addEventListener("input", () => this.typed());
    for (const field of [x, y]) field.addEventListener("keydown", (event) => event.key === "Enter" && this.find());
    const actions = {
      find: () => this.find(),
      "zoom in": () => this.zoom(0.5),
      "zoom out": () => this.zoom(2),
      left: () => this.pan(-1, 0),
      right: () => this.pan(1, 0),
      up: () => this.pan(0, 1),
      down: () => this.pan(0, -1),
      "to the number": () => this.lookAt(...this.placeOf(this.state.chosen)),
      all: () => this.look(whole(this.state.plane)),
    };
    for (const button of root.querySelectorAll("button")) button.addEventListener("click", actions[button.textContent]);
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.resized = new ResizeObserver(() => this.redraw());
    this.resized.observe(this.canvas);
  }

  // What is chosen

  /** Another curve: other places; and all of it in view. */
  renewPlane() {
    this.state.plane = places(this.model.get("curve"), this.limit);
    this.state.window = whole(this.state.plane);
    this.renewColours();
  }

  renewColours() {
    const bytes = this.model.get("kinds");
    const { labels, colours, name } = this.model.get("colouring");
    Object.assign(this.state, { kinds: new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), labels, colours, name });
    this.state.levels = levelsOf(this.state.plane, this.state.kinds, colours);
    this.choose(this.state.chosen);
  }

  /** A number, wherever it came from: fields, picture, table and memory show it at once, all together. */
  choose(n, from = null) {
    const { state, fields } = this;
    [state.chosen, state.near] = [n, neighbours(state.plane, n)];
    const [x, y] = this.placeOf(n);
    for (const [name, value] of Object.entries({ number: n, x: Math.round(x), y: Math.round(y) })) {
      if (fields[name] !== from) fields[name].value = value + 0; // no minus before a zero
    }
    this.complain();
    this.table.innerHTML = table(state.plane, n, state.near);
    this.memory.innerHTML = strips(state.plane, n, state.near);
    const [left, bottom, width] = state.window;
    if (x >= left && x < left + width && y >= bottom && y < bottom + width) this.look(state.window);
    else this.lookAt(x, y);
    this.model.set("number", n);
    this.model.save_changes();
  }

  typed() {
    const field = this.fields.number;
    const { value, problem } = read(field.value, field.validity.badInput, 1, this.limit, "number");
    if (problem) this.complain(field, `${problem}. Chosen is still ${number(this.state.chosen)}.`);
    else this.choose(value, field);
  }

  find() {
    const place = [];
    for (const field of [this.fields.x, this.fields.y]) {
      const { value, problem } = read(field.value, field.validity.badInput, -this.limit, this.limit, field.name);
      if (problem) return this.complain(field, `${problem}.`);
      place.push(value);
    }
    return this.choose(nearest(this.state.plane, ...place, 1)[0]);
  }

  complain(field = null, words = "") {
    for (const each of Object.values(this.fields)) each.setAttribute("aria-invalid", each === field);
    this.problem.textContent = words;
  }

  placeOf(n) {
    return [this.state.plane.x[n - 1], this.state.plane.y[n - 1]];
  }

  // Where one looks

  look(window) {
    this.state.window = window;
    this.redraw();
    this.describe();
  }

  /** A window with that place in its middle, as near as it can begin between two cells. */
  lookAt(x, y, width = this.state.window[2]) {
    const all = whole(this.state.plane);
    const [left, bottom, side] = all;
    if (width >= side) return this.look(all);
    const begin = (middle, low) => Math.floor(Math.min(Math.max(middle, low), low + side) - width / 2) + 0.5;
    return this.look([begin(x, left), begin(y, bottom), width]);
  }

  zoom(factor) {
    const [left, bottom, width] = this.state.window;
    const most = whole(this.state.plane)[2];
    this.lookAt(left + width / 2, bottom + width / 2, Math.min(Math.max(Math.round(width * factor), NARROWEST), most));
  }

  pan(right, up) {
    const [left, bottom, width] = this.state.window;
    this.lookAt(left + width / 2 + (right * width) / 4, bottom + width / 2 + (up * width) / 4);
  }

  /** Zoom around the pointer; at either end the page scrolls as elsewhere. */
  wheel(event) {
    const [left, bottom, width] = this.state.window;
    const lines = event.deltaMode === 0 ? event.deltaY / 300 : event.deltaY / 8;
    const wider = Math.min(Math.max(width * 2 ** lines, NARROWEST), whole(this.state.plane)[2]);
    if (wider === width) return;
    event.preventDefault();
    const [x, y] = this.under(event);
    const share = wider / width;
    this.glide([x - (x - left) * share, y - (y - bottom) * share, wider]);
  }

  /** Drag the plane, or, if the pointer hardly moved, choose what lies under it. */
  press(event) {
    if (event.button !== 0) return;
    const { canvas } = this;
    const [begun, begin] = [this.state.window, [event.clientX, event.clientY]];
    let dragged = false;
    const move = ({ clientX, clientY }) => {
      const [right, down] = [clientX - begin[0], clientY - begin[1]];
      dragged ||= Math.hypot(right, down) > 4;
      const unit = canvas.clientWidth / begun[2];
      if (dragged) this.glide([begun[0] - right / unit, begun[1] + down / unit, begun[2]]);
    };
    const release = (last) => {
      canvas.removeEventListener("pointermove", move);
      canvas.removeEventListener("pointerup", release);
      canvas.removeEventListener("pointercancel", release);
      if (!dragged && last.type === "pointerup") this.pick(last);
    };
    canvas.setPointerCapture(event.pointerId);
    canvas.addEventListener("pointermove", move);
    canvas.addEventListener("pointerup", release);
    canvas.addEventListener("pointercancel", release);
  }

  pick(event) {
    const [x, y] = this.under(event);
    const [n] = nearest(this.state.plane, x, y, 1);
    const [nx, ny] = this.placeOf(n);
    if (Math.max(Math.abs(x - nx), Math.abs(y - ny)) <= Math.max(this.state.plane.curve in POINT ? 1.5 : 0.5, 4 / this.unit())) {
      this.choose(n);
    }
  }

  /** The place of the plane under the pointer. */
  under(event) {
    const [left, bottom, width] = this.state.window;
    const box = this.canvas.getBoundingClientRect();
    return [left + (event.clientX - box.left) / this.unit(), bottom + width - (event.clientY - box.top) / this.unit()];
  }

  unit() {
    return this.canvas.clientWidth / this.state.window[2];
  }

  /** A window on the way: drawn at once, put into words when the mouse rests. Its middle stays where there may be numbers. */
  glide([left, bottom, width]) {
    const [low, floor, side] = whole(this.state.plane);
    const held = (begin, least) => Math.min(Math.max(begin, least - width / 2), least + side - width / 2);
    this.state.window = width >= side ? [low, floor, side] : [held(left, low), held(bottom, floor), width];
    this.redraw();
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.describe(), SETTLED);
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      draw(this.canvas, this.state);
    });
  }

  describe() {
    const { words, counts } = description(this.state);
    const patches = this.state.labels.map((label, k) =>
      counts[k] ? `<span class="patch"><i style="background:rgb(${this.state.colours[k]})"></i> ${label}</span>` : "",
    );
    this.status.innerHTML = `<span aria-hidden="true">${patches.join(" ")}<br></span>`; // the words have the same names, with numbers
    this.status.append(words);
    const { chosen, plane, window: [left, bottom, width] } = this.state;
    const [x, y] = this.placeOf(chosen);
    const digits = plane.curve in POINT ? 2 : 0;
    const seen = x >= left && x < left + width && y >= bottom && y < bottom + width;
    const place = `${number(chosen)} at (${x.toFixed(digits)}, ${y.toFixed(digits)}), ${seen ? "framed" : "not in view"}`;
    this.canvas.setAttribute("aria-label", `Numbers on the plane: ${words} Chosen: ${place}.`);
  }
}

function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "cllm-explorer";
  el.append(root);
  const explorer = new Explorer(model, root);
  const heard = {
    "change:curve": () => explorer.renewPlane(),
    "change:kinds": () => explorer.renewColours(),
    "change:number": () => model.get("number") !== explorer.state.chosen && explorer.choose(model.get("number")),
  };
  for (const [name, action] of Object.entries(heard)) model.on(name, action);
  return () => {
    for (const [name, action] of Object.entries(heard)) model.off(name, action);
    explorer.resized.disconnect();
    clearTimeout(explorer.resting);
  };
}

export default { render };
