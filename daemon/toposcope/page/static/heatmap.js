"use strict";
// The heat map: one canvas that draws a quarter of a million cells from one document. Rows are the first CPU of
// a pair, columns the second; both are in topology order, with gaps between domains.

const CELL_MAX = 60; // CSS pixels
const GAPS = [4, 2, 1]; // CSS pixels before a domain, by depth, as far as there is room

class Heatmap {
  constructor(canvas, { onRead, onZoom }) {
    this.canvas = canvas;
    this.onRead = onRead;
    this.onZoom = onZoom;
    this.data = null;
    this.zoom = null;
    this.cursor = null;
    canvas.addEventListener("pointermove", (event) => this.point(event));
    canvas.addEventListener("pointerleave", () => this.read(null));
    canvas.addEventListener("click", (event) => { this.point(event); this.zoomIn(); });
    canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => {
      if (canvas.parentElement.clientWidth !== this.drawnWidth) this.draw();
    }).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  show(data) {
    const same = this.data && this.data.cpus.length === data.cpus.length;
    this.data = data;
    if (!same || !this.zoom) this.zoom = this.whole();
    this.draw();
  }

  whole() {
    const end = this.data.cpus.length;
    return { rows: [0, end], columns: [0, end] };
  }

  // The value from CPU number `row` to CPU number `column` of the order, or null.
  value(row, column) {
    const { cells, cpus, symmetric } = this.data;
    const n = cpus.length;
    if (row === column) return null;
    if (!symmetric) return cells[row * n + column];
    const [low, high] = row < column ? [row, column] : [column, row];
    return cells[low * n - (low * (low + 1)) / 2 + high - low - 1];
  }

