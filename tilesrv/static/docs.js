// Renders the OpenAPI document of this server. No libraries, nothing from elsewhere.

function element(name, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(name), attributes);
  made.append(...children);
  return made;
}

// A schema in a few words: type, choices, bounds, default.
function describe(schema) {
  if (!schema) return "";
  if (schema.anyOf) return schema.anyOf.map(describe).join(" or ");
  const words = [];
  if (schema.type === "array") {
    words.push(`list of ${describe(schema.items) || "values"}`);
    if (schema.minItems === schema.maxItems) words.push(`${schema.minItems} of them`);
    else if (schema.maxItems !== undefined) words.push(`${schema.minItems ?? 0} to ${schema.maxItems} of them`);
  } else if (schema.enum) words.push(schema.enum.join(" | "));
  else words.push([schema.type].flat().join(" or ") || "anything");
  const huge = (value) => value === undefined || Math.abs(value) >= 1e12;
  if (!huge(schema.minimum) || !huge(schema.maximum)) {
    words.push(`${huge(schema.minimum) ? "…" : schema.minimum} to ${huge(schema.maximum) ? "…" : schema.maximum}`);
  }
  if (schema.default !== undefined && schema.default !== null) words.push(`default ${[schema.default].flat().join(",")}`);
  return words.join(", ");
}

function table(head, rows) {
  const cells = (kind, values) => element("tr", {}, ...values.map((value) => element(kind, {}, value)));
  return element("table", {}, cells("th", head), ...rows.map((row) => cells("td", row)));
}

const code = (text) => element("code", { textContent: text });

function parameters(operation) {
  const rows = (operation.parameters ?? []).map((entry) => [
    code(entry.name),
    entry.in + (entry.required ? ", required" : ""),
    describe(entry.schema),
    (entry.description ?? "").replaceAll("`", ""),
  ]);
  return rows.length ? [table(["parameter", "in", "value", "meaning"], rows)] : [];
}

function body(operation) {
  const kinds = Object.entries(operation.requestBody?.content ?? {});
  const rows = kinds.map(([kind, { schema }]) => [
    code(kind),
    Object.entries(schema?.properties ?? {}).map(([name, value]) => `${name}: ${describe(value)}`).join("; ") || describe(schema),
  ]);
  return rows.length ? [table(["body", "members"], rows)] : [];
}

function answers(operation) {
  const rows = Object.entries(operation.responses).map(([status, answer]) => [
    code(status),
    answer.description,
    Object.keys(answer.content ?? {}).join(", "),
  ]);
  return table(["answer", "meaning", "type"], rows);
}

function render(document_) {
  const byTag = new Map();
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags?.[0] ?? "other";
      if (!byTag.has(tag)) byTag.set(tag, []);
      const head = element("summary", {}, element("b", { textContent: method.toUpperCase() }), code(path), " ");
      head.append(element("span", { textContent: operation.summary ?? "" }));
      const text = (operation.description ?? "").replaceAll("`", "");
      const inner = element("div", {}, ...text.split("\n\n").filter(Boolean).map((part) => element("p", { textContent: part })));
      inner.append(...parameters(operation), ...body(operation), answers(operation));
      byTag.get(tag).push(element("details", {}, head, inner));
    }
  }
  const main = document.getElementById("routes");
  main.append(element("p", { textContent: document_.info.summary ?? "" }));
  for (const [tag, entries] of byTag) main.append(element("h2", { className: "tag", textContent: tag }), ...entries);
}

render(await (await fetch("/openapi.json")).json());
