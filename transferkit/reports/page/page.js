"use strict";
(() => {
  const carried = JSON.parse(document.getElementById("carried").textContent);
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const made = (tag, text, className) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    return node;
  };

  // Charts: one panel at a time, drawn when they come into view, redrawn when the colours change.

  const drawn = new Map(); // figure → function that draws it anew
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const inked = (value) => {
    if (value === "#000000") return colour("--ink");
    if (Array.isArray(value)) return value.map(inked);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, inked(inner)]));
    }
    return value;
  };

  function layoutFor(panel, width) {
    const grid = { gridcolor: colour("--grid"), zerolinecolor: colour("--grid"), linecolor: colour("--line"), automargin: true };
    const own = panel.layout;
    const narrow = width < 560;
    const series = panel.data.filter((trace) => trace.name && trace.showlegend !== false).length;
    const rows = narrow ? series : Math.ceil(series / 4);
    const below = series > 1 ? 22 * rows : 0; // the legend
    return {
      ...carried.theme,
      ...own,
      autosize: true,
      height: (own.height || carried.theme.height) + below,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: series > 1,
      legend: { ...carried.theme.legend, orientation: narrow ? "v" : "h" },
      margin: { ...carried.theme.margin, b: 56 + below, ...(narrow ? { l: 40, r: 8 } : {}) },
      font: { ...carried.theme.font, color: colour("--ink"), size: narrow ? 11 : 13 },
      xaxis: { ...grid, ...own.xaxis },
      yaxis: { ...grid, ...own.yaxis },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    };
  }

  function setUp(figure, spec, afterDraw) {
    const plot = figure.querySelector(".plot");
    const choose = made("div", undefined, "choose");
    const select = made("select");
    spec.panels.forEach((panel, index) => {
      const option = made("option", panel.name);
      option.value = index;
      select.append(option);
    });
    const label = made("label", "Show");
    label.append(select);
    choose.append(label);
    if (spec.panels.length < 2) choose.replaceChildren(made("span", spec.panels[0].name));
    figure.prepend(choose);
    const draw = () => {
      const panel = spec.panels[Number(select.value) || 0];
      const config = { displaylogo: false, responsive: true, displayModeBar: false };
      return Plotly.react(plot, inked(panel.data), layoutFor(panel, plot.clientWidth), config).then(() => {
        figure.dataset.drawn = "yes";
        if (afterDraw && !figure.dataset.hovering) afterDraw(plot, figure);
      });
    };
    select.addEventListener("change", draw);
    return draw;
  }

  const watcher = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && start(entry.target)),
    { rootMargin: "300px" },
  );
  const waiting = new Map();
  function start(figure) {
    if (!waiting.has(figure)) return;
    const draw = waiting.get(figure);
    waiting.delete(figure);
    watcher.unobserve(figure);
    drawn.set(figure, draw);
    draw();
  }
  document.querySelectorAll("[data-chart]").forEach((figure) => {
    waiting.set(figure, setUp(figure, carried.charts[figure.dataset.chart]));
    watcher.observe(figure);
  });
  const redraw = () => drawn.forEach((draw) => draw());

  // The map: thumbnails follow the pointer.

  const hover = byId("hover");
  document.querySelectorAll("[data-gallery]").forEach((figure) => {
    const spec = carried.galleries[Number(figure.dataset.gallery)];
    waiting.set(figure, setUp(figure, spec, (plot) => {
      figure.dataset.hovering = "yes";
      plot.on("plotly_hover", (event) => {
        const number = event.points[0].customdata;
        hover.querySelector("img").src = `data:image/jpeg;base64,${spec.tiles[number]}`;
        hover.querySelector("span").textContent = spec.words[number];
        hover.hidden = false;
        const box = hover.getBoundingClientRect();
        const x = Math.min(event.event.clientX + 14, window.innerWidth - box.width - 8);
        const y = Math.min(event.event.clientY + 14, window.innerHeight - box.height - 8);
        hover.style.left = `${Math.max(8, x)}px`;
        hover.style.top = `${Math.max(8, y)}px`;
      });
      plot.on("plotly_unhover", () => { hover.hidden = true; });
    }));
    watcher.observe(figure);
  });

  // Light and dark.

  const toggle = byId("theme");
  function showTheme() {
    toggle.textContent = isDark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
    toggle.setAttribute("aria-pressed", String(isDark()));
    redraw();
  }
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
  });
  prefersDark.addEventListener("change", showTheme);
  showTheme();

  // On paper: everything is drawn, and light.

  let chosen;
  window.addEventListener("beforeprint", () => {
    chosen ??= root.dataset.theme || "";
    root.dataset.theme = "light";
    [...waiting.keys()].forEach(start);
    redraw();
  });
  window.addEventListener("afterprint", () => {
    if (chosen === undefined) return;
    if (chosen) root.dataset.theme = chosen;
    else delete root.dataset.theme;
    chosen = undefined;
    redraw();
  });

  // The table: filters and sorting.

  const table = byId("table");
  const rows = [...table.tBodies[0].rows];
  const recipe = byId("by-recipe"), domain = byId("by-domain"), model = byId("by-model");
  function filter() {
    const part = model.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row) => {
      const fits = (!recipe.value || row.dataset.recipe === recipe.value) && row.dataset.model.toLowerCase().includes(part);
      row.hidden = !fits;
      shown += fits;
    });
    table.querySelectorAll("[data-domain]").forEach((cell) => {
      cell.hidden = Boolean(domain.value) && cell.dataset.domain !== domain.value;
    });
    table.querySelectorAll(".recipe").forEach((cell) => { cell.hidden = Boolean(recipe.value); });
    byId("shown").textContent = `${shown} of ${rows.length} rows`;
  }
  [recipe, domain, model].forEach((input) => input.addEventListener("input", filter));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  filter();

  table.querySelectorAll("thead button").forEach((button) => {
    const head = button.closest("th");
    const column = [...head.parentNode.cells].indexOf(head);
    button.addEventListener("click", () => {
      const number = button.dataset.sort === "number";
      const first = number && button.dataset.up === undefined ? "descending" : "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? second : first;
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const value = (row) => {
        const cell = row.cells[column];
        if (!number) return cell.textContent;
        return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
      };
      const compare = (a, b) => {
        const x = value(a), y = value(b);
        if (x === null || y === null) return (x === null) - (y === null);
        return sign * (number ? x - y : x.localeCompare(y, undefined, { numeric: true }));
      };
      table.tBodies[0].append(...rows.sort(compare));
    });
  });

  // Provenance.

  const words = {
    ci_low: "interval from", ci_high: "interval to", ci_method: "interval by", selected_on: "selected on",
    evaluated_on: "scored on", skipped_rows: "unreadable rows", dim: "features", n: "rows or episodes",
    version: "transferkit", cell: "record",
  };
  const told = (value) => {
    if (value === null || value === "") return "–";
    if (Array.isArray(value)) return value.map(told).join(", ") || "none";
    if (typeof value === "object") {
      const parts = Object.entries(value).map(([key, inner]) => `${key} ${told(inner)}`);
      return parts.join(" · ") || "none";
    }
    return String(value);
  };
  function describe(number) {
    const { fields, columns } = carried.provenance;
    const record = Object.fromEntries(fields.map((name, i) => [name, columns[i].values[columns[i].index[number]]]));
    const list = made("dl");
    fields.filter((name) => name !== "value").forEach((name) => {
      list.append(made("dt", words[name] || name.replace("_", " ")));
      list.append(made("dd", name === "seconds"
        ? Object.entries(record.seconds).map(([key, s]) => `${key} ${s.toFixed(2)} s`).join(" · ") || "–"
        : told(record[name])));
    });
    return [made("div", `${record.metric} ${record.value.toFixed(4)}`, "value"), list];
  }
  const dialog = byId("provenance"), body = byId("provenance-body");
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-records]");
    if (!button) return;
    const numbers = button.dataset.records.split(",").map(Number);
    body.replaceChildren(...numbers.flatMap((number, i) => [...(i ? [made("hr")] : []), ...describe(number)]));
    dialog.showModal();
    dialog.scrollTop = 0;
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  root.dataset.ready = "yes";
})();
