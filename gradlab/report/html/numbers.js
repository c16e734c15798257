"use strict";
// Numbers as the page's data have them, and as people read them. A logarithm is a whole number of thousandths of a decade.
const numbers = (() => {
  const WORDS = { z: "exactly zero", i: "infinite", n: "NaN" };
  const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

  const isNumber = (code) => typeof code === "number";
  const log10 = (code) => (isNumber(code) ? code / 1000 : null);

  // 10 to this power, also outside the range of floats: 0.05, 3.2e-127
  function ofLog10(log) {
    if (log >= -3 && log <= 4) return Number((10 ** log).toPrecision(3)).toString();
    let exponent = Math.floor(log);
    let mantissa = Number((10 ** (log - exponent)).toFixed(1));
    if (mantissa >= 10) { mantissa = 1; exponent += 1; }
    return `${mantissa.toFixed(1)}e${exponent}`;
  }

  // what was measured, in words where it is no number
  function text(code, isLog) {
    if (code === null || code === undefined) return "not measured";
    if (!isNumber(code)) return WORDS[code];
    return isLog ? ofLog10(code / 1000) : Number(code.toPrecision(4)).toString();
  }

  const power = (exponent) => Number.isInteger(exponent)
    ? "10" + [...String(exponent)].map((letter) => SUPERSCRIPT[letter]).join("")
    : ofLog10(exponent);

  // 1–4, 7
  function ranges(values) {
    const joined = [];
    for (const value of values) {
      const last = joined[joined.length - 1];
      if (last && value === last[1] + 1) last[1] = value; else joined.push([value, value]);
    }
    const texts = joined.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`));
    return texts.slice(0, 6).join(", ") + (texts.length > 6 ? ` and ${texts.length - 6} more` : "");
  }

  // the place of the value that is nearest
  function nearest(sorted, value) {
    let best = 0;
    sorted.forEach((entry, place) => { if (Math.abs(entry - value) < Math.abs(sorted[best] - value)) best = place; });
    return best;
  }

  return { WORDS, isNumber, log10, ofLog10, text, power, ranges, nearest };
})();
