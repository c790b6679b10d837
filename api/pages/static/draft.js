// Waits for the preview of a draft; marks the preview as outdated while choices are not shown in it.
"use strict";

const waiting = document.getElementById("attente");

async function look(gone) {
  const found = await service.askPage(location.href);
  if (found === null) {
    await service.wait(gone, service.texts.page);
  } else if (found.answer.redirected) {
    location.assign(found.answer.url);
    return;
  } else if (!found.page.getElementById("attente")) {
    // The name of the file is said again, with what was read of it.
    history.replaceState(null, "", "#contenu");
    location.reload();
    return;
  } else {
    const text = found.page.querySelector("#attente [role=status]").innerHTML;
    const status = waiting.querySelector("[role=status]");
    // Only a change is announced.
    if (status.innerHTML !== text) status.innerHTML = text;
  }
  setTimeout(look, Number(waiting.dataset.refresh) * 1000, gone);
}

if (waiting) setTimeout(look, 1000, service.line(waiting));

document.getElementById("choix")?.addEventListener("change", () => {
  document.getElementById("apercu").classList.add("outdated");
});
