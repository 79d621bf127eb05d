// What makes the pages quicker to use. Without it they show the same: nothing here is needed to read.
// Texts of strangers are only ever put in as text.

const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = (selector, from = document) => from.querySelector(selector);

// Times: as the reader's clock shows them; the exact one stays in the title.
const forms = {
  clock: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }),
  moment: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }),
  zoned: new Intl.DateTimeFormat(undefined, {
    day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
  }),
  axis: new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }),
};
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function localise() {
  for (const time of all("time[data-form]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.textContent = forms[time.dataset.form].format(moment);
    time.title = `${time.dateTime} (shown in ${zone})`;
  }
  for (const mark of all("text[data-time]")) {
    const moment = new Date(mark.dataset.time);
    if (!Number.isNaN(moment.getTime())) mark.textContent = forms.axis.format(moment);
  }
}

// Keys: j and k move, Enter opens, / searches, u goes back to the list, ? tells.
let here = -1;

function move(step) {
  const rows = all("table.list tbody tr");
  if (!rows.length) return false;
  here = Math.min(Math.max(here + step, 0), rows.length - 1);
  rows.forEach((row, number) => row.classList.toggle("here", number === here));
  rows[here].scrollIntoView({ block: "nearest" });
  one("a", rows[here])?.focus({ preventScroll: true });
  return true;
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea, dialog")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const link = one(`[data-key="${CSS.escape(event.key)}"]`);
  const done = {
    j: () => link ? (link.click(), true) : move(1),
    k: () => link ? (link.click(), true) : move(-1),
    u: () => link && (link.click(), true),
    "/": () => one("#search")?.focus() ?? true,
    "?": () => (one("#keys").showModal(), true),
  }[event.key]?.();
  if (done) event.preventDefault();
}

// The histogram: dragging over it chooses a span of time.
function dragging(figure) {
  const drawing = one("svg", figure);
  const from = Date.parse(figure.dataset.from), to = Date.parse(figure.dataset.to);
  if (!drawing || !(to > from)) return;
  const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  box.setAttribute("class", "chosen");
  box.setAttribute("y", "0");
  box.setAttribute("height", "72");
  let start = null, moved = false;
  const at = (event) => {
    const room = drawing.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - room.left) / room.width, 0), 1);
  };
  drawing.addEventListener("pointerdown", (event) => { if (event.button === 0) { start = at(event); moved = false; } });
  drawing.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const end = at(event);
    if (Math.abs(end - start) < 0.004) return;
    moved = true;
    drawing.append(box);
    box.setAttribute("x", String(Math.min(start, end) * 1180));
    box.setAttribute("width", String(Math.abs(end - start) * 1180));
  });
  addEventListener("pointerup", (event) => {
    if (start !== null && moved) {
      const [first, last] = [start, at(event)].sort((a, b) => a - b);
      const address = new URL(location.href);
      address.searchParams.set("since", new Date(from + first * (to - from)).toISOString());
      address.searchParams.set("until", new Date(from + last * (to - from)).toISOString());
      address.searchParams.delete("cursor");
      location.assign(address);
    }
    start = null;
  });
  drawing.addEventListener("click", (event) => { if (moved) event.preventDefault(); }, true);
  drawing.addEventListener("dragstart", (event) => event.preventDefault());
}

function copying(button) {
  button.hidden = false;
  const name = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      button.textContent = "The browser does not allow it";
    }
    setTimeout(() => { button.textContent = name; }, 1500);
  });
}

// Live: new exchanges are counted above the list and wait there; the list that one reads does not move.
function living(button) {
  const bar = one("#fresh"), link = one("#fresh a");
  let source = null, fresh = 0, left = 0;
  const tell = () => {
    bar.hidden = fresh + left === 0;
    link.textContent = `${fresh.toLocaleString()} new` + (left ? `, and ${left.toLocaleString()} that came too fast to be told` : "");
  };
  button.hidden = false;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    if (source) {
      source.close();
      source = null;
    } else {
      source = new EventSource(button.dataset.live);
      source.addEventListener("error", () => {
        if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
        source = null;
        button.setAttribute("aria-pressed", "false");
        button.textContent = "Live has ended: again";
      });
      const count = () => { fresh += 1; tell(); };
      source.addEventListener("exchange", count);
      source.addEventListener("message", count);
      source.addEventListener("left_out", (event) => { left += JSON.parse(event.data).count ?? 0; tell(); });
    }
    button.setAttribute("aria-pressed", String(source !== null));
    button.textContent = source ? "Live: pause" : "Live";
  });
}

// Replay: a dot over the stream, and the answer typed at the pace in which it came. Arrow keys step from event to event.
function replaying(strip) {
  const button = one("[data-replay]", strip), dot = one("circle", strip), clock = one("[data-clock]", strip);
  const answer = all("[data-answer]").at(-1);
  let passed = 0;
  const times = JSON.parse(strip.dataset.times).map((step) => passed += step), total = Number(strip.dataset.total) || times.at(-1);
  const lengths = JSON.parse(strip.dataset.lengths || "[]");
  const text = answer?.textContent ?? "", told = clock.textContent;
  const ends = [];
  let sum = 0;
  const whole = lengths.reduce((before, length) => before + length, 0);
  for (let number = 0; number < times.length; number += 1) {
    sum += whole ? lengths[number] : 1;
    ends.push(Math.round(text.length * sum / (whole || times.length)));
  }
  let running = 0, begun = 0, at = 0;
  const show = (ms) => {
    at = Math.min(Math.max(ms, 0), total);
    let low = 0, high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] <= at) low = middle + 1; else high = middle;
    }
    dot.setAttribute("visibility", "visible");
    dot.setAttribute("cx", String(640 * at / total));
    clock.textContent = `${(at / 1000).toFixed(1)} / ${(total / 1000).toFixed(1)} s`;
    if (answer) answer.textContent = text.slice(0, low ? ends[low - 1] : 0);
    return low;
  };
  const stop = () => { cancelAnimationFrame(running); running = 0; button.textContent = "Replay"; };
  const step = (now) => {
    show(now - begun);
    if (at >= total) { stop(); clock.textContent = told; return; }
    running = requestAnimationFrame(step);
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    if (running) { stop(); return; }
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) { show(total); return; }
    begun = performance.now() - (at >= total ? 0 : at);
    button.textContent = "Pause";
    running = requestAnimationFrame(step);
  });
  strip.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    if (running) stop();
    const number = show(at);
    show(way > 0 ? times[number] ?? total : times[number - 2] ?? 0);
  });
}

localise();
all(".scroll > svg.chart").forEach((chart) => { chart.parentElement.scrollLeft = chart.parentElement.scrollWidth; }); // the newest is at the end
addEventListener("keydown", onKey);
all("figure.chart").forEach(dragging);
all("[data-copy]").forEach(copying);
all("[data-live]").forEach(living);
all(".strip[data-times]").forEach(replaying);
if (matchMedia("(max-width: 760px)").matches) all("details.facets").forEach((part) => { part.open = false; });