  step(value) {
    const { edges } = this.data;
    let low = 0, high = edges.length - 2;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (value >= edges[middle]) low = middle; else high = middle - 1;
    }
    return low;
  }

  relation(row, column) {
    let found = null, size = Infinity;
    for (const level of this.data.levels) {
      const group = level.group_of[row];
      if (group >= 0 && group === level.group_of[column] && level.sizes[group] <= size) {
        found = level.name;
        size = level.sizes[group];
      }
    }
    return (found || "cross_package").replaceAll("_", " ");
  }

  // Positions of the cells' left edges along one axis, and the size of a cell, in device pixels.
  axis([start, end], length, ratio) {
    const gap = new Array(end - start).fill(0);
    for (const domain of this.data.domains) {
      for (const border of [domain.start, domain.end]) {
        if (border > start && border < end && domain.depth < GAPS.length) {
          gap[border - start] = Math.max(gap[border - start], GAPS[domain.depth] * ratio);
        }
      }
    }
    let total = gap.reduce((sum, each) => sum + each, 0);
    if (total > length / 6) { gap.fill(0); total = 0; }
    const cell = (length - total) / (end - start);
    const edges = [];
    let at = 0;
    for (let index = 0; index < end - start; index += 1) {
      at += gap[index];
      edges.push(Math.round(at));
      at += cell;
    }
    return { edges, cell, start, end };
  }

  draw() {
    if (!this.data) return;
    const available = this.canvas.parentElement.clientWidth;
    if (available <= 0) return;
    this.drawnWidth = available;
    const ratio = window.devicePixelRatio || 1;
    const { rows, columns } = this.zoom;
    const wanted = Math.max(44 + CELL_MAX * (columns[1] - columns[0]), 150);
    const css = Math.min(available, 760, wanted);
    const tall = Math.min(1.4, Math.max(0.25, (rows[1] - rows[0]) / (columns[1] - columns[0])));
    this.canvas.style.width = `${css}px`;
    this.canvas.style.height = `${css * tall}px`;
    // The cells are painted once; what follows the pointer is drawn over a copy.
    this.base = document.createElement("canvas");
    this.base.width = this.canvas.width = Math.round(css * ratio);
    this.base.height = this.canvas.height = Math.round(css * tall * ratio);
    this.margin = Math.round(44 * ratio);
    this.x = this.axis(columns, this.base.width - this.margin, ratio);
    this.y = this.axis(rows, this.base.height - this.margin, ratio);
    const context = this.base.getContext("2d");
    const style = getComputedStyle(document.body);
    this.ink = style.getPropertyValue("--ink").trim();
    this.paint(context, style.getPropertyValue("--line").trim());
    if (Math.min(this.x.cell, this.y.cell) >= 30 * ratio) this.write(context, ratio);
    this.label(context, ratio, style.getPropertyValue("--soft").trim());
    this.mark();
  }

  stepAt(row, column) {
    const value = this.value(row, column);
    return value === null ? -1 : this.step(value);
  }

  // Neighbours of one colour are one rectangle: a large matrix has far fewer of these than cells.
  paint(context, absent) {
    const { colours } = this.data;
    const { x, y, margin } = this;
    const height = Math.ceil(y.cell), width = Math.ceil(x.cell);
    for (let row = y.start; row < y.end; row += 1) {
      const top = margin + y.edges[row - y.start];
      let left = 0, right = -1, drawn = -2;
      const flush = () => {
        if (drawn < -1) return;
        context.fillStyle = drawn < 0 ? absent : colours[drawn];
        context.fillRect(margin + left, top, right - left, height);
      };
      for (let column = x.start; column < x.end; column += 1) {
        const edge = x.edges[column - x.start];
        const step = row === column ? -2 : this.stepAt(row, column);
        if (step !== drawn || edge > right) {
          flush();
          [left, drawn] = [edge, step];
        }
        right = edge + width;
      }
      flush();
    }
  }

  write(context, ratio) {
    const { x, y, margin } = this;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.font = `${Math.round(11 * ratio)}px system-ui, sans-serif`;
    for (let row = y.start; row < y.end; row += 1) {
      for (let column = x.start; column < x.end; column += 1) {
        const step = row === column ? -1 : this.stepAt(row, column);
        if (step < 0) continue;
        context.fillStyle = step < this.data.light_text_steps ? "#ffffff" : "#000000";
        context.fillText(String(this.value(row, column)), margin + x.edges[column - x.start] + x.cell / 2,
          margin + y.edges[row - y.start] + y.cell / 2);
      }
    }
  }

  label(context, ratio, colour) {
    context.fillStyle = colour;
    context.font = `${Math.round(11 * ratio)}px system-ui, sans-serif`;
    for (const [axis, across] of [[this.x, true], [this.y, false]]) {
      const borders = new Set(this.data.domains.map((domain) => domain.start));
      let last = -Infinity;
      for (let index = axis.start; index < axis.end; index += 1) {
        const middle = axis.edges[index - axis.start] + axis.cell / 2;
        const room = (across ? 30 : 15) * ratio;
        const wanted = axis.cell >= room || borders.has(index) || index === axis.start;
        if (!wanted || middle - last < room) continue;
        last = middle;
        const text = String(this.data.cpus[index]);
        context.textAlign = across ? "center" : "right";
        context.textBaseline = "middle";
        if (across) context.fillText(text, this.margin + middle, this.margin - 12 * ratio);
        else context.fillText(text, this.margin - 8 * ratio, this.margin + middle);
      }
    }
  }

  mark() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.base, 0, 0);
    if (!this.cursor) return;
    const { row, column } = this.cursor;
    if (row < this.y.start || row >= this.y.end || column < this.x.start || column >= this.x.end) return;
    const ratio = window.devicePixelRatio || 1;
    context.strokeStyle = this.ink;
    context.lineWidth = 2 * ratio;
    const left = this.margin + this.x.edges[column - this.x.start];
    const top = this.margin + this.y.edges[row - this.y.start];
    const size = 4 * ratio;
    context.strokeRect(left - 1, top - 1, Math.max(this.x.cell, size) + 2, Math.max(this.y.cell, size) + 2);
  }

  at(axis, position) {
    for (let index = axis.edges.length - 1; index >= 0; index -= 1) {
      if (position >= axis.edges[index]) {
        return position <= axis.edges[index] + axis.cell + 1 ? axis.start + index : -1;
      }
    }
    return -1;
  }

  point(event) {
    if (!this.data) return;
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const column = this.at(this.x, x * scale - this.margin), row = this.at(this.y, y * scale - this.margin);
    this.read(row < 0 || column < 0 ? null : { row, column, x, y });
  }

  read(cursor) {
    const before = this.cursor;
    this.cursor = cursor;
    if (before?.row !== cursor?.row || before?.column !== cursor?.column) this.redraw();
    this.onRead(cursor && this.sentence(cursor.row, cursor.column), cursor);
  }

  redraw() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.mark(); });
  }

  sentence(row, column) {
    const [first, second] = [this.data.cpus[row], this.data.cpus[column]];
    if (row === column) return `CPU ${first}`;
    const value = this.value(row, column);
    const said = value === null ? "not measured" : `${value} ${this.data.unit}`;
    return `CPU ${first} → CPU ${second}: ${said}, ${this.relation(row, column)}`;
  }

  key(event) {
    if (!this.data) return;
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key in moves) {
      const [down, right] = moves[event.key];
      const { rows, columns } = this.zoom;
      const from = this.cursor || { row: rows[0], column: columns[0] - right };
      const row = Math.min(Math.max(from.row + down, rows[0]), rows[1] - 1);
      const column = Math.min(Math.max(from.column + right, columns[0]), columns[1] - 1);
      const x = (this.margin + this.x.edges[column - this.x.start]) * this.canvas.clientWidth / this.canvas.width;
      const y = (this.margin + this.y.edges[row - this.y.start]) * this.canvas.clientWidth / this.canvas.width;
      this.read({ row, column, x, y });
    } else if (event.key === "Enter") this.zoomIn();
    else if (event.key === "Escape") this.zoomOut();
    else return;
    event.preventDefault();
  }

  // The next smaller domain that holds a position, or the range as it is.
  inner([start, end], position) {
    const holds = this.data.domains.filter((domain) => domain.start <= position && position < domain.end
      && domain.end - domain.start < end - start);
    holds.sort((one, other) => (other.end - other.start) - (one.end - one.start));
    return holds.length ? [holds[0].start, holds[0].end] : [start, end];
  }

  zoomIn() {
    if (!this.cursor) return;
    const { rows, columns } = this.zoom;
    this.setZoom({ rows: this.inner(rows, this.cursor.row), columns: this.inner(columns, this.cursor.column) });
  }

  outer([start, end]) {
    const holds = this.data.domains.filter((domain) => domain.start <= start && domain.end >= end
      && domain.end - domain.start > end - start);
    holds.sort((one, other) => (one.end - one.start) - (other.end - other.start));
    return holds.length ? [holds[0].start, holds[0].end] : [0, this.data.cpus.length];
  }

  zoomOut() {
    if (this.data) this.setZoom({ rows: this.outer(this.zoom.rows), columns: this.outer(this.zoom.columns) });
  }

  setZoom(zoom) {
    this.zoom = zoom;
    this.draw();
    this.onZoom(zoom);
  }
}

