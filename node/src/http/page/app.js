// The page of a node: what /v1/events says, shown. Text goes in as text, never as markup.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const SPAN = 300; // seconds of the rate that are kept
const samples = [];
const letters = new Map(); // peer -> its place in the colours and letters

const at = (id) => document.getElementById(id);
const say = (id, text) => { const node = at(id); if (node.textContent !== text) node.textContent = text; };
const count = (n) => Math.round(n).toLocaleString("en");
const many = (n, what) => count(n) + " " + what + (n === 1 ? "" : "s");
const short = (peer) => peer.length > 20 ? peer.slice(0, 8) + ".." + peer.slice(-6) : peer;

function make(name, text, classes) {
  const node = document.createElement(name);
  if (text !== undefined) node.textContent = text;
  if (classes) node.className = classes;
  return node;
}

function drawn(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function time(seconds) {
  if (seconds === null || seconds === undefined || seconds > 3e7) return "unknown";
  const s = Math.round(seconds);
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

const bytes = (n) => n >= 1e6 ? (n / 1e6).toFixed(1) + " MB/s" : (n / 1e3).toFixed(1) + " kB/s";
const date = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ") + "Z";

function place(peer) {
  if (!letters.has(peer)) letters.set(peer, letters.size);
  return letters.get(peer);
}
const colour = (peer) => "p" + place(peer) % 8;
function letter(peer) {
  let n = place(peer), text = "";
  do { text = String.fromCharCode(65 + n % 26) + text; n = Math.floor(n / 26) - 1; } while (n >= 0);
  return text;
}

function status(now) {
  const held = now.ranges, whole = held.end - held.start;
  const done = Math.max(0, Math.min(held.size, held.end) - held.start);
  const share = whole > 0 ? done / whole : 0;
  say("peer-id", now.status.peer_id);
  say("state", now.status.state);
  at("state").className = "badge " + now.status.state;
  say("why", now.status.why);
  at("progress").value = share;
  say("percent", whole > 0 ? (Math.floor(share * 1000) / 10).toFixed(1) + " %" : "");
  say("size", count(now.status.size));
  say("end", now.status.target ? count(now.status.target.end) : "unknown");
  say("rate", count(now.status.ops_per_s) + "/s");
  say("eta", now.status.state === "syncing" ? time(now.status.eta_s) : "none");
  say("peers", count(now.status.peers));
  say("age", now.status.checkpoint_age_s === null ? "none" : time(now.status.checkpoint_age_s) + " old");
  say("root", now.status.target ? now.status.target.root : "none");
  document.title = now.status.state + " - cordee";
}

function plot(rate) {
  const now = performance.now() / 1000;
  samples.push([now, rate]);
  while (now - samples[0][0] > SPAN) samples.shift();
  const past = now - samples[0][0], shown = Math.max(past, 20);
  const most = Math.max(...samples.map(([, value]) => value), 1);
  const x = (when) => 600 - (now - when) * 600 / shown;
  const points = samples.map(([when, value]) => x(when).toFixed(1) + " " + (156 - value / most * 148).toFixed(1));
  const line = "M" + points.join("L");
  const first = x(samples[0][0]);
  at("line").setAttribute("d", line);
  at("area").setAttribute("d", line + "L600 160L" + first.toFixed(1) + " 160Z");
  say("plot-text", samples.some(([, value]) => value > 0)
    ? "now " + count(rate) + ", at most " + count(most) + " operations a second in the last " + time(past)
    : "no operations were fetched in the last " + time(past));
}

function map(ranges) {
  const whole = Math.max(ranges.end - ranges.start, 1);
  const x = (n) => Math.max(0, Math.min(1000, (n - ranges.start) / whole * 1000));
  const block = (from, to, classes) =>
    drawn("rect", { x: x(from).toFixed(2), y: 0, width: Math.max(x(to) - x(from), 1.5).toFixed(2), height: 60, class: classes });
  const parts = [];
  if (ranges.size > ranges.start) parts.push(block(ranges.start, ranges.size, "held"));
  for (const [from, to] of ranges.buffered) parts.push(block(from, to, "buffered"));
  const rows = [];
  for (const open of ranges.in_flight) {
    const who = open.peers.length ? open.peers[0] : null;
    const part = block(open.start, open.end, who ? colour(who) : "nobody");
    part.append(drawn("title", {}, open.start + " to " + open.end + ": " + (open.peers.join(" and ") || "waits for a peer")));
    parts.push(part);
    const row = make("tr");
    row.append(make("td", count(open.start)), make("td", count(open.end)));
    const cell = make("td");
    for (const peer of open.peers) {
      cell.append(make("span", undefined, "key " + colour(peer)), make("span", letter(peer) + " " + short(peer) + " "));
    }
    if (!open.peers.length) cell.textContent = "waits for a peer";
    row.append(cell);
    rows.push(row);
  }
  at("map").replaceChildren(...parts);
  at("requests").replaceChildren(...rows);
  say("open", String(ranges.in_flight.length));
  say("map-text", ranges.in_flight.length
    ? asked(ranges.in_flight) + "; held up to " + count(ranges.size)
    : "nothing is asked for; held from " + count(ranges.start) + " to " + count(ranges.size));
}

// How many ranges are asked of how many peers, and how many wait for one.
function asked(open) {
  const peers = new Set(open.flatMap((one) => one.peers));
  const waiting = open.filter((one) => !one.peers.length).length;
  const asked = open.length - waiting;
  const wait = waiting === 1 ? " waits for a peer" : " wait for a peer";
  if (!asked) return many(waiting, "range") + wait;
  return many(asked, "range") + " asked of " + many(peers.size, "peer") + (waiting ? "; " + count(waiting) + wait : "");
}

function peers(list, total) {
  at("no-peers").hidden = list.length > 0;
  at("peer-table").hidden = list.length === 0;
  say("more-peers", total > list.length ? "and " + count(total - list.length) + " more: see /v1/peers" : "");
  const rows = [];
  for (const peer of list) {
    const row = make("tr");
    const name = make("td", undefined, "wide");
    const id = make("code", short(peer.peer_id));
    id.title = peer.peer_id;
    name.append(make("span", undefined, "key " + colour(peer.peer_id)), make("span", letter(peer.peer_id) + " "), id);
    if (peer.trusted) name.append(make("span", " yours"));
    const state = make("td");
    state.append(make("span", peer.state, "badge " + peer.state));
    const cell = (label, text) => { const node = make("td", text); node.dataset.label = label; return node; };
    row.append(name, state, cell("trust", peer.trust.toFixed(1)), cell("rate", peer.rate === null ? "unknown" : bytes(peer.rate)),
      cell("in flight", peer.in_flight + " of " + peer.window), cell("operations", count(peer.ops)),
      cell("refused", count(peer.refused)), cell("offences", count(peer.offences)));
    rows.push(row);
    const last = peer.recent_offences[peer.recent_offences.length - 1];
    if (peer.banned || last) {
      row.className = "has-why";
      const why = make("tr", undefined, "why"), text = make("td");
      text.colSpan = 8;
      const ban = peer.banned ? "banned for " + time(peer.ban_left_s) + " more: " + (peer.ban_reason || "operator") + "; " : "";
      text.textContent = ban + (last ? "it " + last.what + ", " + date(last.at) : "");
      why.append(text);
      rows.push(why);
    }
  }
  at("peer-rows").replaceChildren(...rows);
}

function checkpoint(title, shown) {
  const part = make("div");
  part.append(make("p", title + ": height " + shown.height + ", made " + date(shown.time) + ", signed by "
    + shown.signers.length + "; " + shown.threshold + " needed"));
  part.append(make("code", shown.target));
  const list = make("ul", undefined, "signers");
  for (const signer of shown.signers) { const item = make("li"); item.append(make("code", signer)); list.append(item); }
  part.append(list);
  return part;
}

function checkpoints(standing) {
  const parts = [];
  if (!standing) {
    parts.push(make("p", "no trust policy: checkpoints are not followed", "caption"));
  } else {
    if (standing.fork) parts.push(make("p", standing.fork));
    if (standing.newest) parts.push(checkpoint("accepted", standing.newest));
    for (const shown of standing.gathering) parts.push(checkpoint("lacks signatures", shown));
    if (standing.refused) parts.push(make("p", "refused: height " + standing.refused.height + ", as " + standing.refused.message));
    if (!parts.length) parts.push(make("p", "none yet", "caption"));
  }
  at("checkpoints").replaceChildren(...parts);
}

let heard = 0;
const source = new EventSource("/v1/events");
source.addEventListener("now", (event) => {
  const now = JSON.parse(event.data);
  heard = Date.now();
  status(now);
  plot(now.status.ops_per_s);
  map(now.ranges);
  peers(now.peers, now.peers_known);
  checkpoints(now.checkpoints);
  say("live", "live");
  at("live").className = "live";
});
setInterval(() => {
  if (Date.now() - heard < 5000) return;
  say("live", heard ? "no word from the node since " + new Date(heard).toLocaleTimeString() : "no answer from the node");
  at("live").className = "live lost";
}, 1000);
