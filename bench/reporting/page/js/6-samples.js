// Samples: sample k of each chosen sampler in one row, and its difference to the first one's, enlarged.
function sampleGroups() {
  const groups = new Map(), seen = new Set(), pictures = JSON.parse(byId("pictures").textContent);
  for (const table of tables) {
    for (const cell of table.cells) {
      for (const number of cell.runs) {
        const picture = pictures[number];
        if (!picture || seen.has(number)) continue;
        seen.add(number);
        const { seed } = runOf(number);
        // the noise is decided by checkpoint, seed and batch; its scale by the SDE
        const { task, batch_size, data: source } = Object.fromEntries(factsOf(number, "settings"));
        const key = [cell.checkpoint, cell.sde, seed, batch_size, picture.width, task, source, picture.columns].join("\n");
        const label = [cell.checkpoint, cell.sde, `seed ${seed}`, ...(picture.columns ? [task] : [])].join(" · ");
        if (!groups.has(key)) groups.set(key, { label, task, columns: picture.columns, members: [] });
        groups.get(key).members.push({ cell, number, picture, name: [cell.row, cell.column].filter(Boolean).join(" · ") });
      }
    }
  }
  return [...groups.values()];
}

function load(picture) {
  return picture.image ??= new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = reject;
    image.src = picture.src;
  });
}

// the first `count` samples of a picture
function pixelsOf(image, { width, height }, count) {
  const context = el("canvas", { width, height }).getContext("2d", { willReadFrequently: true });
  return Array.from({ length: count }, (_, k) => {
    context.clearRect(0, 0, width, height);
    context.drawImage(image, -k * width, 0);
    return context.getImageData(0, 0, width, height);
  });
}

function canvasOf(label, pixels) {
  const canvas = el("canvas", { width: pixels.width, height: pixels.height, role: "img", "aria-label": label });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

function drawSamples() {
  const groups = sampleGroups();
  if (!groups.length) return;
  byId("samples").hidden = false;
  let group = groups[0], factor = 4, chosen = [], turn = 0;
  const controls = byId("samples-controls"), view = byId("samples-view");

  function difference(a, b) {
    const out = new ImageData(a.width, a.height);
    for (let i = 0; i < a.data.length; i++) out.data[i] = i % 4 === 3 ? 255 : 127.5 + factor * (b.data[i] - a.data[i]);
    return out;
  }

  async function draw() {
    const own = ++turn, members = chosen.map((i) => group.members[i]);
    if (!members.length) { view.replaceChildren(el("p", {}, "Choose two samplers or more.")); return; }
    const images = await Promise.all(members.map((one) => load(one.picture)));
    if (own !== turn) return; // others were chosen since
    const heads = [el("th", { scope: "col" }, "k")], rows = [];
    members.forEach((one, i) => {
      heads.push(el("th", { scope: "col" }, el("button", { type: "button", class: "link", onclick: () => openRun(one.number) }, one.name)));
      if (i && one.picture.n) heads.push(el("th", { scope: "col" }, `difference to the first, ×${factor}`));
    });
    if (!members[0].picture.n) {
      rows.push(el("tr", {}, el("th", { scope: "row" }, "all"), members.map((one) => el("td", {}, el("img", { src: one.picture.src, alt: `Scatter plot of ${one.name}` })))));
    }
    const count = Math.min(...members.map((one) => one.picture.n));
    const word = group.columns ? "Picture" : "Sample", samples = members.map((one, i) => pixelsOf(images[i], one.picture, count));
    for (let k = 0; k < count; k++) {
      rows.push(el("tr", {}, el("th", { scope: "row" }, k), members.map(({ name }, i) => [
        el("td", {}, canvasOf(`${word} ${k} of ${name}`, samples[i][k])),
        i ? el("td", {}, canvasOf(`Difference of ${word.toLowerCase()} ${k} of ${name} to that of ${members[0].name}`, difference(samples[0][k], samples[i][k]))) : null,
      ])));
    }
    const order = group.columns ? [el("p", {}, `${word}s of the task ${group.task} as its preview has them, ${group.columns} to a row.`)] : [];
    view.replaceChildren(...order, el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Samples side by side" },
      el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))));
  }

  function pick() {
    const sign = tables[group.members[0].cell.table].lower ? 1 : -1;
    const values = group.members.map((one, i) => [known(one.cell.value) ? sign * one.cell.value : Number.MAX_VALUE, i]);
    values.sort((a, b) => a[0] - b[0]);
    // the best, and two of the others
    chosen = [...new Set([0, Math.floor(values.length / 3), Math.floor((2 * values.length) / 3)].map((at) => values[at][1]))];
    const boxes = el("div", { class: "pick", role: "group", "aria-label": "Samplers" }, group.members.map((one, i) => {
      const box = el("input", { type: "checkbox", onchange() { chosen = box.checked ? [...chosen, i] : chosen.filter((j) => j !== i); draw(); } });
      box.checked = chosen.includes(i);
      return el("label", {}, box, ` ${one.name} (${one.cell.text})`);
    }));
    controls.replaceChildren(
      el("div", { class: "row" },
        el("label", {}, "Checkpoint, SDE and seed ", el("select", { id: "samples-group", onchange(event) { group = groups[event.target.value]; pick(); } },
          groups.map((one, i) => { const option = el("option", { value: i }, one.label); option.selected = one === group; return option; }))),
        choice("Enlarge differences", [1, 2, 4, 8, 16].map((n) => [n, `×${n}`]), factor, (n) => { factor = n; draw(); })),
      boxes);
    draw();
  }
  pick();
}
