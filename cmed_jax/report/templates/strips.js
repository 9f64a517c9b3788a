// Spreads stacks of strips out along their axis, about the middle of what is seen, and shows one of
// the scales that they are drawn on.
"use strict";

for (const stack of document.querySelectorAll(".stack-of-strips")) {
  const [scroller, spread] = [stack.querySelector(".scroller"), stack.querySelector(".spread")];
  stack.querySelector(".choice").addEventListener("change", (event) => {
    const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / scroller.scrollWidth;
    spread.style.width = `${100 * event.target.value}%`;
    stack.classList.toggle("wide", event.target.value > 2);
    scroller.scrollLeft = middle * scroller.scrollWidth - scroller.clientWidth / 2;
  });
}

for (const scales of document.querySelectorAll(".scales")) {
  scales.querySelector(".choice").addEventListener("change", (event) => {
    for (const drawn of scales.querySelectorAll("[data-scale]")) {
      drawn.hidden = drawn.dataset.scale !== event.target.value;
    }
  });
}
