"use strict";

for (const figure of document.querySelectorAll("[data-compare]")) {
  const stage = figure.querySelector(".stage");
  const range = figure.querySelector("input");
  range.addEventListener("input", () => stage.style.setProperty("--split", `${range.value}%`));
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

const list = document.getElementById("cards");
if (list) {
  const field = (id) => document.getElementById(id);
  const cards = [...list.children];
  const orders = {
    name: (a, b) => a.dataset.name.localeCompare(b.dataset.name),
    gain: (a, b) => b.dataset.gain - a.dataset.gain,
    size: (a, b) => a.dataset.size - b.dataset.size,
  };
  const fits = (card) => {
    const words = field("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    return words.every((word) => card.dataset.words.includes(word))
      && (!field("task").value || card.dataset.task === field("task").value)
      && (!field("dims").value || card.dataset.dims === field("dims").value)
      && (!field("probabilistic").checked || card.dataset.probabilistic === "yes");
  };
  const update = () => {
    cards.sort(orders[field("sort").value]);
    for (const card of cards) { card.hidden = !fits(card); list.append(card); }
    const count = cards.filter((card) => !card.hidden).length;
    field("count").textContent = count === 1 ? "1 model" : `${count} models`;
    field("none").hidden = count > 0;
  };
  const filters = document.querySelector(".filters");
  filters.hidden = false;
  for (const event of ["input", "change"]) filters.addEventListener(event, update);
  field("reset").addEventListener("click", () => {
    for (const id of ["search", "task", "dims"]) field(id).value = "";
    field("probabilistic").checked = false;
    update();
    field("search").focus();
  });
}
