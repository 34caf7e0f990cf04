// Where the marks of an axis stand.

const STEPS = [1, 2, 2.5, 5, 10];
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const TIME_STEPS_MS = [1, 5, 10, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * MINUTE_MS);
const DAY_STEPS = [1, 2, 3, 5, 7, 14, 30, 90];

/** Round numbers from 0 to no less than a number, about so many of them. */
export function ticks(most, about = 4) {
  if (!(most > 0)) return [0, 1];
  const raw = most / about;
  const size = 10 ** Math.floor(Math.log10(raw));
  const step = STEPS.find((each) => each * size >= raw * 0.999999) * size;
  const found = [];
  for (let at = 0; (at - 1) * step < most * 0.999999; at += 1)
    found.push(Number((at * step).toPrecision(12)));
  return found;
}

/** Moments between two, no more than so many, at whole hours or days of the clock on the wall. */
export function timeTicks(beginMs, endMs, most) {
  const span = Math.max(endMs - beginMs, 1);
  const step = TIME_STEPS_MS.find((each) => span / each <= most);
  if (step) return byClock(beginMs, endMs, step);
  const days = DAY_STEPS.find((each) => span / (each * DAY_MS) <= most) ?? DAY_STEPS.at(-1);
  return byDay(beginMs, endMs, days);
}

function byClock(beginMs, endMs, stepMs) {
  const day = new Date(beginMs);
  day.setHours(0, 0, 0, 0);
  const from = day.getTime();
  const found = [];
  for (let at = from + Math.ceil((beginMs - from) / stepMs) * stepMs; at <= endMs; at += stepMs)
    found.push({ at, isDay: new Date(at).getHours() === 0 && new Date(at).getMinutes() === 0 });
  return found;
}

function byDay(beginMs, endMs, days) {
  const day = new Date(beginMs);
  day.setHours(0, 0, 0, 0);
  const found = [];
  for (; day.getTime() <= endMs; day.setDate(day.getDate() + days))
    if (day.getTime() >= beginMs) found.push({ at: day.getTime(), isDay: true });
  return found;
}

/** The span of time that sums are made of, so that a chart has enough of them and not too many. */
export function intervalFor(spanS) {
  const named = [
    ["1m", 60],
    ["5m", 300],
    ["15m", 900],
    ["1h", 3600],
    ["6h", 21_600],
    ["1d", 86_400],
    ["7d", 604_800],
  ];
  return named.find(([, each]) => spanS / each <= 62) ?? named.at(-1);
}
