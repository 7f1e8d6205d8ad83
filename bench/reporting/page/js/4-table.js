// Tables: headers are buttons that sort; a dagger opens its note in place.
const PAGE_ROWS = 100;

// `columns`: {name, key(row), content(row), number}; empty keys stand last in both directions.
function sortable(caption, columns, rows, csvName, csv) {
  let by = -1, up = true, all = false;
  const body = el("tbody"), pager = el("p", { class: "pager" });
  const heads = columns.map((column, i) => el("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": "none" },
    el("button", { type: "button", onclick() {
      up = by === i ? !up : true;
      by = i;
      heads.forEach((head, j) => head.setAttribute("aria-sort", j === by ? (up ? "ascending" : "descending") : "none"));
      draw();
    } }, column.name)));
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  function draw() {
    let order = rows.map((row) => [by < 0 ? 0 : columns[by].key(row), row]);
    const full = (pair) => known(pair[0]) && pair[0] !== "";
    if (by >= 0) order = [...order.filter(full).sort((a, b) => (up ? 1 : -1) * compare(a[0], b[0])), ...order.filter((pair) => !full(pair))];
    body.replaceChildren(...order.slice(0, all ? undefined : PAGE_ROWS).map(([, row]) => el("tr", {}, columns.map((column, i) =>
      el(i === 0 ? "th" : "td", { scope: i === 0 ? "row" : null, class: [column.number ? "number" : "", column.kind ? column.kind(row) : ""].join(" ").trim() || null }, column.content(row))))));
    const more = order.length > PAGE_ROWS && !all;
    pager.replaceChildren(...(more ? [`The first ${PAGE_ROWS} of ${order.length} rows. `, el("button", { type: "button", class: "link", onclick() { all = true; draw(); } }, "Show all")] : []));
  }
  draw();
  return el("div", {}, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { class: "data" }, el("caption", { class: "hidden" }, caption), el("thead", {}, el("tr", {}, heads)), body)), pager,
  el("p", {}, el("button", { type: "button", class: "control csv", onclick: () => saveCsv(csvName, ...csv()) }, "Download as CSV")));
}

function dagger(note) {
  const text = el("small", { class: "explained", hidden: true }, `† ${note}`);
  const button = el("button", { type: "button", class: "dagger", "aria-expanded": "false", "aria-label": "What the dagger means", title: note, onclick() {
    text.hidden = !text.hidden;
    button.setAttribute("aria-expanded", String(!text.hidden));
  } }, "†");
  return [button, text];
}

function valueOf(cell, theory) {
  const parts = [el("button", { type: "button", class: "link", title: "Settings of these runs", disabled: !cell.runs.length, onclick: () => openCell(cell) }, cell.text)];
  if (cell.note) parts.push(...dagger(cell.note));
  if (cell.best) parts.push(el("small", {}, "best of its row"));
  if (!theory) return parts;
  if (known(cell.minimum)) parts.push(el("small", {}, `minimum ${short(cell.minimum)}`));
  if (known(cell.exact)) parts.push(el("small", {}, `exact ${short(cell.exact)}`));
  if (known(cell.limit)) parts.push(el("small", {}, `limit at tolerance 0 ${short(cell.limit)}`));
  const { sources } = tables[cell.table];
  for (const [, text, source] of cell.published) parts.push(el("small", {}, `published ${text} (${sources[source]})`));
  return parts;
}

const CSV_COLUMNS = ["sde", "row", "column", "series", "checkpoint", "status", "value", "std", "minimum", "seeds", "planned", "error", "exact", "limit",
  "floor", "nfe", "nfe_max", "pace", "pace_std", "seconds_per_sample", "network_share", "device", "note", "reason"];
const csvOf = (cells) => () => [[...CSV_COLUMNS, "published"], cells.map((cell) => [...CSV_COLUMNS.map((name) => cell[name]), cell.published.map(([value]) => value).join("; ")])];

// a line per cell
function longTable(table, cells, csvName) {
  const text = (name, key) => ({ name, key: (cell) => cell[key], content: (cell) => cell[key] || "" });
  const number = (name, key, format = short) => ({ name, number: true, key: (cell) => cell[key], content: (cell) => (known(cell[key]) ? format(cell[key]) : "") });
  const columns = [text(table.layout === "list" ? "sampler" : "row", "row"), text("SDE", "sde"), text("column", "column"),
    { name: table.metric, number: true, key: (cell) => cell.value, content: (cell) => valueOf(cell, false), kind: (cell) => (cell.best ? "value best" : "value") },
    number("exact", "exact"), number("limit at tolerance 0", "limit"), number("minimum", "minimum"),
    { name: "published", number: true, key: (cell) => (cell.published[0] || [])[0], content: (cell) => cell.published.map((one) => one[1]).join("; ") },
    number("NFE", "nfe"), number("most NFE", "nfe_max"), number("samples/s", "pace"), number("s/sample", "seconds_per_sample"), number("in network", "network_share", (share) => `${Math.round(100 * share)} %`),
    { name: "seeds", number: true, key: (cell) => cell.seeds, content: (cell) => `${cell.seeds} of ${cell.planned}` }];
  const used = columns.filter((column) => cells.some((cell) => { const key = column.key(cell); return known(key) && key !== ""; }));
  return sortable(`${table.metric} of ${table.suite} on ${table.checkpoint}, a line per cell`, used, cells, csvName, csvOf(cells));
}

// rows by columns as papers have them
function wideTable(table, cells) {
  const rows = new Map();
  for (const cell of cells) {
    const key = `${cell.sde}\n${cell.row}`;
    if (!rows.has(key)) rows.set(key, { sde: cell.sde, row: cell.row, by: new Map() });
    rows.get(key).by.set(cell.column, cell);
  }
  const columns = [{ name: "row", key: (row) => row.row, content: (row) => row.row }, { name: "SDE", key: (row) => row.sde, content: (row) => row.sde },
    ...table.columns.filter((name) => cells.some((cell) => cell.column === name)).map((name) => ({
      name, number: true, key: (row) => row.by.get(name)?.value, kind: (row) => (row.by.get(name)?.best ? "value best" : "value"),
      content: (row) => (row.by.has(name) ? valueOf(row.by.get(name), true) : ""),
    }))];
  return sortable(`${table.metric} of ${table.suite} on ${table.checkpoint}, rows by columns`, columns, [...rows.values()], `${table.suite}-${table.metric}.csv`, csvOf(cells));
}

function drawTable(table) {
  const cells = table.cells.filter((cell) => cell.visible), host = table.section.querySelector(".wide");
  const wide = table.layout !== "list" && table.columns.length > 1 && table.columns.length <= 40;
  host.replaceChildren(el("h3", {}, "Table"), wide ? wideTable(table, cells) : longTable(table, cells, `${table.suite}-${table.metric}.csv`));
}
