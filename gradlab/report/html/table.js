"use strict";
// The table of results: a heading sorts by its column, the field above keeps the rows that have all of its words.
(() => {
  const table = document.getElementById("comparison");
  for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("main details")) part.open = true; });
  // a link to a closed section opens it
  addEventListener("hashchange", openTarget);
  openTarget();
  if (!table) return;

  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(heading, column));
  });

  function sort(heading, column) {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const key = (row) => row.cells[column].textContent.trim();
    const rows = [...body.rows].sort((a, b) => compare(key(a), key(b), descending));
    body.append(...rows);
  }

  // numbers by size before words, what was not measured last in both directions
  function compare(a, b, descending) {
    if (a === "" || b === "" || a === "–" || b === "–") return missing(a) - missing(b);
    const [x, y] = [leading(a), leading(b)];
    const order = Number.isNaN(x) || Number.isNaN(y)
      ? Number.isNaN(x) - Number.isNaN(y) || a.localeCompare(b, "en", { numeric: true })
      : x - y;
    return descending ? -order : order;
  }
  const missing = (text) => Number(text === "" || text === "–");
  const leading = (text) => {
    const found = text.replace("−", "-").match(/^(run )?([-+]?(\d+\.?\d*(e[-+]?\d+)?|inf))/i);
    return found ? Number(found[2].replace("inf", "Infinity")) : NaN;
  };

  const field = document.getElementById("filter");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = [...row.cells].map((cell) => cell.textContent.toLowerCase()).join(" ");
      row.hidden = !words.every((word) => text.includes(word));
      shown += Number(!row.hidden);
    }
    document.getElementById("filter-count").textContent = words.length ? `${shown} of ${body.rows.length} runs` : "";
  });

  function openTarget() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const closed = target && target.closest("details");
    if (closed) closed.open = true;
  }
})();
