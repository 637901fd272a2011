"use strict";
(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const createElement = (tag, text, className) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    if (className) node.className = className;
    return node;
  };

  // Charts: one panel at a time, drawn when scrolled into view, redrawn when the colours change.

  const drawn = new Map(); // figure → function that redraws it
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const withInk = (value) => {
    if (value === "#000000") return colour("--ink");
    if (Array.isArray(value)) return value.map(withInk);
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withInk(inner)]));
    }
    return value;
  };

  function layoutFor(panel, width) {
    const grid = { gridcolor: colour("--grid"), zerolinecolor: colour("--grid"), linecolor: colour("--line"), automargin: true };
    const own = panel.layout;
    const narrow = width < 560;
    const series = panel.data.filter((trace) => trace.name && trace.showlegend !== false).length;
    const rows = narrow ? series : Math.ceil(series / 4);
    const legendHeight = series > 1 ? 22 * rows : 0; // pixels
    return {
      ...report.theme,
      ...own,
      autosize: true,
      height: (own.height || report.theme.height) + legendHeight,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: series > 1,
      legend: { ...report.theme.legend, orientation: narrow ? "v" : "h" },
      margin: { ...report.theme.margin, b: 56 + legendHeight, ...(narrow ? { l: 40, r: 8 } : {}) },
      font: { ...report.theme.font, color: colour("--ink"), size: narrow ? 11 : 13 },
      xaxis: { ...grid, ...own.xaxis },
      yaxis: { ...grid, ...own.yaxis },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: colour("--line"), font: { color: colour("--ink") } },
    };
  }

  function setUp(figure, spec, afterDraw) {
    const plot = figure.querySelector(".plot");
    const chooser = createElement("div", undefined, "choose");
    const select = createElement("select");
    spec.panels.forEach((panel, index) => {
      const option = createElement("option", panel.name);
      option.value = index;
      select.append(option);
    });
    const label = createElement("label", "Show");
    label.append(select);
    chooser.append(label);
    if (spec.panels.length < 2) chooser.replaceChildren(createElement("span", spec.panels[0].name));
    figure.prepend(chooser);
    const draw = () => {
      const panel = spec.panels[Number(select.value) || 0];
      const config = { displaylogo: false, responsive: true, displayModeBar: false };
      return Plotly.react(plot, withInk(panel.data), layoutFor(panel, plot.clientWidth), config).then(() => {
        figure.dataset.drawn = "yes";
        if (afterDraw && !figure.dataset.hovering) afterDraw(plot, figure);
      });
    };
    select.addEventListener("change", draw);
    return draw;
  }

  const observer = new IntersectionObserver(
    (entries) => entries.forEach((entry) => entry.isIntersecting && start(entry.target)),
    { rootMargin: "300px" },
  );
  const pending = new Map();
  function start(figure) {
    if (!pending.has(figure)) return;
    const draw = pending.get(figure);
    pending.delete(figure);
    observer.unobserve(figure);
    drawn.set(figure, draw);
    draw();
  }
  document.querySelectorAll("[data-chart]").forEach((figure) => {
    pending.set(figure, setUp(figure, report.charts[figure.dataset.chart]));
    observer.observe(figure);
  });
  const redraw = () => drawn.forEach((draw) => draw());

  // Map of features: thumbnails follow the pointer.

  const hover = byId("hover");
  document.querySelectorAll("[data-gallery]").forEach((figure) => {
    const spec = report.galleries[Number(figure.dataset.gallery)];
    pending.set(figure, setUp(figure, spec, (plot) => {
      figure.dataset.hovering = "yes";
      plot.on("plotly_hover", (event) => {
        const number = event.points[0].customdata;
        hover.querySelector("img").src = `data:image/jpeg;base64,${spec.tiles[number]}`;
        hover.querySelector("span").textContent = spec.captions[number];
        hover.hidden = false;
        const box = hover.getBoundingClientRect();
        const x = Math.min(event.event.clientX + 14, window.innerWidth - box.width - 8);
        const y = Math.min(event.event.clientY + 14, window.innerHeight - box.height - 8);
        hover.style.left = `${Math.max(8, x)}px`;
        hover.style.top = `${Math.max(8, y)}px`;
      });
      plot.on("plotly_unhover", () => { hover.hidden = true; });
    }));
    observer.observe(figure);
  });

  // Light and dark theme.

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

  // Printing: all charts are drawn, in the light theme.

  let screenTheme;
  window.addEventListener("beforeprint", () => {
    screenTheme ??= root.dataset.theme || "";
    root.dataset.theme = "light";
    [...pending.keys()].forEach(start);
    redraw();
  });
  window.addEventListener("afterprint", () => {
    if (screenTheme === undefined) return;
    if (screenTheme) root.dataset.theme = screenTheme;
    else delete root.dataset.theme;
    screenTheme = undefined;
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

  const fieldNames = {
    ci_low: "interval from", ci_high: "interval to", ci_method: "interval method", selected_on: "selected on",
    evaluated_on: "evaluated on", skipped_rows: "unreadable rows", dim: "features", n: "rows or episodes",
    version: "transferkit", cell: "record",
  };
  const formatted = (value) => {
    if (value === null || value === "") return "–";
    if (Array.isArray(value)) return value.map(formatted).join(", ") || "none";
    if (typeof value === "object") {
      const parts = Object.entries(value).map(([key, inner]) => `${key} ${formatted(inner)}`);
      return parts.join(" · ") || "none";
    }
    return String(value);
  };
  function describe(number) {
    const { fields, columns } = report.provenance;
    const record = Object.fromEntries(fields.map((name, i) => [name, columns[i].values[columns[i].index[number]]]));
    const list = createElement("dl");
    fields.filter((name) => name !== "value").forEach((name) => {
      list.append(createElement("dt", fieldNames[name] || name.replace("_", " ")));
      list.append(createElement("dd", name === "seconds"
        ? Object.entries(record.seconds).map(([key, s]) => `${key} ${s.toFixed(2)} s`).join(" · ") || "–"
        : formatted(record[name])));
    });
    return [createElement("div", `${record.metric} ${record.value.toFixed(4)}`, "value"), list];
  }
  const dialog = byId("provenance"), body = byId("provenance-body");
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-records]");
    if (!button) return;
    const numbers = button.dataset.records.split(",").map(Number);
    body.replaceChildren(...numbers.flatMap((number, i) => [...(i ? [createElement("hr")] : []), ...describe(number)]));
    dialog.showModal();
    dialog.scrollTop = 0;
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  root.dataset.ready = "yes";
})();
