// The page of an estimate: copying its address, remembering it in this browser, waiting for it.
// Nothing here is needed to use the page.
"use strict";

const KEY = "carprice.estimations";
const MOST_KEPT = 100;

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
  const found = await service.askPage(box.dataset.refresh);
  if (found === null) {
    await service.wait(box.querySelector(".gone"), service.texts.page);
    ask(box);
    return;
  }
  const { answer, page } = found;
  if (answer.status !== 202 && answer.status !== 503) {
    arrive(answer);
    return;
  }
  const next = page.querySelector("[data-refresh]") || page.querySelector(".alert");
  if (!next) {
    arrive(answer);
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
