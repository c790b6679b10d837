// Sends a file without leaving the page: with its progress, and so that a refused file need not be
// chosen again. Without a script the form is sent as it is.
"use strict";

const OLD_WORKBOOKS = /\.(xls|xlsb|ods|numbers)$/i;
const NO_TABLES = /\.(pdf|docx?|pptx?|odt|rtf|zip|rar|7z|png|jpe?g|gif|webp|heic|svg|mp4|html?|exe)$/i;

const form = () => document.getElementById("envoi");
const input = () => document.getElementById("file");

function status(text, isError = false) {
  const place = document.getElementById("envoi-etat");
  place.textContent = text;
  place.classList.toggle("message", isError);
}

function progress(percent) {
  const bar = document.getElementById("envoi-progres");
  bar.hidden = percent === null;
  if (percent !== null) bar.value = percent;
}

// Why a file is refused before it is sent; empty if it is not.
function reason(file) {
  const texts = form().dataset;
  let text = "";
  if (OLD_WORKBOOKS.test(file.name)) text = texts.oldWorkbook;
  else if (NO_TABLES.test(file.name)) text = texts.noTable;
  else if (file.size === 0) text = texts.empty;
  return text.replace("{name}", file.name);
}

function check() {
  const [file] = input().files;
  const text = file ? reason(file) : "";
  input().setCustomValidity(text);
  status(text, Boolean(text));
  return !text;
}

// The answer is the same page with the reasons; the chosen file moves to its form. False if it is
// no page of the service, but that of a proxy.
function showRefusal(html, files) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const shown = page.querySelector("main#contenu");
  if (!shown) return false;
  document.title = page.title;
  document.querySelector("main").replaceWith(document.adoptNode(shown));
  if (!input()) return true;
  input().files = files;
  document.querySelector('label[for="file"]').textContent = form().dataset.fileLabel;
  document.querySelector(".alert.error")?.focus();
  prepare();
  return true;
}

function enable(isEnabled) {
  for (const button of form().querySelectorAll("button")) button.disabled = !isEnabled;
}

function send(event) {
  event.preventDefault();
  if (!check()) return;
  transfer(event.submitter?.getAttribute("formaction") ?? form().getAttribute("action"));
}

// The file is sent again when the service answers; an upload that breaks off for another reason,
// which the next one would meet too, is left to the user.
async function fail(address) {
  progress(null);
  status("");
  const texts = form().dataset;
  if (await service.wait(document.getElementById("envoi-absence"), texts.gone)) {
    transfer(address);
    return;
  }
  status(texts.broken, true);
  enable(true);
}

function transfer(address) {
  const { files } = input();
  const texts = form().dataset;
  const exchange = new XMLHttpRequest();
  const percents = new Intl.NumberFormat(document.documentElement.lang, { style: "percent" });
  exchange.upload.addEventListener("progress", ({ loaded, total }) => {
    progress(Math.floor((100 * loaded) / total));
    const text = percents.format(Math.floor((100 * loaded) / total) / 100);
    status(loaded < total ? texts.sending.replace("{percent}", text) : texts.reading);
  });
  exchange.addEventListener("load", () => {
    const asked = new URL(address, location.href);
    if (new URL(exchange.responseURL).pathname !== asked.pathname) {
      location.assign(exchange.responseURL);
    } else if (!showRefusal(exchange.responseText, files)) {
      fail(address);
    }
  });
  exchange.addEventListener("error", () => fail(address));
  exchange.open("POST", address);
  exchange.send(new FormData(form()));
  enable(false);
  status(texts.sending.replace("{percent}", percents.format(0)));
  progress(0);
}

function drop(event) {
  event.preventDefault();
  document.getElementById("depot").classList.remove("over");
  const { files } = event.dataTransfer;
  if (files.length !== 1) {
    status(form().dataset.oneFile, true);
    return;
  }
  input().files = files;
  check();
}

function prepare() {
  const zone = document.getElementById("depot");
  for (const one of zone.querySelectorAll(".script-only")) one.hidden = false;
  form().addEventListener("submit", send);
  input().addEventListener("change", check);
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", drop);
}

prepare();
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) enable(true);
});
