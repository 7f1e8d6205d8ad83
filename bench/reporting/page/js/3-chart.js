// Charts: a panel per SDE, a series per setting, as inline SVG. Markers of a series are one path: a run is
// found by the distance to its point.
const DASHES = ["", "6 4", "2 3", "8 3 2 3"];
const MOST_BANDS = 10, MOST_SERIES = 32;
const COSTS = {
  nfe: { label: "network calls per sample (NFE)", front: "front_nfe" },
  seconds_per_sample: { label: "seconds per sample", front: "front_seconds_per_sample" },
  pace: { label: "samples per second", front: "front_seconds_per_sample" },
};

// circle, square, triangle, diamond
function marker(shape, x, y, r) {
  switch (shape) {
    case 0: return `M${x - r},${y}a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0z`;
    case 1: return `M${x - r},${y - r}h${2 * r}v${2 * r}h${-2 * r}z`;
    case 2: return `M${x},${y - r * 1.3}L${x + r * 1.2},${y + r}H${x - r * 1.2}z`;
    default: return `M${x},${y - r * 1.4}L${x + r * 1.4},${y}L${x},${y + r * 1.4}L${x - r * 1.4},${y}z`;
  }
}
const star = (x, y, r) => "M" + Array.from({ length: 10 }, (_, i) => {
  const a = Math.PI * (i / 5 - 0.5), size = i % 2 ? r * 0.42 : r;
  return `${(x + size * Math.cos(a)).toFixed(1)},${(y + size * Math.sin(a)).toFixed(1)}`;
}).join("L") + "z";
const cross = (x, y, r) => `M${x - r},${y - r}l${2 * r},${2 * r}M${x - r},${y + r}l${2 * r},${-2 * r}`;
const plus = (x, y, r) => `M${x - r},${y}h${2 * r}M${x},${y - r}v${2 * r}`;

// colors by the name before the dot or comma, shapes by what follows; where nothing follows both by the name
function styles(names) {
  const split = (name) => { const at = name.search(/ · |, /); return at < 0 ? [name, ""] : [name.slice(0, at), name.slice(at)]; };
  const heads = [...new Set(names.map((name) => split(name)[0]))], tails = [...new Set(names.map((name) => split(name)[1]))];
  const crossed = tails.length > 1 && tails.length <= 16 && heads.length <= 8;
  return new Map(names.map((name, number) => {
    const [head, tail] = split(name), i = crossed ? heads.indexOf(head) : number, j = crossed ? tails.indexOf(tail) : Math.floor(number / 8);
    return [name, { color: `var(--c${i % 8})`, dash: DASHES[j % 4], shape: (crossed ? j + Math.floor(j / 4) : i + j) % 4 }];
  }));
}

// The width of all charts. It is read while the sections are not laid out, which would take longer than to draw them.
let room = roomOf(byId("content"));
new ResizeObserver(([{ contentRect: { width } }]) => {
  if (Math.abs(width - room) <= 4) return;
  room = width;
  plots.forEach((plot) => plot.draw());
}).observe(byId("content"));

function roomOf(content) {
  content.style.contentVisibility = "hidden";
  const { paddingLeft, paddingRight } = getComputedStyle(content), wide = content.clientWidth;
  content.style.contentVisibility = "";
  return wide - parseFloat(paddingLeft) - parseFloat(paddingRight);
}

class Plot {
  constructor(table) {
    this.table = table;
    this.cost = table.x && table.x !== "nfe" ? "x" : "nfe";
    this.mode = table.axis === "linear" ? "linear" : table.positive ? "log" : "symlog";
    const names = [...new Set(table.cells.map((cell) => cell.series))];
    this.styles = styles(names);
    this.off = new Set();
    if (names.length > MOST_SERIES) {
      const best = new Map();
      for (const cell of table.cells) {
        if (known(cell.value)) best.set(cell.series, Math.min(best.get(cell.series) ?? Infinity, table.lower ? cell.value : -cell.value));
      }
      names.sort((a, b) => (best.get(a) ?? Infinity) - (best.get(b) ?? Infinity));
      this.off = new Set(names.slice(MOST_SERIES));
    }
    this.controls();
  }

