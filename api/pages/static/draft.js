// Waits for the preview of a draft; marks the preview as outdated while choices are not shown in it.
"use strict";

const waiting = document.getElementById("attente");

async function look() {
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) {
      location.assign(answer.url);
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!page.getElementById("attente")) {
      location.reload();
      return;
    }
    const text = page.querySelector("#attente [role=status]").innerHTML;
    const status = waiting.querySelector("[role=status]");
    // Only a change is announced.
    if (status.innerHTML !== text) status.innerHTML = text;
  } catch {
    // The service or the network is away: the next look comes.
  }
  setTimeout(look, Number(waiting.dataset.refresh) * 1000);
}

if (waiting) setTimeout(look, 1000);

const form = document.getElementById("choix");

form?.addEventListener("change", () => {
  document.getElementById("apercu").classList.add("outdated");
});

// A second click must not send the file twice.
form?.addEventListener("submit", (event) => {
  if (form.dataset.isSent) event.preventDefault();
  form.dataset.isSent = "1";
});

addEventListener("pageshow", () => {
  if (form) delete form.dataset.isSent;
});
