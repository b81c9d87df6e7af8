// Definitions at hand: a small button beside a word opens what it means.

import { byId, make } from "./dom.js";
import { term } from "./words.js";

// Makes the button that opens a definition, by the name of a term or by its words.
export function help(name, said = term(name)) {
  const opener = make("button", {
    type: "button", className: "help", textContent: "?",
    attributes: { "aria-label": `What “${said.label}” means`, "aria-expanded": "false" },
  });
  // A press outside of the box closes it, and this button is outside.
  let wasOpen = false;
  opener.addEventListener("pointerdown", () => (wasOpen = opener.getAttribute("aria-expanded") === "true"));
  opener.addEventListener("click", () => {
    if (!wasOpen) open(opener, said);
    wasOpen = false;
  });
  return opener;
}

function open(opener, { label, meaning }) {
  const box = byId("definition");
  box.hidePopover();
  box.replaceChildren(make("b", { textContent: label }), ` ${meaning}`);
  box.showPopover();
  opener.setAttribute("aria-expanded", "true");
  opener.setAttribute("aria-describedby", "definition");
  const at = opener.getBoundingClientRect();
  const size = box.getBoundingClientRect();
  const left = Math.max(8, Math.min(at.left, document.documentElement.clientWidth - size.width - 8));
  const below = at.bottom + 6 + size.height < innerHeight;
  box.style.setProperty("left", `${left}px`);
  box.style.setProperty("top", `${below ? at.bottom + 6 : at.top - 6 - size.height}px`);
  const closed = ({ newState }) => {
    if (newState === "open") return;
    opener.setAttribute("aria-expanded", "false");
    opener.removeAttribute("aria-describedby");
    box.removeEventListener("beforetoggle", closed);
  };
  box.addEventListener("beforetoggle", closed);
}
