// JSON with line breaks. Numbers, names and their order stay as they came: nothing is read into
// values and written anew.

/** Characters that are read, and that are made of them: what is deep grows by its margins. */
const READ = 1 << 20;
const MADE = 4 << 20;

/** The text in lines; `undefined` when it is no JSON, or too long to be read in lines. */
export function pretty(text) {
  if (text.length > READ) return undefined;
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  const out = [];
  let depth = 0;
  let at = 0;
  let made = 0;
  const line = () => {
    const margin = "  ".repeat(Math.min(depth, 40));
    made += margin.length;
    out.push("\n", margin);
  };
  const next = () => {
    while (/\s/.test(text[at] ?? "x")) at += 1;
    return text[at];
  };
  while (at < text.length) {
    if (made > MADE) {
      out.push("\n… the rest is nested too deep to be formatted: see raw");
      break;
    }
    const start = at;
    const c = text[at];
    at += 1;
    if (c === '"') {
      while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
      at += 1;
      out.push(text.slice(start, at));
    } else if (c === "{" || c === "[") {
      out.push(c);
      const closing = next();
      if (closing === "}" || closing === "]") {
        out.push(closing);
        at += 1;
      } else {
        depth += 1;
        line();
      }
    } else if (c === "}" || c === "]") {
      depth -= 1;
      line();
      out.push(c);
    } else if (c === ",") {
      out.push(c);
      line();
    } else if (c === ":") {
      out.push(": ");
    } else if (!/\s/.test(c)) {
      out.push(c);
    }
  }
  return out.join("");
}
