// The estimates of this browser: listed, chosen for a comparison, deleted. The server never gets
// the list.
"use strict";

const KEY = "carprice.estimations";
const MOST = 4;

function read() {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) || "[]");
    const today = new Date().toISOString().slice(0, 10);
    return Array.isArray(list) ? list.filter((one) => one && one.until >= today) : [];
  } catch {
    return []; // storage is switched off, or holds something else
  }
}

function write(list) {
  try {
    localStorage.setItem(KEY, JSON.stringify(list));
  } catch {
    // Storage is switched off or full: the page works without it.
  }
}

function addressOf(id) {
  const lang = new URLSearchParams(location.search).get("lang");
  return `/estimations/${encodeURIComponent(id)}${lang ? `?lang=${encodeURIComponent(lang)}` : ""}`;
}

function showHistory(box) {
  const list = box.querySelector(".kept");
  const line = document.getElementById("ligne");
  const number = new Intl.NumberFormat(box.dataset.locale, { useGrouping: true });
  const day = new Intl.DateTimeFormat(box.dataset.locale, { dateStyle: "long", timeZone: "UTC" });
  const kept = read();
  list.replaceChildren(
    ...kept.map((one, index) => {
      const item = line.content.cloneNode(true).firstElementChild;
      const choice = item.querySelector("input");
      choice.value = one.id;
      choice.id = `choix-${index}`;
      item.querySelector("label").htmlFor = choice.id;
      item.querySelector(".name").textContent = one.car;
      item.querySelector(".cost").textContent = box.dataset.price.replace(
        "{amount}",
        number.format(one.price),
      );
      const time = item.querySelector("time");
      time.dateTime = one.day;
      time.textContent = day.format(new Date(one.day));
      const open = item.querySelector(".open");
      open.href = addressOf(one.id);
      open.setAttribute("aria-label", `${open.textContent}: ${one.car}`);
      const remove = item.querySelector(".remove");
      remove.setAttribute("aria-label", `${remove.textContent}: ${one.car}`);
      remove.addEventListener("click", () => {
        write(read().filter((other) => other.id !== one.id));
        showHistory(box);
        announceDeletion(box);
      });
      return item;
    }),
  );
  box.querySelector("form").hidden = kept.length === 0;
  box.querySelector(".empty").hidden = kept.length > 0;
  box.hidden = false;
  limitChoice(box);
}

function announceDeletion(box) {
  const place = document.getElementById("annonce");
  place.textContent = place.dataset.deleted;
  // The button that had the focus is gone.
  const next = box.querySelector(".kept .remove, .empty a");
  if (next) next.focus();
}

// No more than four cars fit side by side.
function limitChoice(box) {
  const boxes = [...box.querySelectorAll(".kept input")];
  const chosen = boxes.filter((one) => one.checked).length;
  for (const one of boxes) one.disabled = chosen >= MOST && !one.checked;
  const submit = box.querySelector("[type=submit]");
  submit.disabled = chosen < 2;
  submit.title = submit.disabled ? box.dataset.count : "";
}

function offerKnown(box) {
  const inputs = [...document.querySelectorAll('input[name="id"]')];
  const template = box.querySelector("template");
  const used = inputs.map((input) => input.value).join(" ");
  const known = read().filter((one) => !used.includes(one.id)).slice(0, 12);
  box.querySelector("ul").replaceChildren(
    ...known.map((one) => {
      const item = template.content.cloneNode(true).firstElementChild;
      const button = item.querySelector("button");
      button.textContent = one.car;
      button.addEventListener("click", () => {
        const free = inputs.find((input) => !input.value.trim());
        if (!free) return;
        free.value = one.id;
        item.remove();
        free.focus();
      });
      return item;
    }),
  );
  box.hidden = known.length === 0;
}

const page = document.getElementById("historique");
if (page) {
  showHistory(page);
  page.addEventListener("change", () => limitChoice(page));
  const all = document.getElementById("effacer");
  all.addEventListener("click", () => {
    if (!confirm(all.dataset.confirm)) return;
    write([]);
    showHistory(page);
    announceDeletion(page);
  });
}
const known = document.getElementById("connues");
if (known) offerKnown(known);
