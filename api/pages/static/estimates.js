// The page of an estimate: copying its address, remembering it in this browser, waiting for it.
// Nothing here is needed to use the page.
"use strict";

const KEY = "carprice.estimations";
const MOST_KEPT = 100;
const RETRY_MS = 3000;

// Remembering: in this browser only.
function remember({ id, car, price, day, until }) {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) || "[]");
    const others = Array.isArray(list) ? list.filter((one) => one && one.id !== id) : [];
    const entry = { id, car, price: Number(price), day, until };
    localStorage.setItem(KEY, JSON.stringify([entry, ...others].slice(0, MOST_KEPT)));
  } catch {
    // Storage is switched off or full: there is no list.
  }
}

function offerCopy(button) {
  const field = document.getElementById("adresse");
  const said = document.getElementById("copie");
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      // Without a secure connection browsers have no clipboard but this.
      field.select();
      document.execCommand("copy");
    }
    button.textContent = said.textContent = button.dataset.done;
    setTimeout(() => {
      button.textContent = label;
      said.textContent = "";
    }, 2000);
  });
  field.addEventListener("focus", () => field.select());
}

const kept = document.getElementById("partager");
if (kept) {
  remember(kept.dataset);
  const copy = document.getElementById("copier");
  if (copy) offerCopy(copy);
  const print = document.getElementById("imprimer");
  print.hidden = false;
  print.addEventListener("click", () => window.print());
}

// Waiting: asks again without loading the page, so that what is being typed stays.
function arrive(response) {
  const target = new URL(response.url);
  const anchor = target.pathname.startsWith("/estimations/") ? "#resultat" : "";
  location.replace(target.pathname + target.search + anchor);
}

async function ask(box) {
  let response;
  try {
    response = await fetch(box.dataset.refresh, { headers: { Accept: "text/html" } });
  } catch {
    box.querySelector(".gone").textContent = box.dataset.gone;
    setTimeout(ask, RETRY_MS, box);
    return;
  }
  if (response.status !== 202 && response.status !== 503) {
    arrive(response);
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const next = page.querySelector("[data-refresh]") || page.querySelector(".alert");
  if (!next) {
    arrive(response);
    return;
  }
  // The box stays where it is unless its text changes: a screen reader would read it again.
  if (next.innerHTML !== box.innerHTML) box.replaceChildren(...next.childNodes);
  if (!next.dataset.refresh) return;
  Object.assign(box.dataset, next.dataset);
  setTimeout(ask, 1000 * Number(box.dataset.after), box);
}

const waiting = document.querySelector("[data-refresh]");
if (waiting) setTimeout(ask, 1000 * Number(waiting.dataset.after), waiting);

// Sending the form: only to a service that answers, so that the entries are not lost.
const form = document.querySelector("form[data-gone]");
if (form) {
  const said = form.querySelector(".gone");
  let isSending = false;
  let mayPass = false;
  const send = async (button) => {
    try {
      await fetch("/assets/icon.svg", { method: "HEAD", cache: "no-store" });
    } catch {
      said.textContent = form.dataset.gone;
      setTimeout(send, RETRY_MS, button);
      return;
    }
    said.textContent = "";
    // With its button: some state what is to be done.
    mayPass = true;
    form.requestSubmit(button);
  };
  form.addEventListener("submit", (event) => {
    if (mayPass) return;
    event.preventDefault();
    if (isSending) return;
    isSending = true;
    send(event.submitter);
  });
  // The browser may show this page again as it was left.
  addEventListener("pageshow", () => {
    isSending = mayPass = false;
  });
}
