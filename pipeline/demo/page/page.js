// Sends a photo to the server of this page and shows what comes back. No library, nothing remote.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const points = (share) => `by ${(100 * share).toFixed(1)} percentage points`;

let page; // what /about says
let current; // the photo shown
let asked = 0; // photos asked about: an answer that a later one has overtaken is dropped
let draws = 0;

function element(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = content;
  Object.assign(made, attributes);
  return made;
}

async function request(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("The demo does not answer; is it still running in its terminal?");
  }
  const content = await reply.json();
  if (!reply.ok) throw new Error(content.error);
  return content;
}

function showFault(name, error) {
  at("fault").replaceChildren(...(name ? [element("b", `${name}: `)] : []), error.message);
  at("fault").hidden = false;
}

// ---- a photo

async function ask(name, getPhoto, truth) {
  const turn = ++asked;
  at("fault").hidden = true;
  document.body.style.cursor = "progress";
  try {
    const photo = await getPhoto();
    const answer = await request("answer", { method: "POST", body: photo });
    const drawn = await draw(photo, 0);
    if (turn !== asked) return;
    current = { name, photo };
    showAnswer(name, answer, truth);
    showKinds(drawn);
  } catch (error) {
    if (turn === asked) hideAnswer(), showFault(name, error);
  } finally {
    if (turn === asked) document.body.style.cursor = "";
  }
}

function hideAnswer() {
  current = undefined;
  at("answer").hidden = at("augmented").hidden = true;
}

function askFile(file) {
  for (const button of at("examples").children) button.ariaPressed = "false";
  ask(file.name, async () => {
    if (file.size > page.maximum_bytes) throw new Error(page.too_large);
    return file;
  });
}

function askExample(number) {
  const { name, label } = page.examples[number];
  [...at("examples").children].forEach((button, index) => (button.ariaPressed = `${index === number}`));
  ask(name, async () => (await fetch(`examples/${number}`)).blob(), label);
}

// ---- its answer

function showAnswer(name, answer, truth) {
  at("title").textContent = name;
  at("photo").src = answer.photo;
  at("map").src = answer.map;
  at("label").textContent = answer.label;
  at("hidden").textContent = answer.label;
  at("bars").replaceChildren(...answer.classes.map((one) => bar(one, answer)));
  at("why").textContent = reason(answer) + verdict(answer.label, truth);
  at("for").textContent = `for ${answer.label} ${points(answer.strongest)}`;
  at("against").textContent = `against it ${points(answer.strongest)}`;
  at("answer").hidden = false;
}

function bar({ name, probability }, { label, decision }) {
  const row = element("div", "", { className: name === label ? "bar said" : "bar" });
  const threshold = name === decision.positive ? decision.threshold : null;
  row.append(element("span", name), element("b", percent(probability)), drawing(probability, threshold));
  return row;
}

// As a picture, because the page's policy allows no styles within elements.
function drawing(share, threshold) {
  const svg = vector("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(vector("rect", { class: "ground", y: 1, width: 100, height: 8 }));
  svg.append(vector("rect", { class: "share", y: 1, width: 100 * share, height: 8 }));
  if (threshold !== null) {
    const x = 100 * threshold;
    svg.append(vector("line", { class: "threshold", x1: x, x2: x, y1: 0, y2: 10 }));
  }
  return svg;
}

function vector(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function reason({ decision: { positive, threshold } }) {
  if (threshold === null) return "The most probable class is the answer.";
  return `From ${percent(threshold)} on (the red line) a photo is called ${positive}: the threshold that was chosen on the validation photos.`;
}

function verdict(label, truth) {
  if (truth === undefined || !page.classes.includes(truth)) return "";
  return truth === label ? ` It is ${truth}: right.` : ` It is ${truth}: wrong.`;
}

// ---- its augmentations

const draw = (photo, number) => request(`augmentations/${number}`, { method: "POST", body: photo });

async function drawAgain() {
  const { name, photo } = current;
  try {
    const drawn = await draw(photo, ++draws);
    if (current?.photo === photo) showKinds(drawn);
  } catch (error) {
    showFault(name, error);
  }
}

function showKinds({ original, kinds }) {
  at("kinds").replaceChildren(...kinds.map((kind) => kindOf(kind, original)));
  at("augmented").hidden = false;
}

function kindOf({ name, probability, strength, drawn }, original) {
  const block = element("div", "", { className: "kind" });
  const row = element("div", "", { className: "row" });
  row.append(...[original, ...drawn].map((src, index) => cell(src, index ? name : "original", index)));
  block.append(element("h3", title(name, probability)), element("p", often(probability, strength), { className: "soft" }), row);
  return block;
}

function cell(src, alt, index) {
  const figure = element("figure");
  figure.append(element("img", "", { src, alt }));
  if (index === 0) figure.append(element("figcaption", "original"));
  return figure;
}

const title = (name, probability) => (probability === null ? "all, as in training" : name.replaceAll("_", " "));

function often(probability, strength) {
  if (probability === null) return "each as often as training applied it";
  const settings = Object.entries(strength).map(([key, value]) => `${key} up to ${value}`);
  const share = probability === 0 ? "off in training" : `in ${(100 * probability).toFixed(0)} % of training photos`;
  return [share, ...settings].join("; ");
}

// ---- the page

async function start() {
  page = await request("about");
  at("name").textContent = page.name;
  at("classes").textContent = page.classes.join(" or ");
  at("limits").textContent = page.limits;
  at("patches").textContent = page.patches;
  at("size").textContent = `${page.size} × ${page.size}`;
  at("examples").replaceChildren(...page.examples.map(exampleButton));
}

function exampleButton({ name, label }, number) {
  const button = element("button", "", { type: "button", title: name, ariaPressed: "false" });
  button.append(element("img", "", { src: `examples/${number}`, alt: "" }), element("span", label));
  button.addEventListener("click", () => askExample(number));
  return button;
}

at("file").addEventListener("change", () => {
  const [file] = at("file").files;
  if (file) askFile(file);
  at("file").value = ""; // so that the same file can be chosen again
});
at("show").addEventListener("change", () => {
  at("map").hidden = !at("show").checked;
  at("frame").classList.toggle("mapped", at("show").checked);
});
at("again").addEventListener("click", drawAgain);
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // anywhere, or a browser would open the file instead
    at("drop").classList.toggle("over", ["dragenter", "dragover"].includes(kind));
  });
}
document.addEventListener("drop", (event) => {
  const [file] = event.dataTransfer.files;
  if (file) askFile(file);
});
start().catch((error) => showFault("", error));
