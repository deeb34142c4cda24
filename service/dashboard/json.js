// JSON without loss: an id may be larger than the integers that a Number holds exactly (2^53), and must come back as it went out.

/** Whole numbers beyond the exact ones become BigInt, where the browser tells how they were written. @param {string} text */
export function parsed(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value,
  );
}

/** The inverse. @param {any} value @param {number} [indent] */
export function written(value, indent) {
  const text = JSON.stringify(value, (key, each) => (typeof each === "bigint" ? `\0${each}` : each), indent);
  return text.replace(/"\\u0000(-?\d+)"/g, "$1");
}
