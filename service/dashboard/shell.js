// A request as a line for a shell.

/** One word that a POSIX shell takes literally. @param {string} text */
export const quoted = (text) => (/^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** @param {{method: string, url: string, body: string | null}} request */
export function curlLine({ method, url, body }) {
  const words = ["curl", "-sS"];
  if (body !== null) words.push("-H", quoted("Content-Type: application/json"), "-d", quoted(body));
  else if (method !== "GET") words.push("-X", method);
  return [...words, quoted(url)].join(" ");
}
