// The page: filters, theme, and what is drawn first.
const FILTERS = [["sde", "SDE"], ["sampler", "Sampler"], ["grid", "Grid"], ["checkpoint", "Checkpoint"]];
const hiddenValues = Object.fromEntries(FILTERS.map(([key]) => [key, new Set()]));
const plots = tables.map((table) => new Plot(table));
const allCells = tables.flatMap((table) => table.cells);

function applyFilters() {
  const words = byId("filter-text").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const cell of allCells) {
    cell.visible = FILTERS.every(([key]) => !hiddenValues[key].has(cell[key])) && words.every((word) => cell.words.includes(word));
    count += cell.visible;
  }
  byId("filter-count").textContent = `${count} of ${allCells.length} cells`;
  tables.forEach((table, i) => {
    table.section.hidden = !table.cells.some((cell) => cell.visible) && count > 0;
    if (table.section.hidden) return;
    plots[i].draw();
    drawTable(table);
  });
}

function filterGroups() {
  const groups = FILTERS.map(([key, label]) => {
    const values = [...new Set(allCells.map((cell) => cell[key] ?? ""))];
    if (values.length < 2) return null;
    const buttons = values.map((value) => el("button", { type: "button", class: "control choice", "aria-pressed": "true", "data-filter": key, "data-value": value, onclick(event) {
      const set = hiddenValues[key];
      set.has(value) ? set.delete(value) : set.add(value);
      event.currentTarget.setAttribute("aria-pressed", String(!set.has(value)));
      applyFilters();
    } }, value || (key === "grid" ? "no grid" : "not run")));
    return el("div", { class: "choices", role: "group", "aria-label": label }, el("span", {}, label), buttons);
  });
  byId("filter-groups").append(...groups.filter(Boolean));
}

let waiting = 0;
byId("filter-text").addEventListener("input", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(applyFilters); });
byId("filter-reset").addEventListener("click", () => {
  Object.values(hiddenValues).forEach((set) => set.clear());
  byId("filter-text").value = "";
  document.querySelectorAll("[data-filter]").forEach((button) => button.setAttribute("aria-pressed", "true"));
  plots.forEach((plot) => plot.off.clear());
  applyFilters();
});
byId("theme").addEventListener("click", () => {
  const order = ["auto", "light", "dark"], root = document.documentElement;
  root.dataset.theme = order[(order.indexOf(root.dataset.theme) + 1) % 3];
  byId("theme-name").textContent = root.dataset.theme;
});
for (const button of document.querySelectorAll("[data-run]")) button.addEventListener("click", () => openRun(Number(button.dataset.run)));
addEventListener("beforeprint", () => document.querySelectorAll("details.notes").forEach((one) => { one.open = true; }));

filterGroups();
applyFilters();
document.documentElement.dataset.ready = "true";
// they stand at the end: what is above them is on the screen first
(globalThis.requestIdleCallback ?? setTimeout)(drawSamples);