  controls() {
    const { table } = this, host = table.section.querySelector(".plot");
    const costs = Object.entries(COSTS).map(([name, { label }]) => [name, { nfe: "NFE", seconds_per_sample: "seconds", pace: "samples/s" }[name] || label]);
    if (table.x && table.x !== "nfe") costs.unshift(["x", table.x]);
    const modes = [[this.mode, { log: "log", symlog: "around zero", linear: "linear" }[this.mode]]];
    if (this.mode !== "log") modes.push(["log", "plain log"]);
    if (this.mode !== "linear") modes.push(["linear", "linear"]);
    this.panels = el("div", { class: "panels" });
    this.legend = el("div", { class: "legend", role: "group", "aria-label": "Series of the chart" });
    this.caption = el("p", { class: "quiet" });
    this.rows = el("div");
    this.details = el("details", { ontoggle: () => this.details.open && this.drawRows() },
      el("summary", {}, "Data of this plot"), this.rows);
    host.append(
      el("div", { class: "row" },
        choice("Cost", costs, this.cost, (value) => { this.cost = value; this.draw(); }),
        choice("Values", modes, this.mode, (value) => { this.mode = value; this.draw(); })),
      this.panels, this.legend, this.caption, this.details);
  }

  x(cell) { return this.cost === "x" ? cell.x : cell[this.cost]; }

  shown() { return this.table.cells.filter((cell) => cell.visible && !this.off.has(cell.series) && known(cell.value) && known(this.x(cell))); }

  draw() {
    const cells = this.shown(), { table } = this;
    const band = new Set(cells.map((cell) => cell.series)).size <= MOST_BANDS;
    const onCalls = this.cost === "nfe" || this.cost === "x";
    const ys = [], xs = [];
    for (const cell of cells) {
      xs.push(this.x(cell));
      ys.push(cell.value);
      const spread = band ? spreadOf(cell) : null;
      if (known(spread) && this.mode !== "log") ys.push(cell.value - spread, cell.value + spread);
      for (const one of [cell.exact, cell.limit]) if (known(one)) ys.push(one);
      if (onCalls) for (const [value] of cell.published) ys.push(value);
    }
    if (this.mode === "symlog" && cells.length) ys.push(0);
    const y = scale(this.mode, ys, table.linear);
    const x = scale(xs.every((v) => v > 0) ? "log" : "linear", xs, 1);
    const sdes = [...new Set(table.cells.map((cell) => cell.sde))].filter((sde) => cells.some((cell) => cell.sde === sde));
    const across = Math.max(1, Math.min(sdes.length, Math.floor(room / 370)));
    this.width = Math.round(Math.max(300, Math.min(860, (room - 12 * (across - 1)) / across - 1)));
    this.panels.replaceChildren(...sdes.map((sde) => this.panel(sde, cells.filter((cell) => cell.sde === sde), x, y, band, onCalls)));
    if (!cells.length) this.panels.append(el("p", {}, "No value is left to draw: the filters, or the legend, hide all."));
    this.drawLegend();
    this.describe(cells, band, onCalls);
    if (this.details.open) this.drawRows();
  }

