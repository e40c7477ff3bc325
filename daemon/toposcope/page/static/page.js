"use strict";
// Keeps the page up to date: asks the daemon every few seconds while the page is seen, and says when it is gone.

const POLL_MS = 5000;
const HEATMAP_MS = 15000; // where there is one; until then it is asked for with each poll
const etags = new Map();

const banner = document.getElementById("banner");
let lastAnswer = new Date();
let pollTimer = 0;
let heatmapAt = 0;

// What is at `path`, null where it is what we have already; throws where there is no good answer.
async function news(path, read = (response) => response.json()) {
  const headers = etags.has(path) ? { "If-None-Match": etags.get(path) } : {};
  const response = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(10000) });
  if (response.status === 304) return null;
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  etags.set(path, response.headers.get("ETag"));
  return read(response);
}

const heatmap = startHeatmap(async (probe, shown) => {
  if (!shown) etags.delete(`/page/heatmap/${probe}`);
  heatmapAt = Date.now();
  return news(`/page/heatmap/${probe}`);
});

function heatmapIsDue() {
  if (document.body.dataset.mode === "replay") return false;
  return !heatmap.map.data || Date.now() - heatmapAt > HEATMAP_MS;
}

async function poll() {
  clearTimeout(pollTimer);
  try {
    const answer = await news("/page/live");
    if (answer) show(answer);
    await showMeasured();
    if (heatmapIsDue()) await heatmap.refresh();
    lastAnswer = new Date();
    banner.hidden = true;
    document.getElementById("updated").textContent = `live, last answer ${lastAnswer.toLocaleTimeString()}`;
  } catch (error) {
    banner.textContent = `The daemon does not answer since ${lastAnswer.toLocaleTimeString()}; what is shown is as of `
      + "then. Trying again every 5 seconds.";
    banner.hidden = false;
  }
  ages();
  if (!document.hidden) pollTimer = setTimeout(poll, POLL_MS);
}

function show({ fingerprint, sections, busy_cpus: busy }) {
  if (fingerprint !== document.body.dataset.fingerprint) {
    location.reload(); // the machine changed: every picture of it is out of date
    return;
  }
  for (const [name, html] of Object.entries(sections)) replace(name, html);
  markBusy(busy);
}

// Sections are escaped by the server; what is open, scrolled or focused in them stays so.
function replace(name, html) {
  const holder = document.querySelector(`[data-live="${name}"]`);
  if (holder.dataset.shown === html) return;
  holder.dataset.shown = html;
  if (holder.contains(document.activeElement) && document.activeElement.tagName !== "DIV") return;
  const open = [...holder.querySelectorAll("details")].map((details) => details.open);
  const scrolled = [...holder.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
  holder.innerHTML = html;
  holder.querySelectorAll("details").forEach((details, index) => { details.open = Boolean(open[index]); });
  holder.querySelectorAll(".scroll").forEach((each, index) => {
    if (scrolled[index]) [each.scrollLeft, each.scrollTop] = scrolled[index];
  });
}

function markBusy(busy) {
  const cpus = new Set(busy.map(String));
  for (const cell of document.querySelectorAll("#topology rect[data-cpu]")) {
    cell.classList.toggle("busy", cpus.has(cell.dataset.cpu));
  }
}

function ages() {
  for (const time of document.querySelectorAll("time[data-s]")) {
    const seconds = Math.max(0, Date.now() / 1000 - Number(time.dataset.s));
    const [amount, unit] = seconds < 120 ? [seconds, "s"] : seconds < 7200 ? [seconds / 60, "min"]
      : seconds < 172800 ? [seconds / 3600, "h"] : [seconds / 86400, "days"];
    time.title = time.title || time.textContent;
    time.textContent = `${Math.round(amount)} ${unit} ago`;
  }
}

// Levels are inferred in the background, seconds after the daemon's start and now and then afterwards.
async function showMeasured() {
  const html = await news("/page/measured", (response) => response.text());
  if (html === null) return;
  const holder = document.getElementById("measured");
  const open = holder.querySelector("details")?.open;
  holder.innerHTML = html;
  if (open) holder.querySelector("details").open = true;
}

function startHistory(form) {
  const picture = document.getElementById("history-picture");
  const refresh = () => {
    const { id, hours } = Object.fromEntries(new FormData(form));
    picture.src = `/page/history.svg?${new URLSearchParams({ id, hours })}`;
    picture.alt = `Plot of ${id} over the last ${hours} hours; the numbers are in the JSON`;
    picture.hidden = false;
    const path = id.split("/").map(encodeURIComponent).join("/");
    document.getElementById("history-json").href = `/api/v1/history/${path}?hours=${hours}`;
  };
  form.addEventListener("change", refresh);
  refresh();
}

async function start() {
  startAdvice(document.getElementById("advice-form"), document.getElementById("advice-answer"));
  const history = document.getElementById("history-form");
  if (history) startHistory(history);
  ages();
  await heatmap.refresh().catch(() => {});
  document.body.dataset.ready = "true";
  performance.mark("ready");
  document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
  await poll();
}

start();
