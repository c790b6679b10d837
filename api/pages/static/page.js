// What makes the form quicker to fill in. Nothing here is needed to use the page.
"use strict";

// A block of its own: the names are not those of the other scripts of the page.
{
  const PAUSE_MS = 120;
  const language = document.documentElement.lang;
  const number = new Intl.NumberFormat(language === "ar" ? "ar-MA-u-nu-latn" : language);
  const entered = (name) => document.getElementById(name)?.value.trim() ?? "";
  const answers = new Map();

  // The answer of the service; null if there is none, so that nothing is suggested.
  async function ask(path, parameters) {
    const address = `${path}?${new URLSearchParams(parameters)}`;
    if (!answers.has(address)) {
      const answer = await fetch(address).catch(() => null);
      if (!answer?.ok) {
        return null;
      }
      answers.set(address, await answer.json());
    }
    return answers.get(address);
  }

  // A text field with a list of suggestions (ARIA's combobox with a list).
  class Combobox {
    constructor(field) {
      this.kind = field.dataset.suggest;
      this.input = field.querySelector("input");
      this.list = document.createElement("ul");
      this.list.id = `${this.kind}-list`;
      this.list.className = "suggestions";
      this.list.hidden = true;
      this.list.setAttribute("role", "listbox");
      this.list.setAttribute("aria-label", field.querySelector("label").textContent);
      this.input.removeAttribute("list");
      const attributes = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false" };
      for (const [name, value] of Object.entries({ ...attributes, "aria-controls": this.list.id })) {
        this.input.setAttribute(name, value);
      }
      field.querySelector(".entry").after(this.list);
      this.input.addEventListener("input", () => this.plan());
      this.input.addEventListener("focus", () => this.input.value === "" && this.plan());
      this.input.addEventListener("blur", () => this.close());
      this.input.addEventListener("keydown", (event) => this.press(event));
      // A press must not take the focus from the field.
      this.list.addEventListener("mousedown", (event) => event.preventDefault());
      this.list.addEventListener("click", (event) => this.choose(event.target.closest("li")));
    }

    plan() {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.suggest(), PAUSE_MS);
    }

    async suggest() {
      const typed = this.input.value;
      const parameters = { field: this.kind, q: typed.trim().slice(0, 60) };
      if (this.kind !== "company") {
        parameters.company = entered("company").slice(0, 60);
      }
      if (this.kind === "edition") {
        parameters.model = entered("model").slice(0, 60);
      }
      for (const [name, value] of Object.entries(parameters)) {
        if (value === "") {
          delete parameters[name];
        }
      }
      const answer = await ask("/suggest", parameters);
      const isCurrent = document.activeElement === this.input && this.input.value === typed;
      if (answer !== null && isCurrent) {
        this.show(answer.suggestions, parameters.company === undefined);
      }
    }

    show(suggestions, withBrand) {
      const options = suggestions.map((one, place) => {
        const option = document.createElement("li");
        option.id = `${this.list.id}-${place}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", "false");
        option.dataset.value = one.value;
        const name = document.createElement("bdi");
        name.textContent = one.value;
        option.append(name);
        if (this.kind === "model" && withBrand) {
          option.dataset.company = one.company;
          const brand = document.createElement("span");
          brand.textContent = one.company;
          option.append(" ", brand);
        }
        return option;
      });
      const isTyped = options.length === 1 && options[0].dataset.value === this.input.value;
      this.list.replaceChildren(...options);
      this.list.hidden = options.length === 0 || isTyped;
      this.input.setAttribute("aria-expanded", String(!this.list.hidden));
      this.input.removeAttribute("aria-activedescendant");
    }

    close() {
      clearTimeout(this.timer);
      this.list.hidden = true;
      this.input.setAttribute("aria-expanded", "false");
      this.input.removeAttribute("aria-activedescendant");
    }

    get options() {
      return this.list.hidden ? [] : [...this.list.children];
    }

    get active() {
      return this.options.findIndex((one) => one.getAttribute("aria-selected") === "true");
    }

    move(place) {
      const { options } = this;
      options.forEach((one, at) => one.setAttribute("aria-selected", String(at === place)));
      this.input.setAttribute("aria-activedescendant", options[place].id);
      options[place].scrollIntoView({ block: "nearest" });
    }

    choose(option) {
      if (!option) {
        return;
      }
      this.input.value = option.dataset.value;
      if (option.dataset.company) {
        document.getElementById("company").value = option.dataset.company;
      }
      this.close();
      this.input.dispatchEvent(new Event("change", { bubbles: true }));
    }

    press(event) {
      const { options, active } = this;
      const count = options.length;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        if (count === 0) {
          this.plan();
        } else {
          const step = event.key === "ArrowDown" ? 1 : -1;
          this.move(active < 0 && step < 0 ? count - 1 : (active + step + count) % count);
        }
      } else if (event.key === "Enter" && active >= 0) {
        event.preventDefault();
        this.choose(options[active]);
      } else if (event.key === "Escape" && count > 0) {
        event.preventDefault();
        this.close();
      } else if (event.key === "Tab" && active >= 0) {
        this.choose(options[active]);
      }
    }
  }

  // What is usual for the car is shown beside the fields, never entered.
  async function showUsual() {
    const parameters = { company: entered("company"), model: entered("model"), year: entered("year") };
    const isKnown = parameters.company && parameters.model && /^(19|20)\d\d$/.test(parameters.year);
    const usual = isKnown ? await ask("/suggest/usual", parameters) : null;
    for (const hint of document.querySelectorAll("[data-usual]")) {
      const text = usual === null ? "" : describe(hint.dataset.usual, usual[hint.dataset.usual]);
      hint.textContent = text && hint.dataset.text.replace("{values}", text);
    }
  }

  function describe(name, usual) {
    const unit = document.getElementById(`${name}-unit`)?.textContent ?? "";
    const named = (value) => {
      const choice = document.querySelector(`#${name} option[value="${value}"]`);
      return choice ? choice.textContent : `${number.format(value)}\u00a0${unit}`;
    };
    if (!Array.isArray(usual)) {
      return usual === null ? "" : named(usual);
    }
    const sign = language === "fr" ? "\u202f%" : "%";
    const percent = (share) => `${Math.round(100 * share)}${sign}`;
    return usual.slice(0, 2).map((one) => `${named(one.value)} (${percent(one.share)})`).join(" · ");
  }

  // "145000" becomes "145 000", as the language of the page writes it, when the field is left.
  function groupThousands(event) {
    const digits = event.target.value.replace(/[\s\u202f\u00a0]/g, "");
    if (/^\d{4,9}$/.test(digits)) {
      event.target.value = number.format(digits);
    }
  }

  for (const field of document.querySelectorAll("[data-suggest]")) {
    new Combobox(field);
  }
  // The lines of the hints are kept free: nothing moves under a pressed button.
  document.documentElement.classList.add("scripted");
  let usualTimer;
  for (const name of ["company", "model", "year"]) {
    const input = document.getElementById(name);
    input?.addEventListener("change", showUsual);
    input?.addEventListener("input", () => {
      clearTimeout(usualTimer);
      usualTimer = setTimeout(showUsual, PAUSE_MS);
    });
  }
  for (const input of document.querySelectorAll("[data-group]")) {
    input.addEventListener("change", groupThousands);
  }
}
