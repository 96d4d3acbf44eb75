// Sends a photo to the server of this page and shows what comes back. No library, nothing remote.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

let page; // the reply to /about
let current; // the photo shown
let asked = 0; // number of photos asked about: a reply that a later one has overtaken is dropped
let draws = 0;

function element(tag, content = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = content;
  Object.assign(made, attributes);
  return made;
}

async function send(path, options) {
  let reply;
  try {
    reply = await fetch(path, options);
  } catch {
    throw new Error("The demo does not respond. Is it still running in its terminal?");
  }
  if (!reply.ok) throw new Error((await reply.json()).error);
  return reply;
}

const post = (path, body) => send(path, { method: "POST", body });

async function* lines(reply) {
  const decoder = new TextDecoder();
  let text = "";
  for await (const part of parts(reply.body.getReader())) {
    text += decoder.decode(part, { stream: true });
    const whole = text.split("\n");
    text = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}

async function* parts(reader) { // not every browser can iterate over a stream
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value;
}

function showFault(name, error) {
  at("fault").replaceChildren(...(name ? [element("b", `${name}: `)] : []), error.message);
  at("fault").hidden = false;
}

// ---- a photo

async function classify(name, getPhoto, truth) {
  const turn = ++asked;
  const overtaken = () => turn !== asked;
  at("fault").hidden = true;
  document.body.style.cursor = "progress";
  try {
    const photo = await getPhoto();
    const prediction = await (await post("prediction", photo)).json();
    const drawn = await draw(photo, 0);
    if (overtaken()) return;
    current = { name, photo };
    showPrediction(name, prediction, truth);
    showKinds(drawn);
    await showMap(photo, overtaken);
  } catch (error) {
    if (!overtaken()) hideResult(), showFault(name, error);
  } finally {
    if (!overtaken()) document.body.style.cursor = "";
  }
}

async function showMap(photo, overtaken) {
  at("progress").hidden = false;
  at("share").value = 0;
  at("map").hidden = true;
  for await (const { done, map } of lines(await post("occlusion", photo))) {
    if (overtaken()) return;
    at("share").value = done;
    at("map").src = map;
    at("map").hidden = !at("show").checked;
  }
  at("progress").hidden = true;
}

function hideResult() {
  current = undefined;
  at("result").hidden = at("augmented").hidden = true;
}

function classifyFile(file) {
  for (const button of at("examples").children) button.ariaPressed = "false";
  classify(file.name, async () => {
    if (file.size > page.maximum_bytes) throw new Error(page.too_many_bytes);
    return file;
  });
}

function classifyExample(number) {
  [...at("examples").children].forEach((button, index) => (button.ariaPressed = `${index === number}`));
  classify(title(number), async () => (await send(`examples/${number}`)).blob(), page.examples[number]);
}

const title = (number) => `example ${number + 1}`;

// ---- its prediction

function showPrediction(name, prediction, truth) {
  at("title").textContent = name;
  at("photo").src = prediction.photo;
  at("label").textContent = at("hidden").textContent = prediction.label;
  at("bars").classList.toggle("many", prediction.classes.length > 4);
  at("bars").replaceChildren(...prediction.classes.map((one) => bar(one, prediction)));
  at("why").textContent = rule(prediction);
  showTruth(prediction.label, truth);
  at("result").hidden = false;
}

function bar({ name, probability }, { label, decision }) {
  const row = element("div", "", { className: name === label ? "bar predicted" : "bar" });
  const threshold = name === decision.positive ? decision.threshold : null;
  row.append(element("span", name, { title: name }), element("b", percent(probability)), drawing(probability, threshold));
  return row;
}

// As SVG, because the page's policy allows no inline styles.
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

function rule({ decision: { positive, threshold } }) {
  if (threshold === null) return "The prediction is the most probable class.";
  return `The prediction is ${positive} from a probability of ${percent(threshold)} (the red line), a threshold chosen on validation images.`;
}

function showTruth(label, truth) {
  at("truth").hidden = truth === undefined || !page.classes.includes(truth);
  at("truth").classList.toggle("correct", truth === label);
  at("truth").replaceChildren(`True class: ${truth}. `, element("b", truth === label ? "Correct." : "Wrong."));
}

// ---- its augmentations

const draw = async (photo, number) => (await post(`augmentations/${number}`, photo)).json();

async function drawAgain() {
  const { name, photo } = current;
  try {
    const drawn = await draw(photo, ++draws);
    if (current?.photo === photo) showKinds(drawn);
  } catch (error) {
    showFault(name, error);
  }
}

function showKinds({ original, kinds, note }) {
  at("kinds").replaceChildren(...kinds.map((kind) => kindOf(kind, original)), note);
  at("augmented").hidden = false;
}

function kindOf({ name, probability, settings, images }, original) {
  const block = element("div", "", { className: "kind" });
  const row = element("div", "", { className: "row" });
  row.append(...[original, ...images].map((src, index) => cell(src, index ? name : "original", index)));
  const heading = probability === null ? "all kinds, as in training" : name.replaceAll("_", " ");
  block.append(element("h3", heading), element("p", frequency(probability, settings), { className: "soft" }), row);
  return block;
}

function cell(src, alt, index) {
  const figure = element("figure");
  figure.append(element("img", "", { src, alt }));
  if (index === 0) figure.append(element("figcaption", "original"));
  return figure;
}

function frequency(probability, settings) {
  if (probability === null) return "each with its own probability";
  const share = probability === 0 ? "not used in training" : `applied to ${(100 * probability).toFixed(0)} % of training images`;
  return [share, ...Object.entries(settings).map(([key, value]) => `${key} up to ${value}`)].join("; ");
}

// ---- the page

async function start() {
  page = await (await send("about")).json();
  at("name").textContent = page.name;
  at("classes").textContent = page.classes.join(", ");
  at("source").textContent = page.source && !page.drawn ? `Trained on ${page.source}.` : "";
  at("drawn").hidden = !page.drawn;
  at("limits").textContent = page.limits;
  at("patches").textContent = page.patches;
  at("size").textContent = `${page.size} × ${page.size}`;
  const scale = (100 * page.full_scale).toFixed(0);
  at("against").textContent = `−${scale} points or more`;
  at("for").textContent = `+${scale} points or more`;
  at("examples").replaceChildren(...page.examples.map((_, number) => exampleButton(number)));
}

function exampleButton(number) {
  const button = element("button", "", { type: "button", ariaPressed: "false" });
  button.append(element("img", "", { src: `examples/${number}`, alt: "" }), element("span", title(number)));
  button.addEventListener("click", () => classifyExample(number));
  return button;
}

at("file").addEventListener("change", () => {
  const [file] = at("file").files;
  if (file) classifyFile(file);
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
  if (file) classifyFile(file);
});
start().catch((error) => showFault("", error));
