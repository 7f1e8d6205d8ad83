// The drawer: everything about a run, with the other seeds of its cell a button away.
const drawer = byId("drawer");
const factsOf = (number, group) => data.runs.facts.i[number].map((i) => data.runs.facts.d[i]).filter((fact) => fact[0] === group).map((fact) => fact.slice(1));
const commandOf = (number) => data.runs.commands.i[number].map((i) => data.runs.commands.d[i]).join(" ").replaceAll(" \n ", "\n");

function openCell(cell) { if (cell.runs.length) openRun(cell.runs[0], cell.runs); }

function openRun(number, seeds = [number]) {
  drawRun(runOf(number), seeds);
  if (!drawer.open) drawer.showModal();
  drawer.scrollTop = 0;
}

function pairs(title, facts) {
  const full = facts.filter(([, text]) => known(text) && text !== "");
  return full.length ? [el("h3", {}, title), el("dl", {}, full.map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]))] : [];
}

function drawRun(run, seeds) {
  const close = el("button", { type: "button", class: "control close", onclick: () => drawer.close() }, "Close");
  const command = commandOf(run.number), copied = el("span", { role: "status" });
  const copy = el("button", { type: "button", class: "control copy", onclick: async () => {
    try { await navigator.clipboard.writeText(command); } catch {
      // without a clipboard for pages: the old way, on a field that is nowhere seen
      const field = el("textarea", { class: "hidden" });
      field.value = command;
      drawer.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    copied.textContent = " copied";
  } }, "Copy");
  const values = data.runs.metrics[run.number].map(([label, value, error, exact, limit, n, note]) => [label,
    [short(value), known(error) ? `± ${short(error)} (standard error)` : "", known(exact) ? `exact ${short(exact)}` : "", known(limit) ? `limit at tolerance 0 ${short(limit)}` : "",
      `n ${n}`, note ? `† ${note}` : ""].filter(Boolean).join(", ")]);
  drawer.replaceChildren(close, el("h2", { id: "drawer-heading" }, run.title),
    seeds.length > 1 ? choice("Seed", seeds.map((number) => [number, String(runOf(number).seed)]), run.number, (number) => {
      drawRun(runOf(number), seeds);
      drawer.querySelector('.choice[aria-pressed="true"]').focus();
    }) : el("p", {}, `seed ${run.seed}`),
    el("p", { class: run.status === "failed" ? "warning" : "quiet" }, `${run.status}, made ${run.created}, ${run.samples} samples${run.reason ? `: ${run.reason}` : ""}`),
    ...(run.log ? [el("h3", {}, "Log"), el("pre", { class: "log", tabindex: 0 }, run.log)] : []),
    ...pairs("Values", values),
    ...pairs("Cost", [["NFE", short(run.nfe)], ["most NFE of a sample", short(run.nfe_max)], ["seconds", short(run.seconds)], ["samples/s", short(run.samples_per_second)],
      ["in network", known(run.network_share) ? `${Math.round(100 * run.network_share)} %` : ""], ["warm-up, s", short(run.warm_seconds)], ["peak memory", run.peak_host_bytes], ["peak GPU memory", run.peak_gpu_bytes]]),
    el("h3", {}, "Made by"),
    ...(command ? [el("pre", { class: "command", tabindex: 0 }, command), copy, copied] : [el("p", {}, run.no_command)]),
    ...["settings", "device", "versions"].flatMap((group) => pairs(group[0].toUpperCase() + group.slice(1), factsOf(run.number, group))),
    ...pairs("Hashes", [["fingerprint", run.fingerprint], ...factsOf(run.number, "hashes")]));
}
drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
