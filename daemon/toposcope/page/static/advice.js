"use strict";
// The form for advice: asks /api/v1/recommend, shows the answer, draws it onto the topology.

const COMMANDS_SHOWN = 3; // the rest are a click away

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function startAdvice(form, answer) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      answer.replaceChildren(...await advise(requestOf(form)));
    } catch (error) {
      answer.replaceChildren(element("p", { className: "problem", textContent: `No advice: ${error.message}` }));
    } finally {
      button.disabled = false;
    }
  });
}

function requestOf(form) {
  const fields = Object.fromEntries(new FormData(form));
  return { ...fields, workers: Number(fields.workers), exact: "exact" in fields };
}

async function advise(request) {
  const response = await fetch("/api/v1/recommend", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request),
  });
  const document = await response.json();
  if (!response.ok) {
    const { message = response.statusText, hint = "" } = document.error || {};
    throw new Error(hint ? `${message} (${hint})` : message);
  }
  return describe(document);
}

function describe({ advice: verb, placements, not_considered: left }) {
  const parts = [];
  if (verb === "leave") {
    parts.push(element("p", {}, element("strong", { textContent: "Leave it as it is." }),
      placements.length ? " What would come first:" : ""));
  }
  const picture = element("div", { className: "scroll picture", tabIndex: 0 });
  picture.setAttribute("role", "region");
  picture.setAttribute("aria-label", "The advice on the topology, picture");
  if (placements.length) {
    const cards = placements.map((placement, index) => card(placement, index, picture));
    parts.push(element("div", { className: "sides" }, element("div", {}, ...cards), picture));
    // Once it is on the page it has a size, and can be scrolled to what is marked.
    requestAnimationFrame(() => draw(picture, placements[0].cpus));
  }
  if (left.length) parts.push(folded("not considered", list(left)));
  return parts;
}

function folded(title, ...children) {
  return element("details", {}, element("summary", { textContent: title }), ...children);
}

function card(placement, index, picture) {
  const show = element("button", { type: "button", textContent: "Show on the picture" });
  show.addEventListener("click", () => draw(picture, placement.cpus));
  const nodes = placement.nodes.length ? `, node ${ranges(placement.nodes)}` : "";
  const commands = Object.entries(placement.commands).map(([name, text]) => command(name, text));
  const more = commands.splice(COMMANDS_SHOWN);
  return element("div", { className: "advised-at" },
    element("h3", { textContent: `${index + 1}. ${placement.model} on CPU ${ranges(placement.cpus)}${nodes}` }),
    element("p", { textContent: gain(placement) }),
    list(placement.reasons),
    placement.evidence.length ? folded("evidence", list(placement.evidence.map(said))) : null,
    ...commands,
    more.length ? folded(`${more.length} more launchers`, ...more) : null,
    show);
}

function said({ what, basis, detail, age_s: age }) {
  const parts = [basis];
  if (typeof age === "number") parts.push(`${Math.round(age)} s old`);
  if (detail) parts.push(detail);
  return `${what}: ${parts.join(", ")}`;
}

function gain({ expected_gain_ratio: ratio, interval, confidence }) {
  const parts = [];
  if (ratio === null) parts.push("gain not known: nothing was measured that tells it");
  else {
    const bounds = interval ? ` (${interval.map((each) => each.toPrecision(3)).join(" to ")})` : "";
    parts.push(`expected gain ${ratio.toPrecision(3)}×${bounds}`);
  }
  parts.push(`confidence ${Math.round(confidence * 100)} %`);
  return parts.join(", ");
}

function list(items) {
  return element("ul", {}, ...items.map((item) => element("li", { textContent: item })));
}

function command(name, text) {
  const button = element("button", { type: "button", textContent: "Copy", className: "copy" });
  button.setAttribute("aria-label", `Copy the ${name} command`);
  const code = element("pre", {}, element("code", { textContent: text }));
  button.addEventListener("click", async () => {
    await copy(text, code);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return element("div", { className: "command" },
    element("span", { className: "name", textContent: name }), code, button);
}

// navigator.clipboard exists only in secure contexts (https, localhost): elsewhere the old way has to do.
async function copy(text, shown) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  getSelection().selectAllChildren(shown);
  document.execCommand("copy");
}

function draw(picture, cpus) {
  const source = document.querySelector("#topology svg.topo");
  if (!source) return;
  const chosen = new Set(cpus.map(String));
  const drawn = source.cloneNode(true);
  drawn.setAttribute("aria-label", `Topology with CPUs ${ranges(cpus)} marked`);
  for (const cell of drawn.querySelectorAll("rect[data-cpu]")) {
    cell.classList.remove("busy");
    cell.classList.toggle("advised", chosen.has(cell.dataset.cpu));
  }
  picture.replaceChildren(drawn);
  const first = drawn.querySelector(".advised");
  if (!first) return;
  const [at, frame] = [first.getBoundingClientRect(), picture.getBoundingClientRect()];
  picture.scrollTop += at.top - frame.top - 60;
  picture.scrollLeft += at.left - frame.left - 60;
}

function ranges(cpus) {
  const sorted = [...cpus].sort((one, other) => one - other);
  const parts = [];
  for (const cpu of sorted) {
    const last = parts.at(-1);
    if (last && last[1] === cpu - 1) last[1] = cpu; else parts.push([cpu, cpu]);
  }
  return parts.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(",");
}
