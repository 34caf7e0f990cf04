// How sure the values of a chart's lines are, drawn behind them.

import { svg } from "./dom.js";

/** Draw the interval of each value that has one. */
export function bands({ series, starts, width, x, y }) {
  const room = width / starts.length;
  const drawn = series.flatMap(({ kind, band = [] }) =>
    band.map((ends, at) => {
      if (!ends) return null;
      const top = y(ends[1]);
      const height = Math.max(1, y(ends[0]) - top);
      return svg("rect", { class: `band s${kind}`, x: x(at) - room / 2, width: room, y: top, height });
    }),
  );
  return drawn.filter(Boolean);
}
