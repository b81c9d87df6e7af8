// Shows the API reference of this server, and sends its trial requests to the same server, with the explorer's key.

const STORED = "pageroles.key"; // where the explorer keeps it, in this tab alone
const key = sessionStorage.getItem(STORED);

const shown = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  tryItOutEnabled: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  onComplete: () => {
    if (key !== null) {
      shown.preauthorizeApiKey("key", key);
      document.getElementById("given").hidden = false;
    }
    mend();
    // The reference draws itself anew with each press.
    new MutationObserver(mend).observe(document.getElementById("swagger-ui"), { childList: true, subtree: true });
  },
});

// Gives what Swagger UI leaves without one a name, and a role that may stand there.
function mend() {
  for (const [selector, attribute, value] of [
    [".body-param__text, .body-param textarea", "aria-label", "Body of the request"],
    [".content-type-wrapper select, .content-type", "aria-label", "Content type"],
    [".parameters-col_description select, .parameters-col_description input:not([type=checkbox])", "aria-label", "Value"],
    [".servers select", "aria-label", "Server"],
    // Its headings leave out a level.
    ["h3", "aria-level", "2"],
    ["h4", "aria-level", "3"],
    ["h5", "aria-level", "4"],
    [".examples-select-element", "aria-label", "Example"],
    [".copy-to-clipboard button", "aria-label", "Copy"],
    [".close-modal", "aria-label", "Close"],
    [".highlight-code pre, .microlight, .opblock-body pre, .model-box, .example pre", "tabindex", "0"],
  ]) {
    for (const element of document.querySelectorAll(`#swagger-ui :is(${selector})`)) {
      if (!element.hasAttribute(attribute)) element.setAttribute(attribute, nameOf(element) ?? value);
    }
  }
}

// A field of a parameter is named as the parameter.
function nameOf(element) {
  if (!element.matches(".parameters-col_description *") || element.tagName === "PRE") return null;
  return element.closest("tr")?.dataset.paramName ?? null;
}