// Wires one heat map to the page's controls; `load(probe, shown)` gives its document, or null where the
// one that is shown is still good.
function startHeatmap(load) {
  const find = (id) => document.getElementById(id);
  const tip = find("hm-tip"), readout = find("hm-readout");
  const map = new Heatmap(find("hm-canvas"), {
    onRead(sentence, cursor) {
      tip.hidden = !sentence;
      if (!sentence) return;
      readout.textContent = sentence;
      tip.textContent = sentence;
      const room = map.canvas.clientWidth - tip.offsetWidth;
      tip.style.left = `${Math.max(0, Math.min(cursor.x + 14, room))}px`;
      tip.style.top = `${cursor.y + 18}px`;
    },
    onZoom(zoom) {
      const same = zoom.rows[0] === zoom.columns[0] && zoom.rows[1] === zoom.columns[1];
      find("hm-zoom").value = same ? zoom.rows.join("-") : "";
      const n = map.data.cpus.length;
      find("hm-out").disabled = zoom.rows[1] - zoom.rows[0] === n && zoom.columns[1] - zoom.columns[0] === n;
    },
  });
  find("hm-zoom").addEventListener("change", (event) => {
    const range = event.target.value.split("-").map(Number);
    map.setZoom({ rows: range, columns: range });
  });
  find("hm-out").addEventListener("click", () => map.zoomOut());
  find("hm-probe").addEventListener("change", () => refresh());

  async function refresh() {
    const probe = find("hm-probe").value || "cacheline_cas";
    const data = await load(probe, map.data?.probe === probe);
    if (!data) return;
    const empty = !data.edges.length;
    find("heatmap").hidden = empty;
    find("hm-empty").hidden = !empty;
    if (empty) {
      find("hm-empty").textContent = whyEmpty(data);
      return;
    }
    find("hm-unstable").textContent = data.unstable
      ? `${data.unstable} unstable results have no one value and stay empty.` : "";
    options(find("hm-probe"), data.probes.map((name) => [name, name.replaceAll("_", " ")]), data.probe);
    const whole = `0-${data.cpus.length}`;
    const domains = data.domains.map((d) => [`${d.start}-${d.end}`, `${"  ".repeat(d.depth)}${d.label}`]);
    const chosen = map.zoom ? map.zoom.rows.join("-") : whole;
    options(find("hm-zoom"), [[whole, "the whole machine"], ...domains], chosen);
    find("hm-csv").href = `/api/v1/matrix/${data.probe}?format=csv`;
    find("hm-json").href = `/api/v1/matrix/${data.probe}`;
    const what = data.unit === "ns" ? "Latency between CPUs" : "Between CPUs";
    find("heatmap-h").textContent = `${what}: ${data.operation}, ${data.measured_in}`;
    legend(find("hm-legend"), data);
    map.show(data);
    map.onZoom(map.zoom);
  }
  return { refresh, map };
}

function whyEmpty({ cpus, unstable }) {
  if (cpus.length < 2) return "One CPU: there is no pair to measure.";
  if (unstable) return "No heat map: the latency between CPUs does not stay the same, so no pair has one value.";
  return "No latency between CPUs has been measured yet.";
}

function options(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => new Option(text, value, false, value === chosen)));
}

function legend(holder, { edges, colours, unit }) {
  const step = 40, height = 34;
  const node = (name, attributes, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };
  const width = step * colours.length + 60;
  const picture = node("svg", { class: "pic", width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Colours from ${edges[0]} ${unit} (dark) to ${edges.at(-1)} ${unit} (bright), logarithmic` });
  colours.forEach((fill, index) => {
    picture.append(node("rect", { x: 24 + step * index, y: 2, width: step, height: 12, fill }));
  });
  edges.forEach((edge, index) => {
    if (index % 2) return;
    const text = edge >= 100 ? Math.round(edge) : Number(edge.toPrecision(3));
    picture.append(node("text", { x: 24 + step * index, y: 28, class: "soft mid" }, String(text)));
  });
  picture.append(node("text", { x: width - 30, y: 12, class: "soft" }, unit));
  holder.replaceChildren(picture);
}
