// Replaces the parts of the operations dashboard that have changed. Without a script, a link loads it again.
"use strict";

const live = document.getElementById("live");
const stream = new EventSource(live.dataset.events);

stream.addEventListener("message", (event) => {
  live.textContent = `· ${live.dataset.on}`;
  for (const [name, html] of Object.entries(JSON.parse(event.data))) {
    const part = document.querySelector(`[data-part="${name}"]`);
    // What somebody is using stays until it is left.
    if (part && !part.contains(document.activeElement)) part.innerHTML = html;
  }
});

stream.addEventListener("error", () => {
  live.textContent = `· ${live.dataset.off}`;
});

stream.addEventListener("end", () => {
  stream.close();
  location.reload();
});