  panel(sde, cells, x, y, band, onCalls) {
    const { table } = this, W = this.width, H = Math.round(Math.max(270, Math.min(430, W * 0.62))), L = 66, R = 12, T = 10, B = 44;
    const X = (v) => Math.round((L + x.place(v) * (W - L - R)) * 10) / 10;
    const Y = (v) => Math.round((H - B - y.place(v) * (H - T - B)) * 10) / 10;
    const label = this.cost === "x" ? table.x : COSTS[this.cost].label;
    const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, tabindex: 0, role: "application", "aria-roledescription": "chart",
      "aria-label": `${table.metric} against ${label}, ${sde}: ${cells.length} points. Arrow keys go from point to point, Enter opens the run. The table below has the same numbers.` });
    for (const tick of y.ticks) {
      root.append(svg("line", { class: tick === 0 ? "zero" : "grid", x1: L, x2: W - R, y1: Y(tick), y2: Y(tick) }),
        svg("text", { x: L - 7, y: Y(tick) + 4, "text-anchor": "end" }, tickText(tick)));
    }
    let last = -Infinity;
    for (const tick of x.ticks) {
      root.append(svg("line", { class: "grid", x1: X(tick), x2: X(tick), y1: T, y2: H - B }));
      if (X(tick) - last > 34) root.append(svg("text", { x: last = X(tick), y: H - B + 16, "text-anchor": "middle" }, tickText(tick)));
    }
    if (known(table.error) && this.mode !== "linear" && y.low < table.error) {
      const top = Y(table.error), bottom = this.mode === "log" ? H - B : Y(-table.error);
      root.append(svg("rect", { class: "noise", x: L, width: W - L - R, y: top, height: Math.max(0, bottom - top) }));
    }
    root.append(svg("rect", { class: "frame", x: L, y: T, width: W - L - R, height: H - T - B }),
      svg("text", { x: (L + W - R) / 2, y: H - 8, "text-anchor": "middle" }, label),
      svg("text", { x: 14, y: (H - B + T) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(H - B + T) / 2})` }, table.metric));
    const front = COSTS[this.cost] ? table.cells.filter((cell) => cell.sde === sde && cell[COSTS[this.cost].front] && known(this.x(cell))) : [];
    if (front.length > 1) {
      front.sort((a, b) => this.x(a) - this.x(b));
      if (this.cost === "pace") front.reverse();
      root.append(svg("path", { class: "front", d: "M" + front.map((cell, i) => `${i ? "H" + X(this.x(cell)) + "V" : X(this.x(cell)) + ","}${Y(cell.value)}`).join("") }));
    }
    const series = new Map();
    for (const cell of cells) series.has(cell.series) ? series.get(cell.series).push(cell) : series.set(cell.series, [cell]);
    const points = [];
    for (const [name, line] of series) {
      const style = this.styles.get(name), stroke = { stroke: style.color, fill: "none" };
      line.sort((a, b) => this.x(a) - this.x(b));
      if (band) this.band(root, line, X, Y, style);
      const at = line.map((cell) => `${X(this.x(cell))},${Y(cell.value)}`);
      if (line.length > 1) root.append(svg("path", { ...stroke, d: `M${at.join("L")}`, "stroke-width": 1.6, "stroke-dasharray": style.dash || null }));
      let full = "", low = "", exact = "", limit = "", published = "";
      line.forEach((cell) => {
        const px = X(this.x(cell)), py = Y(cell.value);
        if (this.mode === "log" && cell.value <= 0) low += `M${px},${py - 1}l-5,-8h10z`;
        else full += marker(style.shape, px, py, 3.6);
        if (known(cell.exact)) exact += cross(px, Y(cell.exact), 5);
        if (known(cell.limit)) limit += plus(px, Y(cell.limit), 6);
        if (onCalls) for (const [value] of cell.published) published += star(px, Y(value), 8);
        points.push({ cell, x: px, y: py });
      });
      root.append(svg("path", { d: full, fill: style.color }));
      if (low) root.append(svg("path", { ...stroke, d: low, "stroke-width": 1.5 }));
      if (exact) root.append(svg("path", { ...stroke, d: exact, "stroke-width": 1.3 }));
      if (limit) root.append(svg("path", { ...stroke, d: limit, "stroke-width": 1.3 }));
      if (published) root.append(svg("path", { d: published, fill: style.color, stroke: "var(--text)", "stroke-width": 0.9 }));
    }
    const figure = el("figure", { class: "panel", style: `flex: 0 1 ${W}px` }, el("figcaption", {}, sde), root);
    this.listen(figure, root, points, W);
    return figure;
  }

  band(root, line, X, Y, style) {
    const known_ = line.filter((cell) => known(spreadOf(cell)));
    const low = (cell) => Y(cell.value - spreadOf(cell)), high = (cell) => Y(cell.value + spreadOf(cell));
    if (known_.length > 1 && known_.every((cell) => known(cell.std))) {
      const upper = known_.map((cell) => `${X(this.x(cell))},${high(cell)}`), lower = known_.map((cell) => `${X(this.x(cell))},${low(cell)}`);
      root.append(svg("path", { d: `M${upper.join("L")}L${lower.reverse().join("L")}z`, fill: style.color, opacity: 0.15 }));
    } else if (known_.length) {
      root.append(svg("path", { d: known_.map((cell) => `M${X(this.x(cell))},${low(cell)}V${high(cell)}`).join(""), stroke: style.color, "stroke-width": 1.2, opacity: 0.7 }));
    }
  }

  listen(figure, root, points, W) {
    const ring = svg("circle", { class: "focus", r: 8, visibility: "hidden" });
    const tip = el("div", { class: "tip", hidden: true });
    root.append(ring);
    figure.append(tip);
    let current = null;
    const hide = () => { current = null; tip.hidden = true; ring.setAttribute("visibility", "hidden"); };
    const show = (point, aloud) => {
      if (point === current) return;
      current = point;
      ring.setAttribute("cx", point.x);
      ring.setAttribute("cy", point.y);
      ring.setAttribute("visibility", "visible");
      tip.replaceChildren(...this.tip(point.cell));
      tip.hidden = false;
      const ratio = root.clientWidth / W, left = point.x * ratio, wide = tip.offsetWidth;
      tip.style.left = `${Math.max(0, Math.min(left > root.clientWidth / 2 ? left - wide - 14 : left + 14, root.clientWidth - wide))}px`;
      // beside the point, and within the window where it fits
      const chart = root.getBoundingClientRect(), offset = chart.top - figure.getBoundingClientRect().top;
      const y = point.y * ratio, lowest = innerHeight - chart.top - tip.offsetHeight - 8;
      tip.style.top = `${offset + Math.max(Math.min(y - 20, lowest), Math.min(y - 20, 8 - chart.top))}px`;
      if (aloud) say(this.sentence(point.cell));
    };
    root.addEventListener("pointermove", (event) => {
      const box = root.getBoundingClientRect(), x = ((event.clientX - box.left) * W) / box.width, y = ((event.clientY - box.top) * W) / box.width;
      let best = null, least = 28 ** 2;
      for (const point of points) {
        const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
        if (distance < least) { least = distance; best = point; }
      }
      best ? show(best) : hide();
    });
    root.addEventListener("pointerleave", hide);
    root.addEventListener("blur", hide);
    root.addEventListener("click", () => current && openCell(current.cell));
    root.addEventListener("keydown", (event) => {
      const names = [...new Set(points.map((point) => point.cell.series))];
      const line = (name) => points.filter((point) => point.cell.series === name);
      let next = null;
      if (event.key === "Enter" && current) {
        event.preventDefault(); // or the key would press the drawer's first button
        openCell(current.cell);
      } else if (event.key === "Escape") hide();
      else if (event.key.startsWith("Arrow") && points.length) {
        event.preventDefault();
        const name = current ? current.cell.series : names[0], own = line(name), i = current ? own.indexOf(current) : -1;
        if (!current) next = own[0];
        else if (event.key === "ArrowRight") next = own[Math.min(i + 1, own.length - 1)];
        else if (event.key === "ArrowLeft") next = own[Math.max(i - 1, 0)];
        else {
          const other = line(names[(names.indexOf(name) + (event.key === "ArrowDown" ? 1 : names.length - 1)) % names.length]);
          next = other.reduce((a, b) => (Math.abs(b.x - current.x) < Math.abs(a.x - current.x) ? b : a));
        }
        show(next, true);
      }
    });
  }

  sentence(cell) {
    const spread = known(cell.std) ? `, over ${cell.seeds} seeds` : "";
    return `${placeOf(cell)}: ${this.table.metric} ${cell.text}${cell.note ? " †" : ""}${spread}, NFE ${short(cell.nfe)}`;
  }

  tip(cell) {
    const [first] = cell.runs;
    const facts = [[this.table.metric, cell.text + (cell.note ? " †" : "")], ["exact", short(cell.exact)], ["limit at tolerance 0", short(cell.limit)],
      ["published", cell.published.map(([, text, source]) => `${text} (${this.table.sources[source]})`).join("; ")],
      ["NFE", short(cell.nfe)], ["samples/s", short(cell.pace)], ["seeds", `${cell.seeds} of ${cell.planned}`], ["†", cell.note],
      ...(known(first) ? factsOf(first, "settings") : [])];
    return [el("b", {}, placeOf(cell)), el("dl", {}, facts.filter(([, text]) => text).map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]))];
  }

  drawLegend() {
    const names = [...new Set(this.table.cells.filter((cell) => cell.visible && known(cell.value)).map((cell) => cell.series))];
    const key = names.join("\n");
    const state = (name) => String(!this.off.has(name));
    if (key === this.legendKey) {
      [...this.legend.querySelectorAll("[data-series]")].forEach((button) => button.setAttribute("aria-pressed", state(button.dataset.series)));
      return;
    }
    this.legendKey = key;
    const all = (off) => () => { this.off = new Set(off ? names : []); this.draw(); };
    this.legend.replaceChildren(
      ...(names.length > 1 ? [el("button", { type: "button", class: "all", onclick: all(false) }, "all"), el("button", { type: "button", class: "none", onclick: all(true) }, "none")] : []),
      ...names.map((name) => {
        const style = this.styles.get(name);
        return el("button", { type: "button", "data-series": name, title: name, "aria-pressed": state(name), onclick: () => {
          this.off.has(name) ? this.off.delete(name) : this.off.add(name);
          this.draw();
        } }, svg("svg", { viewBox: "0 0 34 16", "aria-hidden": "true" },
          svg("path", { d: "M1,8H33", stroke: style.color, "stroke-width": 2, "stroke-dasharray": style.dash || null }),
          svg("path", { d: marker(style.shape, 17, 8, 4.5), fill: style.color })), name);
      }));
  }

  describe(cells, band, onCalls) {
    const { table } = this, parts = [];
    if (this.off.size) parts.push(`${this.off.size} series hidden in the legend.`);
    if (cells.some((cell) => known(spreadOf(cell)))) {
      parts.push(!band ? `Spreads are drawn for at most ${MOST_BANDS} series.`
        : cells.some((cell) => known(cell.std)) ? "Bands: ± standard deviation over seeds." : "Bars: ± standard error of one seed over its samples.");
    }
    if (cells.some((cell) => known(cell.exact))) parts.push("×: exact value by theory.");
    if (cells.some((cell) => known(cell.limit))) parts.push("+: limit at tolerance 0.");
    if (onCalls && cells.some((cell) => cell.published.length)) parts.push("Stars: published figures of the same checkpoint, data set, metric and sampler.");
    if (this.panels.querySelector(".front")) parts.push("Wide gray line: the Pareto front of all runs; differences within the spread are ignored.");
    if (this.panels.querySelector(".noise")) parts.push(`Gray area: within the standard error of one seed (${short(table.error)}).`);
    if (this.mode === "symlog") parts.push(`The axis is linear within ±${short(table.linear)} and in decades outside.`);
    const below = this.mode === "log" ? cells.filter((cell) => cell.value <= 0).length : 0;
    if (below) parts.push(`${below} of ${cells.length} values are zero or negative: open triangles on the floor.`);
    this.caption.textContent = parts.join(" ");
  }

  drawRows() { this.rows.replaceChildren(longTable(this.table, this.shown(), `${this.table.suite}-${this.table.metric}-plot.csv`)); }
}
