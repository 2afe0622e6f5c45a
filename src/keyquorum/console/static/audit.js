// SPDX-License-Identifier: Apache-2.0
// Follows the audit log: asks every two seconds for what came since, and puts it on top of the table. What records say
// is text, and becomes nothing else.

const EVERY = 2000;
const MOST = 200;

const tail = document.getElementById("tail");
const table = document.getElementById("events");
const follow = document.getElementById("follow");
const state = document.getElementById("tail-state");
const known = new Set([...table.querySelectorAll("tr[data-id]")].map((row) => row.dataset.id));
let after = tail?.dataset.after;
let timer = 0;

function cell(row, text, ...classes) {
  const made = row.insertCell();
  made.classList.add(...classes);
  made.textContent = text;
  return made;
}

function add(event) {
  const row = table.insertRow(0);
  row.dataset.id = event.id;
  cell(row, event.time, "mono");
  const link = document.createElement("a");
  const address = new URL(tail.dataset.event.replace("__id__", encodeURIComponent(event.id)), location.href);
  address.searchParams.set("at", event.at);
  link.href = address.href;
  link.textContent = event.name;
  row.insertCell().append(link);
  const badge = document.createElement("span");
  badge.classList.add("badge", event.code ? "bad" : "good");
  badge.textContent = event.code || "allowed";
  row.insertCell().append(badge);
  cell(row, event.who, "mono");
  cell(row, event.keys.join(" "), "mono");
  cell(row, event.address, "mono");
}

async function look() {
  const address = new URL(tail.dataset.tail, location.href);
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (!["next", "from", "to", "range"].includes(name)) address.searchParams.set(name, value);
  }
  address.searchParams.set("after", after);
  try {
    const answer = await fetch(address, { redirect: "error" });
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.trouble);
    for (const event of said.events) {
      if (known.has(event.id)) continue;
      known.add(event.id);
      add(event);
    }
    while (table.rows.length > MOST) {
      known.delete(table.rows[MOST].dataset.id);
      table.deleteRow(MOST);
    }
    after = said.after;
    state.textContent = said.missed ? "Following; more comes than is shown." : "Following.";
  } catch (error) {
    stop(`Stopped: ${error.message}`);
    return;
  }
  if (follow.getAttribute("aria-pressed") === "true") timer = setTimeout(look, EVERY);
}

function stop(why) {
  clearTimeout(timer);
  follow.setAttribute("aria-pressed", "false");
  follow.textContent = "Follow";
  state.textContent = why;
}

if (tail) {
  tail.hidden = false;
  follow.addEventListener("click", () => {
    if (follow.getAttribute("aria-pressed") === "true") {
      stop("Paused.");
      return;
    }
    follow.setAttribute("aria-pressed", "true");
    follow.textContent = "Pause";
    look();
  });
  document.getElementById("announce").addEventListener("change", (event) => {
    if (event.target.checked) table.setAttribute("aria-live", "polite");
    else table.removeAttribute("aria-live");
  });
}
