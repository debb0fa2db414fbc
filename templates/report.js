"use strict";
// Without this script the page is whole and readable; with it one sorts, filters, picks axes,
// zooms traces and downloads. Text from the data enters the page as textContent or attribute only.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const one = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const { rows, columns } = JSON.parse(one("#data").textContent);

  /** A new element with attributes and text. */
  function make(name, attributes = {}, text = "") {
    const element = name === "li" || name === "option" ? document.createElement(name) : document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    return element;
  }

  // State: what the address tells, and what goes back there.

  const initial = () => ({ q: "", outcome: "", sort: "", cols: "", open: "", x: "", y: "", log: "", group: "" });
  let state = initial();

  function readAddress() {
    const told = location.hash.includes("=") ? new URLSearchParams(location.hash.slice(1)) : null;
    if (!told) return false;
    state = initial();
    for (const key of Object.keys(state)) state[key] = told.get(key) ?? "";
    return true;
  }

  function writeAddress() {
    const told = new URLSearchParams(Object.entries(state).filter(([, value]) => value));
    const hash = told.toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }

  // The table: filter, sort, columns, downloads.

  const table = one("#table");
  const lines = table ? all("tbody tr", table) : [];
  const line = (index) => rows[Number(lines[index].dataset.row)];
  const heads = table ? all("thead th", table) : [];

  function chosenColumns() {
    return new Set(state.cols ? state.cols.split(",") : columns.filter((c) => c.shown).map((c) => c.name));
  }

  function matches(row) {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const outcomes = state.outcome ? state.outcome.split(",") : [];
    const text = `${row.id} ${row.status}`.toLowerCase();
    return words.every((word) => text.includes(word)) && (!outcomes.length || outcomes.includes(row.outcome));
  }

  /** Missing values stay last in both directions. */
  function compare(a, b, name, sign) {
    const [left, right] = [a[name] ?? null, b[name] ?? null];
    if (left === null || right === null) return (left === null) - (right === null);
    if (typeof left === "number" && typeof right === "number") return sign * (left - right);
    return sign * String(left).localeCompare(String(right), undefined, { numeric: true });
  }

  function sorted() {
    const [name, way] = state.sort.split(":");
    const order = lines.map((_, index) => index);
    if (name) order.sort((a, b) => compare(line(a), line(b), name, way === "down" ? -1 : 1) || a - b);
    return order.map((index) => lines[index]);
  }

  function shownRows() {
    return sorted().filter((tr) => !tr.hidden).map((tr) => rows[Number(tr.dataset.row)]);
  }

  function applyTable() {
    if (!table) return;
    const [name, way] = state.sort.split(":");
    const columnsShown = chosenColumns();
    lines.forEach((tr, index) => { tr.hidden = !matches(line(index)); });
    one("tbody", table).append(...sorted());
    heads.forEach((head, index) => {
      const column = head.dataset.column;
      const hidden = index > 1 && !columnsShown.has(column);
      head.setAttribute("aria-sort", column !== name ? "none" : way === "down" ? "descending" : "ascending");
      if (head.hidden !== hidden) {
        head.hidden = hidden;
        for (const tr of lines) tr.cells[index].hidden = hidden;
      }
    });
    for (const box of all("input[name=column]")) box.checked = columnsShown.has(box.value);
    for (const card of all("button.card")) {
      card.setAttribute("aria-pressed", state.outcome.split(",").includes(card.dataset.outcome));
    }
    one("#filter").value = state.q;
    const shown = lines.filter((tr) => !tr.hidden).length;
    one("#shown").textContent = `${shown} of ${rows.length} shown`;
  }

  function change(part) {
    Object.assign(state, part);
    writeAddress();
    applyTable();
  }

  function toggle(list, item) {
    const items = new Set(list ? list.split(",") : []);
    if (!items.delete(item)) items.add(item);
    return [...items].join(",");
  }

  /** Spreadsheets run cells that begin like a formula; a quote in front keeps them text. */
  function csvCell(value) {
    if (value === null || value === undefined) return "";
    if (typeof value === "number") return String(value);
    const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return `"${text.replaceAll('"', '""')}"`;
  }

  function csv(found) {
    const names = [...new Set(found.flatMap((row) => Object.keys(row)))].filter((name) => name !== "workload");
    const body = found.map((row) => names.map((name) => csvCell(row[name])).join(","));
    return [names.map(csvCell).join(","), ...body, ""].join("\r\n");
  }

  function download(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function startTable() {
    for (const head of heads) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const [name, way] = state.sort.split(":");
        const again = name === head.dataset.column;
        change({ sort: again && way === "down" ? "" : `${head.dataset.column}:${again ? "down" : "up"}` });
      });
    }
    one("#filter").addEventListener("input", (event) => change({ q: event.target.value }));
    for (const card of all("button.card")) {
      card.addEventListener("click", () => change({ outcome: toggle(state.outcome, card.dataset.outcome) }));
    }
    for (const box of all("input[name=column]")) {
      box.addEventListener("change", () => change({ cols: all("input[name=column]:checked").map((b) => b.value).join(",") }));
    }
    one("#csv").addEventListener("click", () => download("energy.csv", "text/csv", csv(shownRows())));
    one("#json").addEventListener("click", () => download("energy.json", "application/json", JSON.stringify(shownRows(), null, 1)));
    one("#reset").addEventListener("click", () => { change(initial()); });
  }

  // Numbers at axes, as format.py writes them.

  const PREFIXES = { "-9": "n", "-6": "µ", "-3": "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P" };

  function tick(value) {
    const size = Math.abs(value);
    const power = size === 0 || (size >= 0.1 && size < 1) ? 0 : 3 * Math.floor(Math.log10(size) / 3 + 1e-12);
    const held = Math.max(-9, Math.min(15, power));
    return `${Number((value / 10 ** held).toPrecision(4))}${PREFIXES[held]}`.replace("-", "−");
  }

  function ticks(low, high, log) {
    if (log) {
      const found = [];
      const factors = high / low > 1000 ? [1] : high / low > 30 ? [1, 3] : [1, 2, 5];
      for (let decade = Math.floor(Math.log10(low)); decade <= Math.log10(high); decade += 1) {
        for (const factor of factors) found.push(factor * 10 ** decade);
      }
      return found.filter((value) => value >= low && value <= high);
    }
    const rough = (high - low) / 6;
    const magnitude = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((size) => size >= rough * 0.999);
    const found = [];
    for (let index = Math.ceil(low / step - 1e-9); index <= high / step + 1e-9; index += 1) found.push(index * step);
    return found;
  }

  function axis(low, high, begin, end, log) {
    const map = log ? Math.log10 : (value) => value;
    return {
      at: (value) => begin + ((map(value) - map(low)) / (map(high) - map(low))) * (end - begin),
      back: (pixel) => low + ((pixel - begin) / (end - begin)) * (high - low),
      ticks: ticks(low, high, log),
    };
  }

  function fit(values, begin, end, log) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    if (log) {
      const room = Math.max((high / low) ** 0.06, 1.15);
      return axis(low / room, high * room, begin, end, true);
    }
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    return axis(low - room, high + room, begin, end, false);
  }

  // Trade-offs: any metric against any.

  const explorer = one("#explorer");
  const numeric = columns.filter((column) => rows.some((row) => typeof row[column.name] === "number"));
  const facts = [...new Set(rows.flatMap((row) => Object.keys(row.workload)))];
  const groupOf = (row, name) => String(row.workload[name] ?? row.kind);

  function pareto(points, xWay, yWay) {
    if (!xWay || !yWay) return [];
    const [xSign, ySign] = [xWay, yWay].map((way) => (way === "less" ? 1 : -1));
    const front = [];
    for (const point of [...points].sort((a, b) => xSign * (a.x - b.x) || ySign * (a.y - b.y))) {
      if (!front.length || ySign * point.y < ySign * front.at(-1).y) front.push(point);
    }
    return front;
  }

  function drawScatter() {
    const [xName, yName] = [one("#x").value, one("#y").value];
    const [xLog, yLog] = [one("#xlog").checked, one("#ylog").checked];
    const usable = (value, log) => typeof value === "number" && (!log || value > 0);
    const unit = explorer.dataset.unit || null;
    const points = rows
      .filter((row) => row.unit === unit && usable(row[xName], xLog) && usable(row[yName], yLog))
      .map((row) => ({ row, x: row[xName], y: row[yName] }));
    const canvas = one("#scatter");
    canvas.replaceChildren();
    one("#legend").replaceChildren();
    one("#point").textContent = points.length ? "" : "No benchmark has both metrics.";
    if (!points.length) return;
    const x = fit(points.map((point) => point.x), 66, 826, xLog);
    const y = fit(points.map((point) => point.y), 390, 14, yLog);
    drawAxes(canvas, x, y, xName, yName);
    const way = (name) => columns.find((column) => column.name === name).better;
    const front = pareto(points, way(xName), way(yName));
    if (front.length > 1) canvas.append(make("path", { class: "front", fill: "none", "stroke-dasharray": "5 4", d: outline(front.map((p) => [x.at(p.x), y.at(p.y)])) }));
    drawPoints(canvas, points, x, y);
  }

  const outline = (points) => `M${points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")}`;

  function drawAxes(canvas, x, y, xName, yName) {
    const label = (name) => columns.find((column) => column.name === name).axis;
    for (const value of x.ticks) {
      canvas.append(make("line", { class: "grid", x1: x.at(value), x2: x.at(value), y1: 14, y2: 390 }));
      canvas.append(make("text", { class: "tick", x: x.at(value), y: 406, "text-anchor": "middle", "font-size": 11 }, tick(value)));
    }
    for (const value of y.ticks) {
      canvas.append(make("line", { class: "grid", x1: 66, x2: 826, y1: y.at(value), y2: y.at(value) }));
      canvas.append(make("text", { class: "tick", x: 60, y: y.at(value) + 3.5, "text-anchor": "end", "font-size": 11 }, tick(value)));
    }
    canvas.append(make("text", { class: "tick", x: 446, y: 430, "text-anchor": "middle", "font-size": 12 }, label(xName)));
    canvas.append(make("text", { class: "tick", x: 14, y: 202, "text-anchor": "middle", "font-size": 12, transform: "rotate(-90 14 202)" }, label(yName)));
  }

  function drawPoints(canvas, points, x, y) {
    const fact = one("#group").value;
    const groups = [...new Set(points.map((point) => groupOf(point.row, fact)))];
    const style = (index) => ({ class: `fill c${index % explorer.dataset.colours}`, href: `#s${index % explorer.dataset.shapes}` });
    for (const point of points) {
      const mark = make("use", { ...style(groups.indexOf(groupOf(point.row, fact))), x: x.at(point.x), y: y.at(point.y) });
      const told = `${point.row.name}: ${tick(point.x)} across, ${tick(point.y)} up`;
      mark.append(make("title", {}, told));
      mark.addEventListener("click", () => openDrawer(point.row.key));
      mark.addEventListener("pointerenter", () => { one("#point").textContent = told; });
      canvas.append(mark);
    }
    groups.forEach((name, index) => {
      const item = make("li");
      const sample = make("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" });
      sample.append(make("use", style(index)));
      item.append(sample, ` ${name}`);
      one("#legend").append(item);
    });
  }

  /** As on the server: logarithmic where values span more than a factor of eight. */
  function spansDecades(name) {
    const values = rows.map((row) => row[name]).filter((value) => typeof value === "number");
    return Math.min(...values) > 0 && Math.max(...values) > 8 * Math.min(...values);
  }

  function applyScatter() {
    if (!explorer) return;
    const preset = one("#preset");
    if (!state.x && !state.y) [state.x, state.y] = preset.options[0].value.split(",");
    one("#x").value = state.x;
    one("#y").value = state.y;
    const choice = `${state.x},${state.y}`;
    preset.value = all("option", preset).some((option) => option.value === choice) ? choice : "";
    if (state.group) one("#group").value = state.group;
    const log = state.log || [["x", state.x], ["y", state.y]].filter(([, name]) => spansDecades(name)).map(([way]) => way).join(",");
    one("#xlog").checked = log.includes("x");
    one("#ylog").checked = log.includes("y");
    drawScatter();
  }

  function startScatter() {
    if (!explorer) return;
    for (const select of [one("#x"), one("#y")]) select.append(...numeric.map((c) => make("option", { value: c.name }, c.label)));
    one("#group").append(...facts.map((name) => make("option", { value: name }, name.replaceAll("_", " "))));
    one("#group").value = explorer.dataset.group;
    const redraw = (part) => { Object.assign(state, part); writeAddress(); applyScatter(); };
    one("#preset").addEventListener("change", (event) => {
      const [x, y] = event.target.value.split(",");
      if (y) redraw({ x, y, log: "" });
    });
    for (const name of ["x", "y", "group"]) one(`#${name}`).addEventListener("change", (event) => redraw({ [name]: event.target.value }));
    const logs = () => ["x", "y"].filter((name) => one(`#${name}log`).checked).join(",") || "none";
    for (const name of ["x", "y"]) one(`#${name}log`).addEventListener("change", () => redraw({ log: logs() }));
  }

  // Drawers: the panel of a benchmark, shown as a dialog beside the page.

  const dialog = one("#drawer");
  let home = null;

  function openDrawer(key) {
    const panel = document.getElementById(key);
    if (!panel || !/^b\d+$/.test(key)) return;
    if (home) putBack();
    home = { panel, parent: panel.parentElement };
    one("#content").append(panel);
    dialog.setAttribute("aria-label", one("h3", panel).textContent);
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    state.open = key;
    writeAddress();
    for (const figure of all(".power", panel)) startTrace(figure);
  }

  function putBack() {
    home.parent.append(home.panel);
    home = null;
    state.open = "";
  }

  function startDrawers() {
    document.addEventListener("click", (event) => {
      const link = event.target.closest?.('a[href^="#b"]');
      if (!link || !/^#b\d+$/.test(link.getAttribute("href"))) return;
      event.preventDefault();
      openDrawer(link.getAttribute("href").slice(1));
    });
    one("#close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { if (home) putBack(); writeAddress(); });
    for (const drawer of all("details.drawer")) {
      drawer.addEventListener("toggle", () => { if (drawer.open) for (const figure of all(".power", drawer)) startTrace(figure); });
    }
  }

  // Traces: buckets of duration and joules, so that the joules of a span of buckets are exact.

  const LEFT = 58, RIGHT = 708, TOP = 12, BOTTOM = 190;

  /** Unpack the layout that traces.py documents. */
  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const view = new DataView(bytes.buffer);
    const [count, unit] = [view.getUint32(0, true), view.getUint32(4, true)];
    let offset = 8;
    const column = (width, scale) => {
      const values = new Float64Array(count);
      for (let plane = 0; plane < width; plane += 1) {
        for (let i = 0; i < count; i += 1) values[i] += bytes[offset + plane * count + i] * 256 ** plane;
      }
      offset += width * count;
      return values.map((value) => value * scale);
    };
    const [duration, energy, lowest, highest] = [column(4, 1e-6), column(4, 1e-3), column(2, unit / 1e3), column(2, unit / 1e3)];
    const running = (values) => values.reduce((sums, value, i) => { sums[i + 1] = sums[i] + value; return sums; }, new Float64Array(count + 1));
    return { count, edges: running(duration), spent: running(energy), lowest, highest };
  }

  /** The bucket edge nearest to a time. */
  function nearest(edges, time) {
    let [low, high] = [0, edges.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (edges[middle] <= time) low = middle; else high = middle;
    }
    return time - edges[low] < edges[high] - time ? low : high;
  }

  async function startTrace(figure) {
    if (figure.dataset.started || typeof DecompressionStream === "undefined") return;
    figure.dataset.started = "yes";
    const told = JSON.parse(figure.dataset.trace);
    const trace = await unpack(told.data);
    figure.append(one("#zoom").content.cloneNode(true));
    const view = { figure, trace, rounds: told.rounds, first: 0, last: trace.count, y: axis(0, told.high, BOTTOM, TOP, false) };
    listen(view);
    drawTrace(view);
  }

  function drawTrace(view) {
    const { figure, trace, first, last, y } = view;
    const x = axis(trace.edges[first], trace.edges[last], LEFT, RIGHT, false);
    const clip = (pixel) => Math.min(RIGHT, Math.max(LEFT, pixel));
    const [upper, lower, middle] = [[], [], []];
    const size = Math.max(1, Math.ceil((last - first) / 900));
    for (let i = first; i < last; i += size) {
      const end = Math.min(i + size, last);
      const duration = trace.edges[end] - trace.edges[i];
      if (duration <= 0) continue;
      const mean = y.at((trace.spent[end] - trace.spent[i]) / duration);
      const [low, high] = [y.at(Math.min(...trace.lowest.subarray(i, end))), y.at(Math.max(...trace.highest.subarray(i, end)))];
      for (const at of [x.at(trace.edges[i]), x.at(trace.edges[end])]) {
        upper.push([at, high]);
        lower.push([at, low]);
        middle.push([at, mean]);
      }
    }
    one(".extremes", figure).setAttribute("d", `${outline([...upper, ...lower.reverse()])}Z`);
    one(".mean", figure).setAttribute("d", outline(middle));
    const shade = ([begin, end]) => `M${clip(x.at(begin))} ${TOP}H${clip(x.at(end))}V${BOTTOM}H${clip(x.at(begin))}Z`;
    one(".round", figure).setAttribute("d", view.rounds.map(shade).join(""));
    one(".time", figure).replaceChildren(...x.ticks.flatMap((value) => [
      make("line", { class: "grid", x1: x.at(value), x2: x.at(value), y1: TOP, y2: BOTTOM }),
      make("text", { class: "tick", x: x.at(value), y: BOTTOM + 15, "text-anchor": "middle", "font-size": 11 }, tick(value)),
    ]));
    tellSpan(view);
  }

  function tellSpan({ figure, trace, first, last }) {
    const [begin, end] = [trace.edges[first], trace.edges[last]];
    const joules = trace.spent[last] - trace.spent[first];
    const output = one("output", figure);
    output.dataset.joules = joules;
    output.dataset.begin = begin;
    output.dataset.end = end;
    const span = `${begin.toFixed(3)} s to ${end.toFixed(3)} s`;
    output.textContent = `${span}: ${joules.toPrecision(6)} J, mean ${(joules / (end - begin)).toPrecision(4)} W`;
  }

  function show(view, first, last) {
    const width = Math.max(2, Math.min(view.trace.count, Math.round(last - first)));
    view.first = Math.max(0, Math.min(view.trace.count - width, Math.round(first)));
    view.last = Math.min(view.trace.count, view.first + width);
    drawTrace(view);
  }

  const MOVES = {
    in: ({ first, last }) => [first + (last - first) / 4, last - (last - first) / 4],
    out: ({ first, last }) => [first - (last - first) / 2, last + (last - first) / 2],
    left: ({ first, last }) => [first - (last - first) / 4, last - (last - first) / 4],
    right: ({ first, last }) => [first + (last - first) / 4, last + (last - first) / 4],
    all: ({ trace }) => [0, trace.count],
  };
  const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "left", ArrowRight: "right", 0: "all" };

  function listen(view) {
    const canvas = one(".trace", view.figure);
    canvas.setAttribute("tabindex", "0");
    for (const button of all("[data-zoom]", view.figure)) {
      button.addEventListener("click", () => show(view, ...MOVES[button.dataset.zoom](view)));
    }
    canvas.addEventListener("keydown", (event) => {
      const move = KEYS[event.key];
      if (!move) return;
      event.preventDefault();
      show(view, ...MOVES[move](view));
    });
    canvas.addEventListener("dblclick", () => show(view, ...MOVES.all(view)));
    listenToDrag(view, canvas);
  }

  function listenToDrag(view, canvas) {
    const chosen = make("rect", { class: "chosen", y: TOP, height: BOTTOM - TOP, width: 0, x: LEFT });
    canvas.append(chosen);
    const pixel = (event) => {
      const box = canvas.getBoundingClientRect();
      return Math.min(RIGHT, Math.max(LEFT, ((event.clientX - box.left) / box.width) * 720));
    };
    let begin = null;
    canvas.addEventListener("pointerdown", (event) => { begin = pixel(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (begin === null) return;
      chosen.setAttribute("x", Math.min(begin, pixel(event)));
      chosen.setAttribute("width", Math.abs(pixel(event) - begin));
    });
    canvas.addEventListener("pointerup", (event) => {
      const [left, right] = [begin, pixel(event)].sort((a, b) => a - b);
      begin = null;
      chosen.setAttribute("width", 0);
      if (right - left < 5) return;
      const x = axis(view.trace.edges[view.first], view.trace.edges[view.last], LEFT, RIGHT, false);
      show(view, nearest(view.trace.edges, x.back(left)), nearest(view.trace.edges, x.back(right)));
    });
  }

  // Start.

  for (const element of all("[data-needs-script]")) element.hidden = false;
  for (const element of all("[data-closed-by-script]")) element.open = false;
  if (table) startTable();
  startScatter();
  startDrawers();
  function follow() {
    const anchor = location.hash.slice(1);
    if (/^b\d+$/.test(anchor)) openDrawer(anchor);
    else if (readAddress() && state.open) openDrawer(state.open);
    applyTable();
    applyScatter();
  }
  window.addEventListener("hashchange", follow);
  window.addEventListener("beforeprint", () => { for (const details of all("details.more")) details.open = true; });
  follow();
  document.documentElement.dataset.ready = "yes";
})();
