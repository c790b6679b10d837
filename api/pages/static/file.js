// Shows how far a file is while it is being valued. Without a script the page reloads itself.
"use strict";

const box = document.getElementById("suivi");
const bar = box.querySelector("progress");
const TERMINAL = ["SUCCEEDED", "FAILED", "CANCELLED"];
const POLL_MS = 2000;
const whole = new Intl.NumberFormat("fr-FR");

function remaining(seconds) {
  if (seconds === null) return "";
  if (seconds < 60) return `encore ${Math.max(Math.round(seconds), 1)} s environ`;
  return `encore ${whole.format(Math.round(seconds / 60))} min environ`;
}

function show(batch) {
  const { counts } = batch;
  for (const name of ["done", "valid", "invalid", "total"]) {
    const place = document.getElementById(name);
    if (counts[name] !== null) place.textContent = whole.format(counts[name]);
  }
  if (counts.total) {
    bar.max = counts.total;
    bar.value = counts.done;
  }
  const speed = batch.rows_per_second;
  const parts = speed ? [`${whole.format(Math.round(speed))} lignes par seconde`] : [];
  document.getElementById("reste").textContent = [...parts, remaining(batch.eta_s)]
    .filter(Boolean)
    .join(", ");
  // The downloads are in the page as the server makes it.
  if (TERMINAL.includes(batch.state)) location.reload();
}

let polling = 0;

async function poll() {
  try {
    const answer = await fetch(box.dataset.state);
    if (answer.ok) show(await answer.json());
  } catch {
    // The service or the network is away: the next look comes.
  }
  polling = setTimeout(poll, POLL_MS);
}

const stream = new EventSource(box.dataset.events);
for (const name of ["progress", "end"]) {
  stream.addEventListener(name, (event) => show(JSON.parse(event.data)));
}
// Too many streams, or a proxy that holds them back: then the page asks.
stream.addEventListener("error", () => {
  if (stream.readyState === EventSource.CLOSED && !polling) poll();
});
