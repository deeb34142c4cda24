// JSON without loss, and ids in the fields of a form: an id may be larger than what a Number holds exactly (2^53).

/** Whole numbers beyond the exact ones become BigInt, where the browser tells how they were written. @param {string} text */
export function parsed(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value,
  );
}

/** The inverse. @param {any} value @param {number} [indent] */
export const written = (value, indent) => JSON.stringify(value, (key, each) => (typeof each === "bigint" ? JSON.rawJSON(String(each)) : each), indent);

/** "7" -> 7, "\"7\"" -> "7", "u7" -> "u7" @param {string} text of a field */
export function idOf(text) {
  const trimmed = text.trim();
  if (/^-?(0|[1-9]\d{0,18})$/.test(trimmed)) return parsed(trimmed);
  return /^".*"$/.test(trimmed) ? trimmed.slice(1, -1) : trimmed;
}

/** Ids or words that stand between commas. */
export const listOf = (text, read = idOf) => text.split(",").map((part) => part.trim()).filter(Boolean).map(read);

/** The inverse of idOf. */
export const shownId = (id) => (typeof id === "string" && /^-?\d+$/.test(id) ? `"${id}"` : String(id));
