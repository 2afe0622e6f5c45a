// SPDX-License-Identifier: Apache-2.0
// What the forms of "Try it out" do beyond plain HTML: copying, files, other ways to write bytes, rows without a request.
// Everything works without it but files and copying.

for (const element of document.querySelectorAll("[data-scripted]")) element.hidden = false;

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const toBase64 = (bytes) => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
};
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const ways = {
  base64: { read: (text) => Uint8Array.from(atob(text.replace(/\s/g, "")), (c) => c.charCodeAt(0)), write: toBase64 },
  text: {
    read: (text) => utf8.encode(text),
    write: (bytes) => {
      if (bytes.includes(13)) throw new Error("a form changes line ends");
      return strict.decode(bytes);
    },
  },
  hex: {
    read: (text) => {
      const digits = text.replace(/\s/g, "");
      if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error("not hexadecimal");
      return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
    },
    write: hex,
  },
};

// Null for what is not written that way: whoever typed it means another one.
const bytesOf = (way, text) => {
  try {
    return ways[way].read(text);
  } catch {
    return null;
  }
};

document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-blob]")) event.target.dataset.before = event.target.value;
});

document.addEventListener("change", async (event) => {
  const { target } = event;
  if (target.matches("[data-blob]")) {
    const area = document.getElementById(target.dataset.blob);
    const before = target.dataset.before ?? "base64";
    const bytes = bytesOf(before, area.value);
    try {
      if (bytes !== null) area.value = ways[target.value].write(bytes);
    } catch {
      target.value = before; // These bytes are no text: they stay as they are written.
    }
    target.dataset.before = target.value;
  }
  if (target.matches("[data-file]") && target.files.length > 0) {
    const bytes = new Uint8Array(await target.files[0].arrayBuffer());
    document.getElementById(target.dataset.file).value = toBase64(bytes);
    const way = document.getElementById(`${target.dataset.file}.as`);
    way.value = way.dataset.before = "base64";
  }
});

const PLACED = ["id", "name", "for", "data-blob", "data-file"];

const addRow = (fieldset) => {
  const place = fieldset.dataset.rows;
  const row = fieldset.querySelector(":scope > template").content.cloneNode(true);
  for (const element of row.querySelectorAll("*")) {
    for (const name of PLACED) {
      const value = element.getAttribute(name);
      if (value !== null) element.setAttribute(name, value.replace("__", place));
    }
    if (element.localName === "label") element.textContent = element.textContent.replace(/ new$/, ` ${Number(place) + 1}`);
  }
  fieldset.dataset.rows = Number(place) + 1;
  const first = row.querySelector("input, select, textarea");
  fieldset.querySelector(":scope > template").before(row);
  first.focus();
};

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.matches("[data-more]")) {
    event.preventDefault();
    addRow(button.closest("fieldset"));
  }
  if (button?.matches("[data-copy]")) {
    const said = document.getElementById("copied");
    said.textContent = ""; // What is said a second time is read out again.
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    said.textContent = "Copied.";
  }
});
