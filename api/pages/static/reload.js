// Loads a page again when what it waits for is there. Without a script the browser loads it again.
"use strict";

const place = document.querySelector("[data-reload]");

async function look(gone) {
  const found = await service.askPage(place.dataset.reload);
  if (found === null) {
    await service.wait(gone, service.texts.page);
  } else if (!found.page.querySelector("[data-reload]")) {
    location.replace(place.dataset.reload);
    return;
  }
  setTimeout(look, 1000 * Number(place.dataset.after), gone);
}

setTimeout(look, 1000 * Number(place.dataset.after), service.line(place.parentElement));
