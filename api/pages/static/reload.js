// Loads a page again when what it waits for is there. Without a script the browser loads it again.
"use strict";

const place = document.querySelector("[data-reload]");

async function look() {
  try {
    const answer = await fetch(place.dataset.reload, { headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.querySelector("[data-reload]")) {
      location.replace(place.dataset.reload);
      return;
    }
  } catch {
    // The service or the network is away: the next look comes.
  }
  setTimeout(look, 1000 * Number(place.dataset.after));
}

setTimeout(look, 1000 * Number(place.dataset.after));
