// What pages do while the service does not answer: they say so, keep what was entered, and try
// again. The other scripts use it, too. Nothing here is needed to use the pages.
"use strict";

const service = (() => {
  const RETRY_MS = 3000;
  // After this time a form that was sent can be sent again: the browser may have been stopped.
  const SENT_MS = 5000;
  const PROXY_STATUSES = [502, 504];
  const texts = document.currentScript.dataset;
  const pause = (milliseconds) => new Promise((end) => setTimeout(end, milliseconds));

  // The answer to a request; null if there is none but that of a proxy.
  async function ask(address, options = {}) {
    try {
      const answer = await fetch(address, options);
      return PROXY_STATUSES.includes(answer.status) ? null : answer;
    } catch {
      return null;
    }
  }

  // A page of the service as a document, with its response; null as `ask`.
  async function askPage(address) {
    const answer = await ask(address, { headers: { Accept: "text/html" } });
    if (answer === null) return null;
    const text = await answer.text().catch(() => "");
    return { answer, page: new DOMParser().parseFromString(text, "text/html") };
  }

  // Only a change is announced.
  function say(place, text) {
    if (place.textContent !== text) place.textContent = text;
  }

  // A line at the end of an element, in which is said that the service does not answer.
  function line(parent) {
    const place = document.createElement("p");
    place.className = "gone";
    place.setAttribute("role", "status");
    parent.append(place);
    return place;
  }

  // Returns when the service answers; says in `place` that it does not. True if it did not at first.
  async function wait(place, text) {
    for (let hasWaited = false; ; hasWaited = true) {
      const answer = await ask("/assets/icon.svg", { method: "HEAD", cache: "no-store" });
      const isThere = answer !== null && answer.status < 500;
      say(place, isThere ? "" : text);
      if (isThere) return hasWaited;
      await pause(RETRY_MS);
    }
  }

  // A form is sent only to a service that answers, so that its entries are not lost; and once.
  function guard(form) {
    const place = line(form);
    let state = "idle";
    form.addEventListener("submit", async (event) => {
      if (state === "ready") {
        state = "sent";
        setTimeout(() => (state = "idle"), SENT_MS);
        return;
      }
      event.preventDefault();
      if (state !== "idle") return;
      state = "asking";
      const { submitter } = event;
      await wait(place, texts.entries);
      state = "ready";
      // With its button: some state what is to be done.
      form.requestSubmit(submitter);
    });
    // The browser may show this page again as it was left.
    addEventListener("pageshow", () => (state = "idle"));
  }

  // Of a page that is loaded again, browsers do not focus what its address names.
  if (performance.getEntriesByType("navigation")[0]?.type === "reload") {
    document.getElementById(location.hash.slice(1))?.focus({ preventScroll: true });
  }

  // The form that `upload.js` sends waits there.
  for (const form of document.querySelectorAll('form[method="post"]:not(#envoi)')) guard(form);
  return { ask, askPage, line, say, texts, wait };
})();
