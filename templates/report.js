"use strict";
// The page is complete without this script. The script sorts, filters, draws any metric against any
// other, zooms traces and downloads. Text from the data enters only as textContent or attribute, and
// drawers as the page has them, where all text is escaped.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const { columns, names, printed, prefix, facts, rows: lists, frames } = JSON.parse(one("#data").textContent);
  const named = (keys, values) => Object.fromEntries(values.map((value, index) => [keys[index], value]).filter(([, value]) => value !== null));
  const rows = lists.map((values) => {
    const row = named(names, values);
    return { ...row, key: row.key ?? row.name, id: row.id ?? prefix + row.name, workload: named(facts, row.workload) };
  });

  const placeOf = new Map(rows.map((row, place) => [row.key, place]));

  /** A new SVG element with attributes and text. */
  function make(name, attributes, text = "") {
    const element = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  }

  // State: read from the address and written back to it.

  const state = { q: "", outcome: "", machine: "", sort: "", cols: "", open: "", kind: "", x: "", y: "", log: "", group: "" };

  /** The benchmark that the address names: #test_inference[resnet50]. */
  function namedInAddress(hash = location.hash) {
    try {
      const key = decodeURIComponent(hash.slice(1));
      return placeOf.has(key) ? key : "";
    } catch {
      return ""; // a lone % is no name
    }
  }

  function readAddress() {
    const named = namedInAddress();
    if (!named && !location.hash.includes("=")) return;
    const parameters = new URLSearchParams(location.hash.slice(1));
    for (const key of Object.keys(state)) state[key] = named ? "" : parameters.get(key) ?? "";
    if (named) state.open = named;
  }

  function remember(part) {
    Object.assign(state, part);
    const unchanged = one("#preset")?.options[0].value === `${state.kind},${state.x},${state.y}`;
    const set = Object.entries(state).filter(([key, value]) => value && !(unchanged && ["kind", "x", "y"].includes(key)));
    const alone = set.length === 1 && state.open;
    const hash = alone ? state.open.replaceAll("%", "%25") : new URLSearchParams(set).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  // The filter: by text, outcome and machine, in all sections at once.

  const table = one("#table");
  const cards = all("button.card");
  /** Elements that show benchmarks, with the numbers of these; collected for the first filter. */
  let marked = null;
  const notes = [];

  function matches(row) {
    const words = state.q.toLowerCase().split(/\s+/);
    const text = `${row.id} ${row.status}`.toLowerCase();
    const chosen = (name) => !state[name] || state[name].split(",").includes(row[name]);
    return words.every((word) => text.includes(word)) && chosen("outcome") && chosen("machine");
  }

  function applyFilter() {
    const shown = rows.map(matches);
    const count = shown.filter(Boolean).length;
    for (const card of cards) card.setAttribute("aria-pressed", state.outcome.split(",").includes(card.dataset.outcome));
    if (count < rows.length) marked ??= collectMarked();
    for (const { element, places } of marked ?? []) element.toggleAttribute("hidden", !places.some((place) => shown[place]));
    for (const { note, about } of notes) {
      note.hidden = count === rows.length;
      one("span", note).textContent = `Filtered: ${count} of ${rows.length} benchmarks. ${about}`;
    }
    if (!table) return;
    one("#filter").value = state.q;
    if (one("#machine")) one("#machine").value = state.machine;
    one("#shown").textContent = `${count} of ${rows.length} shown`;
  }

  function collectMarked() {
    for (const link of all(":is(tr, li) a[href^='#']")) {
      const place = placeOf.get(decodeURIComponent(link.getAttribute("href").slice(1)));
      if (place !== undefined) link.closest("tr, li").dataset.of = place;
    }
    all("main > section").forEach(addNote);
    return all("[data-of]").map((element) => ({ element, places: element.dataset.of.split(" ").map(Number) }));
  }

  /** Each section with benchmarks says when it is filtered. */
  function addNote(section) {
    if (!one("[data-of], #scatter", section)) return;
    const note = one("#filtered").content.firstElementChild.cloneNode(true);
    one("button", note).addEventListener("click", () => change({ q: "", outcome: "", machine: "" }));
    one("h2", section).after(note);
    notes.push({ note, about: section.dataset.filter ?? "" });
  }

  function startFilter() {
    for (const card of cards) {
      card.disabled = false;
      card.addEventListener("click", () => change({ outcome: toggled(state.outcome, card.dataset.outcome) }));
    }
    one("#filter")?.addEventListener("input", (event) => change({ q: event.target.value }));
    one("#machine")?.addEventListener("change", (event) => change({ machine: event.target.value }));
    one("#reset")?.addEventListener("click", () => change({ q: "", outcome: "", machine: "", sort: "", cols: "" }));
  }

  // The table: sort, columns, downloads.

  const lines = table ? all("tbody tr", table) : [];
  const heads = table ? all("thead th", table) : [];
  const boxes = all("input[name=column]");
  const hiding = new CSSStyleSheet();
  document.adoptedStyleSheets = [hiding];
  let sortedBy = "";

  /** Missing values stay last in both directions. */
  function compare(left, right, sign) {
    if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
    return sign * (typeof left === "number" ? left - right : left.localeCompare(right, undefined, { numeric: true }));
  }

  /** The indices of the rows in the chosen order. */
  function sorted() {
    const [name, way] = state.sort.split(":");
    const order = rows.map((_, index) => index);
    if (!name) return order;
    return order.sort((a, b) => compare(rows[a][name], rows[b][name], way === "down" ? -1 : 1) || a - b);
  }

  const shownRows = () => sorted().filter((index) => !lines[index].hidden).map((index) => rows[index]);

  function applyTable() {
    if (!table) return;
    if (sortedBy !== state.sort) one("tbody", table).append(...sorted().map((index) => lines[index]));
    sortedBy = state.sort;
    applyColumns();
  }

  function applyColumns() {
    const chosen = state.cols ? state.cols.split(",") : columns.filter((column) => column.shown).map((column) => column.name);
    for (const box of boxes) box.checked = chosen.includes(box.value);
    const places = columns.map((column, index) => ({ ...column, cells: `#table tr > :nth-child(${index + 3})` }));
    const hidden = places.filter(({ name }) => !chosen.includes(name)).map(({ cells }) => cells);
    // Paper has room for the first of the chosen ones only.
    const wanted = places.filter(({ name }) => chosen.includes(name)).map(({ cells }) => cells);
    const rule = (cells, display) => (cells.length ? `${cells.join()} { display: ${display} !important; }` : "");
    hiding.replaceSync(`${rule(hidden, "none")} @media print { ${rule(wanted.slice(0, printed), "table-cell")} ${rule(wanted.slice(printed), "none")} }`);
    const [name, way] = state.sort.split(":");
    const order = way === "down" ? "descending" : "ascending";
    for (const head of heads) head.setAttribute("aria-sort", head.dataset.column === name ? order : "none");
  }

  const change = (part) => {
    remember(part);
    applyFilter();
    applyTable();
    applyScatter();
  };

  function toggled(list, item) {
    const items = new Set(list ? list.split(",") : []);
    if (!items.delete(item)) items.add(item);
    return [...items].join();
  }

  /** First ascending, then descending, then unsorted. */
  function nextSort(column) {
    const [name, way] = state.sort.split(":");
    if (name !== column) return `${column}:up`;
    return way === "up" ? `${column}:down` : "";
  }

  /** Spreadsheets run cells that begin like a formula; a leading quote makes them text. */
  function csvCell(value = "") {
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
    return `"${text.replaceAll('"', '""')}"`;
  }

  function csv(exported) {
    const header = names.filter((name) => name !== "workload");
    return [header, ...exported.map((row) => header.map((name) => row[name]))].map((cells) => `${cells.map(csvCell).join()}\r\n`).join("");
  }

  function download(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function startTable() {
    lines.forEach((line, index) => { one("a", line).title = rows[index].id; });
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => change({ sort: nextSort(head.dataset.column) }));
    }
    for (const box of boxes) {
      box.addEventListener("change", () => change({ cols: boxes.filter((each) => each.checked).map((each) => each.value).join() }));
    }
    one("#columns").addEventListener("beforetoggle", ({ currentTarget: menu }) => {
      const { left, bottom } = one("#choose").getBoundingClientRect();
      Object.assign(menu.style, { left: `${left}px`, top: `${bottom + 4}px`, maxHeight: `calc(100vh - ${bottom + 12}px)` });
    });
    one("#csv").addEventListener("click", () => download("energy.csv", "text/csv", csv(shownRows())));
    one("#json").addEventListener("click", () => download("energy.json", "application/json", JSON.stringify(shownRows(), null, 1)));
  }

  // Axes: from values to pixels and back.

  function axis(low, high, begin, end, log = false) {
    const map = log ? Math.log10 : (value) => value;
    return {
      at: (value) => begin + ((map(value) - map(low)) / (map(high) - map(low))) * (end - begin),
      back: (pixel) => low + ((pixel - begin) / (end - begin)) * (high - low),
    };
  }

  /** About six round numbers and their texts. */
  function roundTicks(low, high) {
    const rough = (high - low) / 6;
    const magnitude = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((size) => size >= rough * 0.999);
    const first = Math.ceil(low / step);
    const values = Array.from({ length: Math.floor(high / step) - first + 1 }, (_, index) => (first + index) * step);
    return values.map((value) => [value, Number(value.toPrecision(9))]);
  }

  const brief = (value) => Number(value.toPrecision(4));
  const label = (text, attributes) => make("text", { class: "tick", "text-anchor": "middle", "font-size": 11, ...attributes }, text);
  const grid = (lines) => make("path", { class: "grid", d: lines.join("") });
  const outline = (points) => `M${points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")}`;

  function ticksAcross(x, top, bottom) {
    const texts = x.ticks.map(([value, text]) => label(text, { x: x.at(value), y: bottom + 15 }));
    return [grid(x.ticks.map(([value]) => `M${x.at(value)} ${top}V${bottom}`)), ...texts];
  }

  function ticksUp(y, left, right) {
    const texts = y.ticks.map(([value, text]) => label(text, { x: left - 6, y: y.at(value) + 3.5, "text-anchor": "end" }));
    return [grid(y.ticks.map(([value]) => `M${left} ${y.at(value)}H${right}`)), ...texts];
  }

  // Trade-offs: any metric against any other.

  const explorer = one("#explorer");
  const known = explorer && JSON.parse(one("script", explorer).textContent);
  const metricOf = (way) => known.axes[state.kind]?.[state[way]];

  /** The Pareto front, ordered by x: no other point is as good in both and better in one. */
  function pareto(points, xWay, yWay) {
    if (!xWay || !yWay) return [];
    const [xSign, ySign] = [xWay, yWay].map((way) => (way === "less" ? 1 : -1));
    const ordered = [...points].sort((a, b) => xSign * (a.x - b.x) || ySign * (a.y - b.y));
    let best = Infinity;
    return ordered.filter((point) => {
      const better = ySign * point.y < best;
      if (better) best = ySign * point.y;
      return better;
    });
  }

  /** What benchmarks on one front have in common, such as the data set. */
  const workOf = ({ row }) => JSON.stringify(known.work.map((name) => row.workload[name] ?? null));

  function drawScatter() {
    const { left, right, top, bottom, height } = frames.explorer;
    const middle = (top + bottom) / 2;
    const [x, y] = [chosenAxis("x", left, right), chosenAxis("y", bottom, top)];
    const valueOf = (row, name) => row[name] ?? known.training[row.key]?.[name];
    const points = rows
      .filter((row) => row.kind === state.kind && matches(row))
      .map((row) => ({ row, x: valueOf(row, state.x), y: valueOf(row, state.y) }))
      .filter((point) => x.holds(point.x) && y.holds(point.y));
    const fronts = [...new Set(points.map(workOf))]
      .map((work) => pareto(points.filter((point) => workOf(point) === work), x.better, y.better))
      .filter((front) => front.length > 1);
    const lines = fronts.map((front) => outline(front.map((point) => [x.at(point.x), y.at(point.y)])));
    one("#none").textContent = points.length ? "" : "No benchmark shown has both metrics.";
    one("#scatter").replaceChildren(
      ...ticksAcross(x, top, bottom),
      ...ticksUp(y, left, right),
      label(x.name, { x: (left + right) / 2, y: height - 10, "font-size": 12 }),
      label(y.name, { x: 14, y: middle, "font-size": 12, transform: `rotate(-90 14 ${middle})` }),
      make("path", { class: "front", fill: "none", "stroke-dasharray": "5 4", d: lines.join("") }),
      ...drawPoints(points, x, y),
    );
  }

  /** The chosen axis, or an empty one if no benchmark of the kind has that metric. */
  function chosenAxis(way, begin, end) {
    const { label: name, scales, ...about } = metricOf(way) ?? { label: "", scales: [{ low: 0, high: 1, ticks: [] }] };
    const log = one(`#${way}log`).checked && scales.length > 1;
    const { low, high, ticks } = scales[Number(log)];
    return { ...axis(low, high, begin, end, log), ...about, low, high, name, ticks, holds: (value) => value >= low && value <= high };
  }

  function drawPoints(points, x, y) {
    const groupOf = (row) => String(row.workload[one("#group").value] ?? row.kind);
    // Of all rows, so that a group has one colour in all figures.
    const groups = [...new Set(rows.map(groupOf))];
    const { shapes, colours } = explorer.dataset;
    const style = (name, paint = "fill") => {
      const index = groups.indexOf(name);
      return { class: `${paint} c${index % colours}`, href: `#s${index % shapes}` };
    };
    one("#legend").replaceChildren(...[...new Set(points.map((point) => groupOf(point.row)))].map((name) => {
      const sample = make("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" });
      sample.append(make("use", style(name)));
      const item = document.createElement("li");
      item.append(sample, ` ${name}`);
      return item;
    }));
    const bars = points.map(({ row, x: across, y: up }) => make("path", { class: `line whiskers c${groups.indexOf(groupOf(row)) % colours}`, d: whiskers(row, across, up, x, y) }));
    const marks = points.map((point, index) => {
      const place = { x: x.at(point.x), y: y.at(point.y), role: "link", tabindex: index ? -1 : 0 };
      const mark = make("use", { ...style(groupOf(point.row), point.row.status === "estimated" ? "hollow" : "fill"), ...place });
      const description = `${point.row.name}: ${written(point.x, point.row[`${state.x}_uncertainty`], x)}, ${written(point.y, point.row[`${state.y}_uncertainty`], y)}`;
      mark.dataset.tip = description;
      mark.setAttribute("aria-label", description);
      mark.addEventListener("click", () => openDrawer(point.row.key));
      mark.addEventListener("keydown", (event) => {
        const next = { ArrowLeft: mark.previousElementSibling, ArrowRight: mark.nextElementSibling, Enter: mark }[event.key];
        if (!next?.matches("use")) return;
        event.preventDefault();
        if (next === mark) openDrawer(point.row.key);
        else next.focus();
      });
      return mark;
    });
    return [...bars, ...marks];
  }

  /** ``Latency 7.105 ± 0.021 ms``: as many digits as the uncertainty supports. */
  function written(value, half, { metric, unit, prefixed }) {
    const prefixes = ["n", "µ", "m", "", "k", "M", "G"];
    const place = prefixed && value ? Math.min(6, Math.max(0, 3 + Math.floor(Math.log10(Math.abs(value)) / 3))) : 3;
    const [scaled, width] = [value, half ?? 0].map((number) => number / 1000 ** (place - 3));
    const digits = width && Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(width))));
    const text = width ? `${scaled.toFixed(digits)} ± ${width.toFixed(digits)}` : brief(scaled);
    return `${metric} ${text} ${prefixes[place]}${unit}`.trim();
  }

  /** Lines as long as the 95 % intervals, cut at the ends of the axes. */
  function whiskers(row, across, up, x, y) {
    const span = (scale, value, half) => [value - half, value + half].map((end) => scale.at(Math.min(scale.high, Math.max(scale.low, end))));
    const [width, height] = [row[`${state.x}_uncertainty`], row[`${state.y}_uncertainty`]];
    const [left, right] = span(x, across, width ?? 0);
    const [bottom, top] = span(y, up, height ?? 0);
    return (width ? `M${left} ${y.at(up)}H${right}` : "") + (height ? `M${x.at(across)} ${bottom}V${top}` : "");
  }

  function applyScatter() {
    if (!explorer) return;
    const preset = one("#preset");
    if (!state.x) [state.kind, state.x, state.y] = preset.options[0].value.split(",");
    for (const way of ["x", "y"]) {
      one(`#${way}log`).checked = state.log ? state.log.includes(way) : metricOf(way)?.log;
      one(`#${way}`).value = state[way];
    }
    const choice = `${state.kind},${state.x},${state.y}`;
    preset.value = [...preset.options].some((option) => option.value === choice) ? choice : "";
    one("#kind").value = state.kind;
    one("#group").value = state.group || explorer.dataset.group;
    drawScatter();
  }

  function startScatter() {
    if (!explorer) return;
    const redrawn = (part) => { remember(part); applyScatter(); };
    const logs = () => ["x", "y"].filter((way) => one(`#${way}log`).checked).join() || "none";
    one("#preset").addEventListener("change", (event) => {
      const [kind, x, y] = event.target.value.split(",");
      if (y) redrawn({ kind, x, y, log: "" });
    });
    for (const name of ["kind", "x", "y", "group"]) one(`#${name}`).addEventListener("change", (event) => redrawn({ [name]: event.target.value }));
    for (const way of ["x", "y"]) one(`#${way}log`).addEventListener("change", () => redrawn({ log: logs() }));
  }

  // Drawers: the panel of a benchmark, shown as a dialog at the side of the page.

  const dialog = one("#drawer");
  let home = null;

  const BEGIN = '<details class="drawer">';
  let unparsed = null;

  /** The panel of a benchmark, parsed when it is first shown: the page has left all drawers as text. */
  function panelOf(key) {
    const panel = document.getElementById(key);
    if (panel) return panel;
    unparsed ??= one("#benchmarks noscript").textContent.split(BEGIN).slice(1);
    const drawer = document.createElement("template");
    drawer.innerHTML = BEGIN + unparsed[placeOf.get(key)];
    one("#benchmarks").append(drawer.content);
    return document.getElementById(key);
  }

  function openDrawer(key) {
    if (!placeOf.has(key)) return;
    const panel = panelOf(key);
    putBack();
    home = { panel, parent: panel.parentElement };
    one("#content").append(panel);
    dialog.setAttribute("aria-label", one("h3", panel).textContent);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    remember({ open: key });
    all(".power", panel).forEach(startTrace);
  }

  function putBack() {
    home?.parent.append(home.panel);
    home = null;
  }

  function startDrawers() {
    document.addEventListener("click", (event) => {
      const key = namedInAddress(event.target.closest?.("a")?.hash ?? "");
      if (!key) return;
      event.preventDefault();
      openDrawer(key);
    });
    // A mark of one benchmark in a figure leads to its details, too.
    document.addEventListener("click", (event) => {
      const place = event.target.closest?.("svg [data-of]")?.dataset.of;
      if (place in rows) openDrawer(rows[place].key);
    });
    one("#close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { putBack(); remember({ open: "" }); });
  }

  // Two runs: the later one is always compared with the earlier one.

  function startTwoRuns() {
    const [before, after] = [one("#before"), one("#after")];
    if (!before) return;
    const show = () => {
      for (const pair of all("[data-pair]")) pair.hidden = !(pair.open = pair.dataset.pair === `${before.value} ${after.value}`);
    };
    // The other choice moves on if it is no longer on its side.
    before.addEventListener("change", () => {
      after.value = Math.max(after.value, Number(before.value) + 1);
      show();
    });
    after.addEventListener("change", () => {
      before.value = Math.min(before.value, Number(after.value) - 1);
      show();
    });
    show();
  }

  // Tips: the text of a mark, next to it. The browser's own come late and at the pointer.

  const tip = one("#tip");
  const within = (value, low, high) => Math.max(low, Math.min(high, value));

  function showTip(mark) {
    const title = one(":scope > title", mark);
    // In a table the row has the name.
    const name = mark.closest("tr") ? undefined : rows[mark.dataset.of]?.name;
    if (title) mark.dataset.tip = name ? `${name}: ${title.textContent}` : title.textContent;
    title?.remove();
    tip.textContent = mark.dataset.tip;
    tip.togglePopover(true);
    const [box, size] = [mark.getBoundingClientRect(), tip.getBoundingClientRect()];
    const above = box.top - size.height - 6;
    tip.style.left = `${within(box.left + (box.width - size.width) / 2, 4, innerWidth - size.width - 4)}px`;
    tip.style.top = `${above < 4 ? box.bottom + 6 : above}px`;
  }

  function startTips() {
    const marks = "[data-tip], :is(svg, svg *):has(> title)";
    for (const [enter, leave] of [["pointerover", "pointerout"], ["focusin", "focusout"]]) {
      document.addEventListener(enter, (event) => {
        const mark = event.target.closest?.(marks);
        if (mark) showTip(mark);
      });
      document.addEventListener(leave, () => tip.togglePopover(false));
    }
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.togglePopover(false); });
  }

  // Traces: buckets of duration and joules, so that the joules of a span of buckets are exact.

  const { left: LEFT, right: RIGHT, top: TOP, bottom: BOTTOM, width: WIDTH } = frames.power;
  const FINEST = 900;

  /** Unpack the layout that model/traces.py documents. */
  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const [count, unit] = new Uint32Array(bytes.buffer, 0, 2);
    let offset = 8;
    const planes = (width, scale) => {
      const values = new Float64Array(count);
      for (let at = 0; at < width * count; at += 1) values[at % count] += bytes[offset + at] * 256 ** Math.floor(at / count) * scale;
      offset += width * count;
      return values;
    };
    const [duration, energy, lowest, highest] = [planes(4, 1e-6), planes(4, 1e-3), planes(2, unit / 1e3), planes(2, unit / 1e3)];
    return { count, edges: running(duration), spent: running(energy), lowest, highest };
  }

  function running(values) {
    const sums = new Float64Array(values.length + 1);
    values.forEach((value, index) => { sums[index + 1] = sums[index] + value; });
    return sums;
  }

  /** The number of the bucket edge nearest to a time. */
  function nearest(edges, time) {
    const after = edges.findIndex((edge) => edge >= time);
    if (after < 1) return after < 0 ? edges.length - 1 : 0;
    return time - edges[after - 1] < edges[after] - time ? after - 1 : after;
  }

  async function startTrace(figure) {
    const data = one("script", figure);
    if (!data || figure.dataset.started || typeof DecompressionStream === "undefined") return;
    figure.dataset.started = "yes";
    const known = JSON.parse(data.textContent);
    const trace = await unpack(known.data);
    figure.append(one("#zoom").content.cloneNode(true));
    const view = { figure, trace, known, first: 0, last: trace.count, y: axis(0, known.high, BOTTOM, TOP) };
    listen(view);
    drawTrace(view);
  }

  function timeAxis({ trace, first, last }) {
    const [begin, end] = [trace.edges[first], trace.edges[last]];
    const ticks = roundTicks(begin, end).map(([value, text]) => [value, `${text} s`]);
    return { ...axis(begin, end, LEFT, RIGHT), ticks };
  }

  /** Band and mean as steps, with at most as many buckets as there are pixels. */
  function curves({ trace, first, last, y }, x) {
    const [upper, lower, mean] = [[], [], []];
    const size = Math.max(1, Math.ceil((last - first) / FINEST));
    for (let begin = first; begin < last; begin += size) {
      const end = Math.min(begin + size, last);
      const watts = (trace.spent[end] - trace.spent[begin]) / (trace.edges[end] - trace.edges[begin]);
      if (!Number.isFinite(watts)) continue;
      for (const at of [x.at(trace.edges[begin]), x.at(trace.edges[end])]) {
        upper.push([at, y.at(Math.max(...trace.highest.subarray(begin, end)))]);
        lower.push([at, y.at(Math.min(...trace.lowest.subarray(begin, end)))]);
        mean.push([at, y.at(watts)]);
      }
    }
    return { band: `${outline([...upper, ...lower.reverse()])}Z`, mean: outline(mean) };
  }

  function drawTrace(view) {
    const { figure, known } = view;
    const x = timeAxis(view);
    const at = (time) => Math.min(RIGHT, Math.max(LEFT, x.at(time))).toFixed(1);
    const { band, mean } = curves(view, x);
    const shade = ([begin, end]) => `M${at(begin)} ${TOP}H${at(end)}V${known.floor}H${at(begin)}Z`;
    const level = (height, round) => (height === null ? "" : `M${at(known.rounds[round][0])} ${height}H${at(known.rounds[round][1])}`);
    one(".extremes", figure).setAttribute("d", band);
    one(".mean", figure).setAttribute("d", mean);
    one(".round", figure).setAttribute("d", known.rounds.map(shade).join(""));
    one(".lanes", figure)?.setAttribute("d", known.lanes.flatMap((lane) => lane.map(level)).join(""));
    one(".time", figure).replaceChildren(...ticksAcross(x, TOP, known.floor));
    tellSpan(view);
  }

  function tellSpan({ figure, trace, first, last }) {
    const [begin, end, joules] = [trace.edges[first], trace.edges[last], trace.spent[last] - trace.spent[first]];
    const span = `${begin.toFixed(3)} s to ${end.toFixed(3)} s`;
    one("output", figure).textContent = `${span}: ${joules.toPrecision(6)} J, mean ${(joules / (end - begin)).toPrecision(4)} W`;
  }

  function show(view, first, last) {
    const width = Math.max(2, Math.min(view.trace.count, Math.round(last - first)));
    view.first = Math.max(0, Math.min(view.trace.count - width, Math.round(first)));
    view.last = Math.min(view.trace.count, view.first + width);
    drawTrace(view);
  }

  /** How far the first and the last bucket move, as a share of the span. */
  const MOVES = { in: [0.25, -0.25], out: [-0.5, 0.5], left: [-0.25, -0.25], right: [0.25, 0.25], all: [-Infinity, Infinity] };
  const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all" };

  function move(view, name) {
    const width = view.last - view.first;
    const [first, last] = MOVES[name].map((step) => step * width);
    show(view, Math.max(0, view.first + first), Math.min(view.trace.count, view.last + last));
  }

  function listen(view) {
    const canvas = one(".trace", view.figure);
    canvas.setAttribute("tabindex", "0");
    for (const button of all("[data-zoom]", view.figure)) button.addEventListener("click", () => move(view, button.dataset.zoom));
    canvas.addEventListener("dblclick", () => move(view, "all"));
    canvas.addEventListener("keydown", (event) => {
      if (!(event.key in KEYS)) return;
      event.preventDefault();
      move(view, KEYS[event.key]);
    });
    listenToDrag(view, canvas);
  }

  function listenToDrag(view, canvas) {
    const chosen = make("rect", { class: "chosen", y: TOP, height: view.known.floor - TOP, width: 0 });
    canvas.append(chosen);
    let begin = null;
    const pixel = (event) => {
      const box = canvas.getBoundingClientRect();
      return Math.min(RIGHT, Math.max(LEFT, ((event.clientX - box.left) / box.width) * WIDTH));
    };
    const span = (event) => [begin, pixel(event)].sort((a, b) => a - b);
    canvas.addEventListener("pointerdown", (event) => {
      begin = pixel(event);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (begin === null) return;
      const [left, right] = span(event);
      chosen.setAttribute("x", left);
      chosen.setAttribute("width", right - left);
    });
    canvas.addEventListener("pointerup", (event) => {
      const [left, right] = span(event);
      begin = null;
      chosen.setAttribute("width", 0);
      if (right - left > 5) show(view, ...[left, right].map((at) => nearest(view.trace.edges, timeAxis(view).back(at))));
    });
  }

  // Start.

  function follow() {
    readAddress();
    openDrawer(state.open);
    applyFilter();
    applyTable();
    applyScatter();
  }

  for (const element of all("[data-needs-script]")) element.hidden = false;
  for (const element of all("[data-replaced-by-script]")) element.hidden = true;
  for (const element of all("[data-closed-by-script]")) element.open = false;
  startFilter();
  startTips();
  startTwoRuns();
  if (table) startTable();
  startScatter();
  startDrawers();
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => all("main > section details.more").forEach((details) => { details.open = true; }));
  follow();
  document.documentElement.dataset.ready = "yes";
})();
