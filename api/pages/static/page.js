// What makes the form quicker to fill in. Nothing here is needed to use the page.
"use strict";

const brand = document.getElementById("company");
const models = document.getElementById("modeles");
const every = [...models.options];

// Only the models of the brand that was chosen are suggested.
function suggestModels() {
  const wanted = brand.value.trim().toLowerCase();
  const own = every.filter((option) => option.label.toLowerCase() === wanted);
  models.replaceChildren(...(own.length ? own : every));
}

// "145000" becomes "145 000" when the field is left.
function groupThousands(event) {
  const digits = event.target.value.replace(/[\s\u202f\u00a0]/g, "");
  if (/^\d{4,9}$/.test(digits)) {
    event.target.value = digits.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  }
}

brand.addEventListener("input", suggestModels);
suggestModels();
for (const input of document.querySelectorAll("[data-group]")) {
  input.addEventListener("change", groupThousands);
}
