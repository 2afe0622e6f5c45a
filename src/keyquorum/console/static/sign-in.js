// SPDX-License-Identifier: Apache-2.0
// Signs a ConsoleLogin request with an access key, as SigV4 has it (IAM user guide, "Create a signed AWS API request").
// The secret is turned into keys that cannot be taken out of WebCrypto, is in no request, and is kept nowhere.

const form = document.getElementById("sign-in");
const trouble = document.getElementById("trouble");
const utf8 = new TextEncoder();
const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const sha256 = async (text) => hex(await crypto.subtle.digest("SHA-256", utf8.encode(text)));

const hmacKey = (bytes) => crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
const hmac = (key, text) => crypto.subtle.sign("HMAC", key, utf8.encode(text));

async function signingKey(secret, scope) {
  let key = await hmacKey(utf8.encode(`AWS4${secret}`));
  for (const part of scope) key = await hmacKey(await hmac(key, part));
  return key;
}

async function login(accessKeyId, secret, sessionToken) {
  const { nonce, region, now } = await (await fetch("/console/nonce")).json();
  const body = JSON.stringify({ Nonce: nonce });
  const timestamp = new Date(now * 1000).toISOString().replace(/[-:]|\.\d+/g, "");
  const headers = {
    "content-type": "application/x-amz-json-1.0",
    host: location.host,
    "x-amz-date": timestamp,
    ...(sessionToken ? { "x-amz-security-token": sessionToken } : {}),
    "x-amz-target": "Keyquorum.ConsoleLogin",
  };
  const names = Object.keys(headers);
  const lines = names.map((name) => `${name}:${headers[name]}\n`).join("");
  const canonical = ["POST", "/", "", lines, names.join(";"), await sha256(body)].join("\n");
  const scope = [timestamp.slice(0, 8), region, "keyquorum", "aws4_request"];
  const toSign = ["AWS4-HMAC-SHA256", timestamp, scope.join("/"), await sha256(canonical)].join("\n");
  const signature = hex(await hmac(await signingKey(secret, scope), toSign));
  delete headers.host;
  headers.authorization = `AWS4-HMAC-SHA256 Credential=${[accessKeyId, ...scope].join("/")}, ` +
    `SignedHeaders=${names.join(";")}, Signature=${signature}`;
  const answer = await fetch("/", { method: "POST", headers, body, credentials: "omit" });
  const members = await answer.json();
  if (!answer.ok) throw new Error(members.message || members.__type || `HTTP status ${answer.status}`);
  return members.Token;
}

if (window.isSecureContext && crypto.subtle) {
  form.hidden = false;
  document.getElementById("no-signing").textContent = "Or ask for a link that signs you in once:";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = (id) => document.getElementById(id);
  trouble.textContent = "";
  try {
    const given = ["access-key-id", "secret", "session-token"].map((id) => field(id).value.trim());
    const token = await login(...given);
    field("secret").value = field("session-token").value = "";
    const next = document.getElementById("hand-over");
    next.elements.token.value = token;
    next.submit();
  } catch (error) {
    trouble.textContent = `Not signed in: ${error.message}`;
  }
});
