// Marks what scrolls sideways, and the section being read in the contents; opens what a link leads to,
// and everything for the printer. The page works without.
"use strict";
for (const box of document.querySelectorAll(".scroll")) {
  const inner = box.firstElementChild;
  const update = () => {
    box.classList.toggle("more-left", inner.scrollLeft > 2);
    box.classList.toggle("more-right", inner.scrollLeft + inner.clientWidth < inner.scrollWidth - 2);
  };
  inner.addEventListener("scroll", update, { passive: true });
  new ResizeObserver(update).observe(inner);
  for (const image of inner.querySelectorAll("img")) image.addEventListener("load", update);
  update();
}
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const headings = [...document.querySelectorAll("main [id]")].filter(({ id }) => links.has(id));
let current;
addEventListener("scroll", () => {
  const passed = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3);
  let link = links.get((passed.at(-1) ?? headings[0]).id);
  if (!link.offsetParent) link = link.closest("ol ol").parentElement.firstElementChild; // a strip shows sections alone
  if (link === current) return;
  current?.removeAttribute("aria-current");
  link.setAttribute("aria-current", "true");
  link.scrollIntoView({ block: "nearest", inline: "center" });
  current = link;
}, { passive: true });
const reveal = () => {
  const folded = document.getElementById(location.hash.slice(1))?.closest("details");
  if (folded) folded.open = true;
};
addEventListener("hashchange", reveal);
reveal();
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});
