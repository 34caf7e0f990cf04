// Where the steps of a workflow are drawn: each behind all that it waits for.

const WIDTH = 204;
const HEIGHT = 46;
const GAP_X = 44;
const GAP_Y = 14;

/** Give each step its layer: one more than the last of those that it waits for. */
export function layers(steps) {
  const known = new Map(steps.map((step) => [step.step_id, step]));
  const found = new Map();
  // Steps come in an order in which they may run: what one waits for stands before it.
  for (const step of steps) {
    const before = step.depends_on.filter((id) => known.has(id) && found.has(id));
    found.set(step.step_id, before.length ? 1 + Math.max(...before.map((id) => found.get(id))) : 0);
  }
  return found;
}

/** Say where each step stands, which lines lead to it, and how large all of it is. */
export function placed(steps) {
  const rows = [];
  const boxes = new Map();
  for (const [id, layer] of layers(steps)) {
    rows[layer] = (rows[layer] ?? 0) + 1;
    boxes.set(id, { x: layer * (WIDTH + GAP_X), y: (rows[layer] - 1) * (HEIGHT + GAP_Y) });
  }
  const lines = steps.flatMap((step) =>
    step.depends_on
      .filter((id) => boxes.has(id))
      .map((id) => ({ from: boxes.get(id), to: boxes.get(step.step_id) })),
  );
  return {
    boxes,
    lines: lines.map(({ from, to }) => curve(from, to)),
    width: rows.length * (WIDTH + GAP_X) - GAP_X,
    height: Math.max(1, ...rows) * (HEIGHT + GAP_Y) - GAP_Y,
    box: { width: WIDTH, height: HEIGHT },
  };
}

function curve(from, to) {
  const [x1, y1] = [from.x + WIDTH, from.y + HEIGHT / 2];
  const [x2, y2] = [to.x, to.y + HEIGHT / 2];
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1}C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}
