// Questions before something is done, and short notices after it.

import { append, button, failure, h, replace } from "./dom.js";

let shown;

/** Whether somebody is being asked. */
export function isAsking() {
  return shown !== undefined;
}

function open(title, content, actions) {
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" },
    h("h2", { id: "dialog-title" }, title), content, h("div", { class: "actions" }, actions));
  document.body.append(dialog);
  shown = dialog;
  dialog.addEventListener("close", () => {
    dialog.remove();
    shown = undefined;
  });
  dialog.showModal();
  return dialog;
}

/** Shows something to be read. */
export function tell(title, ...content) {
  const dialog = open(title, content, [button("Close", () => dialog.close())]);
}

/**
 * First the count, then the question. `count` asks the daemon what would be done and gives the
 * sentences; only when they stand there can `act` be chosen.
 */
export function confirm({ title, action, danger, count, act }) {
  return new Promise((resolve) => {
    const body = h("div", { "aria-live": "polite" }, h("p", {}, "Counting…"));
    let done = false;
    const go = button(action, perform, { class: danger ? "danger" : "primary", disabled: true });
    const stop = button("Cancel", () => dialog.close(), { autofocus: true });
    const dialog = open(title, body, [stop, go]);
    dialog.addEventListener("close", () => resolve(done));

    async function perform() {
      go.disabled = true;
      try {
        notice(await act());
        done = true;
        dialog.close();
      } catch (error) {
        append(body, failure(error));
      }
    }

    Promise.resolve(count()).then(({ lines, none }) => {
      replace(body, lines.map((line) => h("p", {}, line)));
      go.disabled = Boolean(none);
      if (none) stop.textContent = "Close";
    }, (error) => replace(body, failure(error)));
  });
}

/** Says something for a while, to screen readers as well. */
export function notice(text, isBad = false) {
  const line = h("p", { class: isBad ? "bad" : "" }, text,
    button("×", () => line.remove(), { "aria-label": "Dismiss" }));
  const notices = document.getElementById("notices");
  notices.append(line);
  while (notices.childElementCount > 4) notices.firstElementChild.remove();
  if (!isBad) setTimeout(() => line.remove(), 8000);
}

/** Does one thing that needs no question, and says what came of it. */
export async function perform(work, control) {
  if (control) control.disabled = true;
  try {
    notice(await work());
  } catch (error) {
    notice(error.message, true);
  } finally {
    if (control) control.disabled = false;
  }
}
