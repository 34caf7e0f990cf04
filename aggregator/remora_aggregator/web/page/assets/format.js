// Figures as people read them.

const COUNT = new Intl.NumberFormat("en-GB");
const FEW = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const UNKNOWN = "–";
const DAY_S = 86_400;

const isUnknown = (value) => value === null || value === undefined || Number.isNaN(value);

/** Write a whole number. */
export const count = (value) => (isUnknown(value) ? UNKNOWN : COUNT.format(value));

/** Write a number in few letters. */
export const few = (value) => (isUnknown(value) ? UNKNOWN : FEW.format(value));

/** Write an amount of dollars: cents from a dollar on, below that what counts. */
export function usd(amount) {
  if (isUnknown(amount)) return UNKNOWN;
  const value = Number(amount);
  const size = Math.abs(value);
  const sign = value < 0 ? "-" : "";
  if (size === 0) return "$0";
  if (size >= 1e6) return `${sign}$${FEW.format(size)}`;
  if (size >= 1)
    return `${sign}$${size.toLocaleString("en-GB", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  if (size >= 0.01) return `${sign}$${size.toFixed(3)}`;
  const places = Math.min(12, 2 - Math.floor(Math.log10(size)));
  return `${sign}$${size.toFixed(places).replace(/0+$/, "")}`;
}

/** Write a span of time. */
export function seconds(value) {
  if (isUnknown(value)) return UNKNOWN;
  if (value === 0) return "0 s";
  if (value < 0.001) return `${Math.round(value * 1e6)} µs`;
  if (value < 0.00995) return `${(value * 1000).toFixed(1)} ms`;
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 99.95) return `${value.toFixed(value < 9.995 ? 2 : 1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  if (value < 2 * DAY_S) return `${Math.floor(value / 3600)} h ${Math.round((value % 3600) / 60)} min`;
  return `${Math.round(value / DAY_S)} days`;
}

/** Write a number of bytes. */
export function bytes(value) {
  if (isUnknown(value)) return UNKNOWN;
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit && size < 100 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** Write a part of a whole. */
export const percent = (part, whole) => (whole ? `${trimmed((100 * part) / whole)} %` : UNKNOWN);

const trimmed = (value) => (value >= 10 || value === 0 ? String(Math.round(value)) : value.toFixed(1));

/** Write a moment as short as it can be understood today. */
export function clock(iso, now = new Date()) {
  const at = new Date(iso);
  const isToday = at.toDateString() === now.toDateString();
  const time = at.toLocaleTimeString("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    second: isToday ? "2-digit" : undefined,
  });
  if (isToday) return time;
  const sameYear = at.getFullYear() === now.getFullYear();
  const day = at.toLocaleDateString("en-GB", {
    day: "numeric",
    month: "short",
    year: sameYear ? undefined : "numeric",
  });
  return `${day} ${time}`;
}

/** Say how long ago something was. */
export function ago(iso, now = Date.now()) {
  if (isUnknown(iso)) return UNKNOWN;
  const passed = (now - new Date(iso).getTime()) / 1000;
  if (passed < 5) return "just now";
  if (passed < 60) return `${Math.round(passed)} s ago`;
  if (passed < 3600) return `${Math.round(passed / 60)} min ago`;
  if (passed < DAY_S) return `${Math.round(passed / 3600)} h ago`;
  return `${Math.round(passed / DAY_S)} days ago`;
}
