// Elements out of names, attributes and children. What is text stays text: nothing here reads
// markup, and the browser is told to refuse it (trusted types).

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  append(element, children);
  return element;
}

export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** An element of the page. Functions under `on…` listen. */
export function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An element of a drawing. */
export function s(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
}

/** Terms and what they are; what is not there is left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "");
  return h("dl", { class: "facts" },
    shown.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))));
}

/** A word of a state, in its colour; the word says it without the colour as well. */
export function badge(word, tone = toneOf(word)) {
  return h("span", { class: `badge ${tone}` }, String(word ?? "-").replaceAll("_", " "));
}

function toneOf(word) {
  if (["delivered", "active", "open", "accepting"].includes(word)) return "good";
  if (["dead", "failing", "refused", "gone", "halted", "refusing"].includes(word)) return "bad";
  if (["cancelled", "drop"].includes(word)) return "quiet";
  return "waiting";
}

export function button(text, onclick, attributes) {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

/** The heading of a view, which gets the focus when the view is shown. */
export function heading(text, ...more) {
  return h("div", { class: "heading" }, h("h1", { tabindex: -1 }, text), more);
}

/** What the server or the code says is wrong. */
export function failure(error) {
  return h("p", { class: "failure", role: "alert" }, String(error?.message ?? error));
}
