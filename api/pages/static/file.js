// Shows how far a file is while it is being valued. Without a script the page reloads itself.
"use strict";

const box = document.getElementById("suivi");
const bar = box.querySelector("progress");
const TERMINAL = ["SUCCEEDED", "FAILED", "CANCELLED"];
const POLL_MS = 2000;
const LOCALES = { fr: "fr-FR", ar: "ar-MA", en: "en-US" };
const locale = LOCALES[document.documentElement.lang] || "fr-FR";
const whole = new Intl.NumberFormat(locale, { numberingSystem: "latn", maximumFractionDigits: 0 });
const percents = new Intl.NumberFormat(locale, { numberingSystem: "latn", style: "percent" });

function words(name, placeholder, value) {
  return box.dataset[name].replace(`{${placeholder}}`, whole.format(value));
}

function remaining(seconds) {
  if (seconds === null) return "";
  if (seconds < 60) return words("seconds", "n", Math.max(Math.round(seconds), 1));
  return words("minutes", "n", Math.round(seconds / 60));
}

// Said to screen readers is what changes rarely: the place in the queue, each quarter of the rows.
function announce(position, { done, total }) {
  const quarter = total ? Math.floor((4 * done) / total) / 4 : 0;
  const label = box.querySelector(".counts dt").textContent;
  const text = position || (quarter ? `${label} ${percents.format(quarter)}` : "");
  service.say(document.getElementById("annonce"), text);
}

// The results are in the page as the server makes it. Its first words say how the file ended.
function end() {
  history.replaceState(null, "", "#suivi");
  location.reload();
}

function show(batch) {
  const { counts } = batch;
  for (const name of ["done", "valid", "invalid", "total"]) {
    const place = document.getElementById(name);
    if (counts[name] !== null) place.textContent = whole.format(counts[name]);
  }
  if (counts.total) {
    document.getElementById("of").hidden = false;
    bar.max = counts.total;
    bar.value = counts.done;
  }
  const position = batch.queue_position > 1 ? words("position", "place", batch.queue_position) : "";
  const speed = batch.rows_per_second ? words("speed", "rate", batch.rows_per_second) : "";
  document.getElementById("reste").textContent = [position, speed, remaining(batch.eta_s)]
    .filter(Boolean)
    .join(" · ");
  if (counts.done) document.getElementById("idle")?.remove();
  announce(position, counts);
  if (TERMINAL.includes(batch.state)) end();
}

const gone = service.line(box);
let isWaiting = false;

// Says that the service does not answer, until it does.
async function wait() {
  if (isWaiting) return;
  isWaiting = true;
  await service.wait(gone, service.texts.page);
  isWaiting = false;
}

let polling = 0;

async function poll() {
  const address = new URL(box.dataset.state, location.href);
  address.searchParams.set("etat", "1");
  const answer = await service.ask(address);
  if (answer === null) await wait();
  else if (answer.ok) await answer.json().then(show, () => null);
  polling = setTimeout(poll, POLL_MS);
}

const stream = new EventSource(box.dataset.events);
for (const name of ["progress", "end"]) {
  stream.addEventListener(name, (event) => show(JSON.parse(event.data)));
}
stream.addEventListener("error", () => {
  // The browser connects again by itself, unless there are too many streams, or a proxy that holds
  // them back: then the page asks.
  if (stream.readyState !== EventSource.CLOSED) wait();
  else if (!polling) poll();
});
