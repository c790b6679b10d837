// Sends a file without leaving the page, so that a refused file need not be chosen again.
"use strict";

function status(text) {
  document.getElementById("envoi-etat").textContent = text;
}

// The answer is the same page with the reasons; the chosen file moves to its form.
function showRefusal(html, files) {
  const page = new DOMParser().parseFromString(html, "text/html");
  document.title = page.title;
  document.querySelector("main").replaceWith(document.adoptNode(page.querySelector("main")));
  const input = document.getElementById("file");
  if (!input) return;
  input.files = files;
  document.querySelector('label[for="file"]').textContent = "Fichier de voitures";
  document.querySelector(".alert.error")?.focus();
  prepare();
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const { files } = document.getElementById("file");
  const address = event.submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  const body = new FormData(form);
  const buttons = form.querySelectorAll("button");
  for (const button of buttons) button.disabled = true;
  status("Envoi en cours…");
  try {
    const answer = await fetch(address, { method: "POST", body });
    if (answer.redirected) location.assign(answer.url);
    else showRefusal(await answer.text(), files);
  } catch {
    status("L’envoi a été interrompu. Vérifiez la connexion et réessayez.");
    for (const button of buttons) button.disabled = false;
  }
}

function prepare() {
  document.getElementById("envoi").addEventListener("submit", send);
}

prepare();
