// Money is a decimal string, and stays exact: sums are made of whole numbers of the last digit.

const MONEY = /^(-?)(\d+)(?:\.(\d+))?$/;

function parts(text) {
  const match = MONEY.exec(text);
  if (!match) throw new RangeError(`${text} is no amount`);
  const fraction = match[3] ?? "";
  return { units: BigInt(`${match[1]}${match[2]}${fraction}`), digits: fraction.length };
}

/** Sum up amounts; null stands for an unknown one, and is passed over. */
export function sum(amounts) {
  const known = amounts.filter((one) => one !== null && one !== undefined).map(parts);
  if (known.length === 0) return null;
  const digits = Math.max(...known.map((one) => one.digits));
  let total = 0n;
  for (const one of known) total += one.units * 10n ** BigInt(digits - one.digits);
  return written(total, digits);
}

function written(units, digits) {
  const sign = units < 0n ? "-" : "";
  const all = String(units < 0n ? -units : units).padStart(digits + 1, "0");
  const whole = all.slice(0, all.length - digits);
  const fraction = all.slice(all.length - digits).replace(/0+$/, "");
  return `${sign}${whole}${fraction ? `.${fraction}` : ""}`;
}
