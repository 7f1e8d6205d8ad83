// Elements, numbers, and the data of the page as lists of cells and runs. All text goes in by textContent.
const NS = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) node.append(child instanceof Node ? child : String(child));
  }
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS(NS, tag), attributes, children);
const byId = (id) => document.getElementById(id);
const known = (value) => value !== null && value !== undefined;

function say(text) {
  byId("live").textContent = text;
}

// 4 significant digits, without an exponent from 0.0001 to 10 million
function short(value) {
  if (!known(value)) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) return value.toExponential(3).replace("e+", "e").replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

function rowOf(columns, number) {
  const row = { number };
  for (const [name, column] of Object.entries(columns)) {
    if (Array.isArray(column)) row[name] = column[number];
    else if (column && column.d) row[name] = column.d[column.i[number]];
  }
  return row;
}

const data = JSON.parse(byId("data").textContent);
const runOf = (number) => rowOf(data.runs, number);
const tables = data.tables.map((table, number) => {
  const cells = Array.from({ length: table.cells.n }, (_, i) => rowOf(table.cells, i));
  for (const cell of cells) {
    cell.table = number;
    cell.checkpoint = table.checkpoint;
    cell.published = table.cells.published[cell.number] || [];
    cell.words = [cell.sde, cell.row, cell.column, cell.series, cell.sampler, cell.grid, table.checkpoint, table.suite]
      .join(" ").toLowerCase();
  }
  return { ...table, number, cells, section: byId(`table-${number}`) };
});
const spreadOf = (cell) => (known(cell.std) ? cell.std : cell.error);
const placeOf = (cell) => [cell.sde, cell.row, cell.column].filter(Boolean).join(" · ");

function saveCsv(name, header, lines) {
  // a text that a spreadsheet would take for a formula begins with an apostrophe
  const safe = (value) => {
    const text = known(value) ? (typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value)) : "";
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const text = [header, ...lines].map((line) => line.map(safe).join(",")).join("\n") + "\n";
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// buttons of which one is pressed
function choice(label, options, chosen, onChoose) {
  const buttons = options.map(([value, text]) => el("button", {
    type: "button", class: "control choice", "aria-pressed": String(value === chosen), onclick() {
      buttons.forEach((one, i) => one.setAttribute("aria-pressed", String(options[i][0] === value)));
      onChoose(value);
    },
  }, text));
  return el("div", { class: "choices", role: "group", "aria-label": label }, el("span", {}, label), buttons);
}
