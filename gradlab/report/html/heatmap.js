"use strict";
// A heat map on a canvas: a cell per step and layer, its colour the decades from the reference layer.
const heatmap = (() => {
  const ENDS = [[33, 102, 172], [247, 247, 247], [178, 24, 43]]; // vanishing, level, exploding
  const COLOURS = { z: "#111111", n: "#F0E442", i: "#009E73", far: "#B8B8B8" };
  const NAMES = { ...numbers.WORDS, far: "finite, but the reference layer is not" };
  const EDGE = { left: 46, right: 8, top: 6, bottom: 38 };

  // relative[step][layer]: decades, a letter where the value is no number, null where it was not measured
  function relative(table, reference) {
    return table.map((row) => row.map((code) => {
      if (!numbers.isNumber(code)) return code;
      return numbers.isNumber(row[reference]) ? (code - row[reference]) / 1000 : "far";
    }));
  }

  function limit(cells) {
    const sizes = cells.flat().filter(numbers.isNumber).map(Math.abs).sort((a, b) => a - b);
    return Math.max(1, sizes[Math.floor(0.995 * (sizes.length - 1))] || 0);
  }

  function colour(value, most) {
    if (!numbers.isNumber(value)) return COLOURS[value];
    const at = Math.max(-1, Math.min(1, value / most));
    const [from, to] = at < 0 ? [ENDS[1], ENDS[0]] : [ENDS[1], ENDS[2]];
    return `rgb(${from.map((part, k) => Math.round(part + (to[k] - part) * Math.abs(at))).join(",")})`;
  }

  // from pixels to the place of a step and of a layer, and back
  function geometry(canvas, cells) {
    const width = canvas.clientWidth - EDGE.left - EDGE.right;
    const height = canvas.clientHeight - EDGE.top - EDGE.bottom;
    const [dx, dy] = [width / cells.length, height / cells[0].length];
    return {
      dx, dy,
      x: (step) => EDGE.left + step * dx,
      y: (layer) => EDGE.top + height - (layer + 1) * dy,
      place: (x, y) => ({
        step: Math.max(0, Math.min(cells.length - 1, Math.floor((x - EDGE.left) / dx))),
        layer: Math.max(0, Math.min(cells[0].length - 1, Math.floor((EDGE.top + height - y) / dy))),
      }),
    };
  }

  // `mark` is the place of the step and the layer that are chosen
  function draw(canvas, run, cells, mark, ink) {
    const ratio = devicePixelRatio || 1;
    [canvas.width, canvas.height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const at = geometry(canvas, cells);
    const most = limit(cells);
    cells.forEach((row, step) => row.forEach((value, layer) => {
      if (value === null) return;
      pen.fillStyle = colour(value, most);
      pen.fillRect(at.x(step), at.y(layer), at.dx + 0.6, at.dy + 0.6);
    }));
    pen.fillStyle = pen.strokeStyle = ink;
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    const bottom = at.y(0) + at.dy;
    const [steps, layers] = [run.steps.length, run.layers.length];
    for (const k of ticks(steps)) pen.fillText(run.steps[k], at.x(k + 0.5), bottom + 14);
    pen.fillText("training step", at.x(steps / 2), bottom + 30);
    pen.textAlign = "right";
    for (const k of ticks(layers)) pen.fillText(run.layers[k], EDGE.left - 5, at.y(k) + at.dy / 2 + 4);
    pen.lineWidth = 2;
    pen.strokeRect(at.x(mark.step), at.y(mark.layer), at.dx, at.dy);
    pen.lineWidth = 1;
    pen.setLineDash([4, 3]);
    pen.strokeRect(at.x(mark.step), EDGE.top, at.dx, bottom - EDGE.top);
    return most;
  }

  // places of five labels
  const ticks = (count) => [...new Set([0, 1, 2, 3, 4].map((k) => Math.round((k * (count - 1)) / 4)))];

  return { relative, draw, geometry, COLOURS, NAMES };
})();
