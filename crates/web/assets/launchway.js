// Keeps open pages up to date and adds small comforts. Every page can be read, and every form sent, without it.
// Whatever is put into the page as markup was rendered and escaped by the server.

document.documentElement.classList.add("js");

const MOST_LINES = 5000;
const byId = (id) => document.getElementById(id);

// Times: "3 min ago" and running durations go on while the page is open.

function ago(millis) {
  const seconds = Math.floor((Date.now() - millis) / 1000);
  if (seconds < 5) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

function duration(millis) {
  const seconds = Math.floor(millis / 1000);
  const rest = (whole, unit, part, small) => (part ? `${whole} ${unit} ${part} ${small}` : `${whole} ${unit}`);
  if (millis < 0) return "0 ms";
  if (millis < 9950) return `${(millis / 1000).toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(millis / 1000)} s`;
  if (seconds < 3600) return rest(Math.floor(seconds / 60), "min", seconds % 60, "s");
  return rest(Math.floor(seconds / 3600), "h", Math.floor((seconds % 3600) / 60), "min");
}

function tick() {
  for (const element of document.querySelectorAll("[data-ago]")) {
    element.textContent = ago(Number(element.dataset.ago));
  }
  for (const element of document.querySelectorAll("[data-since]")) {
    element.textContent = duration(Date.now() - Number(element.dataset.since));
  }
}
setInterval(tick, 1000);

// Logs: a reader at the end of a log stays there; one who scrolled up is left in peace.

function atEnd(log) {
  return log.scrollHeight - log.scrollTop - log.clientHeight < 40;
}

function grow(log, markup) {
  const follow = document.querySelector(`[data-follow="${log.id}"]`);
  const stay = follow ? follow.checked : atEnd(log);
  log.insertAdjacentHTML("beforeend", markup);
  while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
  filter(log);
  if (stay) log.scrollTop = log.scrollHeight;
  document.querySelector(`[data-unless="${log.id}"]`)?.setAttribute("hidden", "");
}

function filter(log) {
  const field = document.querySelector(`[data-filter="${log.id}"]`);
  if (!field) return;
  const wanted = field.value.trim().toLowerCase();
  if (wanted === "" && !log.dataset.filtered) return;
  log.dataset.filtered = wanted;
  for (const line of log.children) {
    line.hidden = wanted !== "" && !line.textContent.toLowerCase().includes(wanted);
  }
}

for (const field of document.querySelectorAll("[data-filter]")) {
  field.addEventListener("input", () => filter(byId(field.dataset.filter)));
}
for (const follow of document.querySelectorAll("[data-follow]")) {
  const log = byId(follow.dataset.follow);
  log.scrollTop = log.scrollHeight;
  log.addEventListener("wheel", () => setTimeout(() => { follow.checked = atEnd(log); }, 50), { passive: true });
  log.addEventListener("keyup", () => { follow.checked = atEnd(log); });
  follow.addEventListener("change", () => { if (follow.checked) log.scrollTop = log.scrollHeight; });
}
for (const log of document.querySelectorAll("details[open] .log")) log.scrollTop = log.scrollHeight;

// Stages that the reader folded or unfolded by hand stay as they are.

const chosen = new Set();
document.addEventListener("click", (event) => {
  const summary = event.target.closest("summary");
  if (summary) chosen.add(summary.parentElement.id);
});
for (const button of document.querySelectorAll("[data-fold]")) {
  const all = () => [...byId(button.dataset.fold).querySelectorAll("details")];
  const label = () => { button.textContent = all().some((stage) => stage.open) ? "Fold all" : "Unfold all"; };
  label();
  byId(button.dataset.fold).addEventListener("toggle", label, true);
  button.addEventListener("click", () => {
    const open = all().some((stage) => stage.open);
    for (const stage of all()) {
      stage.open = !open;
      chosen.add(stage.id);
    }
  });
}

function fold(id, open) {
  const stage = byId(id);
  if (stage && !chosen.has(id)) stage.open = open;
}

// The stream.

function apply(update) {
  for (const [id, markup] of Object.entries(update.html ?? {})) {
    const element = byId(id);
    if (element) element.innerHTML = markup;
  }
  for (const id of update.clear ?? []) byId(id)?.replaceChildren();
  for (const id of update.open ?? []) fold(id, true);
  for (const [id, markup] of Object.entries(update.append ?? {})) {
    const log = byId(id);
    if (!log) continue;
    byId(id.replace("-log", "-panel"))?.removeAttribute("hidden");
    grow(log, markup);
  }
  for (const id of update.close ?? []) fold(id, false);
}

// A reader is told only of what lasts: a short break mends itself.
let breaking = 0;
function lost(yes) {
  clearTimeout(breaking);
  if (!yes) {
    document.querySelector(".lost")?.remove();
    return;
  }
  breaking = setTimeout(() => {
    if (document.querySelector(".lost")) return;
    const note = document.createElement("p");
    note.className = "lost";
    note.setAttribute("role", "status");
    note.textContent = "The connection is lost; trying again…";
    document.body.append(note);
  }, 4000);
}

// Browsers hold few connections to one server, so a page that nobody sees gives its own back and starts anew later.
const stream = document.querySelector("[data-stream]")?.dataset.stream;
let source = null;
let leaving = 0;
let ended = false;

function listen() {
  clearTimeout(leaving);
  if (source || ended || !stream || document.hidden) return;
  source = new EventSource(stream);
  source.addEventListener("open", () => lost(false));
  source.addEventListener("error", () => lost(true));
  source.addEventListener("update", (event) => {
    lost(false);
    const update = JSON.parse(event.data);
    apply(update);
    if (update.ended) {
      ended = true;
      leave();
      setTimeout(() => location.reload(), 400);
    }
  });
}

function leave() {
  clearTimeout(leaving);
  lost(false);
  source?.close();
  source = null;
}

listen();
document.addEventListener("visibilitychange", () => {
  if (document.hidden) leaving = setTimeout(leave, 5000);
  else listen();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", listen);

// Questions before what cannot be taken back lightly.

const dialog = byId("confirm");
document.addEventListener("submit", (event) => {
  const form = event.target;
  const question = form.dataset.confirm;
  if (question && !form.dataset.sure && dialog?.showModal) {
    event.preventDefault();
    byId("confirm-words").textContent = question;
    const go = dialog.querySelector("[value=yes]");
    go.textContent = form.querySelector("button")?.firstChild?.textContent ?? "Go on";
    dialog.returnValue = "no";
    dialog.showModal();
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "yes") {
        form.dataset.sure = "yes";
        form.requestSubmit();
      }
    }, { once: true });
    return;
  }
  if (form.method === "post") {
    for (const button of form.querySelectorAll("button")) setTimeout(() => { button.disabled = true; });
  }
});
// A page that comes back from the browser's memory has its buttons again.
addEventListener("pageshow", () => {
  for (const button of document.querySelectorAll("form button:disabled")) button.disabled = false;
  for (const form of document.querySelectorAll("form[data-sure]")) delete form.dataset.sure;
});

// Commands can be copied.

function copyable(block) {
  if (!navigator.clipboard) return;
  const text = block.textContent;
  const button = document.createElement("button");
  button.className = "small";
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.classList.add("copyable");
  block.append(button);
}
for (const block of document.querySelectorAll("[data-copy]")) copyable(block);
