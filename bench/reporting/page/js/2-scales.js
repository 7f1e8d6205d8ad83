// Scales: a value's place from 0 to 1 along its axis, and its ticks.

// linear within ±c, decades outside
const symlog = (c) => (v) => (Math.abs(v) <= c ? v / c : Math.sign(v) * (1 + Math.log10(Math.abs(v) / c)));

const tickText = (v) => (Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? v.toExponential().replace("e+", "e") : short(v));

function linearTicks(low, high, count) {
  const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

// decades, or 1-2-5 below two of them
function logTicks(low, high) {
  const decades = Math.log10(high / low);
  if (decades < 0.45) return linearTicks(low, high, 4);
  const ticks = [], every = Math.ceil(decades / 7);
  for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) {
    if (decades >= 2 && p % every) continue;
    for (const factor of decades < 2 ? [1, 2, 5] : [1]) {
      const tick = Number(`${factor}e${p}`);
      if (tick >= low * 0.9999 && tick <= high * 1.0001) ticks.push(tick);
    }
  }
  return ticks;
}

function symlogTicks(low, high, c) {
  const ticks = [];
  const most = Math.max(Math.abs(low), Math.abs(high));
  const every = Math.ceil((Math.log10(Math.max(most / c, 1)) + 1) / 5);
  for (let p = 0, v = c; v <= most * 1.0001; p++, v = c * 10 ** p) {
    if (p % every === 0) ticks.push(Number(v.toPrecision(12)), -Number(v.toPrecision(12)));
  }
  ticks.push(0);
  return ticks.filter((v) => v >= low && v <= high).sort((a, b) => a - b);
}

// A scale of kind log, linear or symlog over values, with a margin; `floor` is where a log scale ends below.
function scale(kind, values, c) {
  let used = kind === "log" ? values.filter((v) => v > 0) : values;
  if (!used.length) used = [1];
  let low = Infinity, high = -Infinity;
  for (const v of used) { low = Math.min(low, v); high = Math.max(high, v); }
  const f = kind === "log" ? Math.log10 : kind === "symlog" ? symlog(c) : (v) => v;
  let a = f(low), b = f(high);
  if (b - a < 1e-12) { a -= kind === "log" ? 0.3 : Math.abs(a) * 0.1 || 0.5; b += kind === "log" ? 0.3 : Math.abs(b) * 0.1 || 0.5; }
  const margin = (b - a) * 0.05;
  a -= margin; b += margin;
  const back = kind === "log" ? (t) => 10 ** t
    : kind === "symlog" ? (t) => (Math.abs(t) <= 1 ? t * c : Math.sign(t) * c * 10 ** (Math.abs(t) - 1)) : (t) => t;
  const ends = [back(a), back(b)];
  const ticks = kind === "log" ? logTicks(...ends) : kind === "symlog" ? symlogTicks(...ends, c) : linearTicks(...ends, 5);
  const place = (v) => (kind === "log" && v <= 0 ? 0 : Math.max(0, Math.min(1, (f(v) - a) / (b - a))));
  return { kind, place, ticks, low: ends[0], high: ends[1] };
}
