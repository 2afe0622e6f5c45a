// SPDX-License-Identifier: Apache-2.0
// Wraps key material under the server's RSA key, by RSA-OAEP with SHA-256 (RFC 8017, section 7.1). The fields that the
// material is given in belong to no form, and are emptied once it is wrapped.

const field = (id) => document.getElementById(id);
const wrapping = field("wrapping");
const trouble = field("trouble");

const ofBase64 = (text) => Uint8Array.from(atob(text.replace(/\s/g, "")), (letter) => letter.charCodeAt(0));

function ofHex(text) {
  const digits = text.replace(/[\s:]/g, "").replace(/^0x/i, "");
  if (!/^([0-9a-f]{2})+$/i.test(digits)) throw new Error("that is not hexadecimal");
  return Uint8Array.from(digits.match(/../g), (pair) => parseInt(pair, 16));
}

function toBase64(buffer) {
  const text = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return text.match(/.{1,76}/g).join("\n");
}

const given = () => document.querySelector('input[name="form-of-material"]:checked').value;

async function material() {
  if (given() === "file") {
    const [file] = field("material-file").files;
    if (!file) throw new Error("no file was chosen");
    return new Uint8Array(await file.arrayBuffer());
  }
  const text = field("material").value;
  if (given() === "hex") return ofHex(text);
  try {
    return ofBase64(text);
  } catch {
    throw new Error("that is not Base64");
  }
}

async function wrap() {
  trouble.textContent = field("done").textContent = "";
  const algorithm = { name: "RSA-OAEP", hash: "SHA-256" };
  let bytes = new Uint8Array();
  try {
    bytes = await material();
    const length = Number(wrapping.dataset.length);
    if (length && bytes.length !== length) throw new Error(`it has ${bytes.length} bytes, and not ${length}`);
    const key = await crypto.subtle.importKey("spki", ofBase64(field("public-key").value), algorithm, false, ["encrypt"]);
    field("wrapped").value = toBase64(await crypto.subtle.encrypt(algorithm, key, bytes));
    field("material").value = field("material-file").value = "";
    field("done").textContent = "It is wrapped, and in the field below.";
  } catch (error) {
    trouble.textContent = `Not wrapped: ${error.message}`;
  } finally {
    bytes.fill(0);
  }
}

if (window.isSecureContext && crypto.subtle) {
  wrapping.hidden = false;
  field("do-wrap").addEventListener("click", wrap);
  for (const choice of document.querySelectorAll('input[name="form-of-material"]')) {
    choice.addEventListener("change", () => {
      field("as-file").hidden = given() !== "file";
      field("as-text").hidden = given() === "file";
    });
  }
} else {
  field("by-openssl").open = true;
}
