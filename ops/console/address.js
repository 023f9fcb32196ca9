// The address says what is shown: `#/jobs?state=failed` is a page that can be kept, sent, and gone back to.

export function here() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  const parts = path.split("/").filter(Boolean).map(decodePart);
  return { parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

export function to(parts, query = {}) {
  const set = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const words = [parts].flat().map(encodeURIComponent).join("/");
  return `#/${words}${set.length ? `?${new URLSearchParams(set)}` : ""}`;
}

export function go(address) {
  if (location.hash === address) dispatchEvent(new HashChangeEvent("hashchange"));
  else location.hash = address;
}

function decodePart(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
