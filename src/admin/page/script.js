"use strict";

// What sessions hold comes from strangers. It reaches the page through textContent and nowhere else; the policy that this
// page is served with forbids every other way.

const EVERY = 5000;
const byId = (id) => document.getElementById(id);
const HANDLE = /^[A-Za-z0-9_-]{43}$/;

// ---- asking

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, method = "GET") {
  const token = sessionStorage.getItem("token");
  let answer, text;
  try {
    answer = await fetch(path, { method, cache: "no-store", headers: token ? { Authorization: "Bearer " + token } : {} });
    text = await answer.text();
  } catch {
    throw new Refusal(0, "The proxy does not answer.");
  }
  if (answer.ok) return text;
  let problem = {};
  try {
    problem = JSON.parse(text);
  } catch { /* it is no problem document */ }
  throw new Refusal(answer.status, problem.title ? `${problem.title}: ${problem.detail}` : `The proxy answered ${answer.status}.`);
}

const json = async (path, method) => JSON.parse(await ask(path, method));

// ---- writing

function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function draw(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function span(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function size(bytes) {
  return bytes < 1024 ? `${bytes} B` : `${(bytes / 1024).toFixed(1)} KiB`;
}

const moment = (seconds) => new Date(seconds * 1000).toLocaleString();
const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

// Indents JSON without reading its numbers: every digit stays as it was stored.
function indented(text) {
  let out = "", depth = 0, inString = false;
  const newLine = () => "\n" + "  ".repeat(depth);
  for (let at = 0; at < text.length; at++) {
    const c = text[at];
    if (inString) {
      out += c;
      if (c === "\\") out += text[++at];
      else if (c === '"') inString = false;
    } else if (c === '"') {
      inString = true;
      out += c;
    } else if (c === "{" || c === "[") {
      const close = text[at + 1] === "}" || text[at + 1] === "]";
      depth += 1;
      out += close ? c : c + newLine();
    } else if (c === "}" || c === "]") {
      depth -= 1;
      out += text[at - 1] === "{" || text[at - 1] === "[" ? c : newLine() + c;
    } else if (c === ",") out += c + newLine();
    else out += c === ":" ? ": " : c;
  }
  return out;
}

// ---- health and traffic

const STANDINGS = { up: ["good", "up"], trial: ["warn", "being tried again"], out: ["bad", "out: it failed lately"], down: ["bad", "down: it fails its checks"] };

function tellHealth(status) {
  byId("version").textContent = status.version;
  const row = (name, kind, text) => make("li", {}, make("strong", {}, name), " ", make("span", { className: kind }, text));
  const rows = [];
  if (status.draining) rows.push(row("Process", "warn", "draining: it is about to end"));
  const store = status.store;
  rows.push(row(`Store (${store.kind})`, store.trouble ? "bad" : "good", store.trouble ?? "answers"));
  for (const upstream of status.upstreams) {
    for (const { server, standing } of upstream.servers) {
      const [kind, text] = STANDINGS[standing] ?? ["warn", standing];
      rows.push(row(`${upstream.name} at ${server}`, kind, text));
    }
  }
  byId("health").replaceChildren(...rows);
}

const PLOTS = [
  { name: "Answers", unit: "/s", series: [["2xx", "c1"], ["3xx", "c0"], ["4xx", "c2"], ["5xx", "c4"]], of: (sample, name) => sample.statuses[name] ?? 0 },
  { name: "Sessions", unit: "/s", series: [["none", "c5"], ["live", "c0"], ["created", "c1"], ["updated", "c2"], ["rotated", "c3"], ["destroyed", "c5 dashed"], ["rejected", "c4"]], of: (sample, name) => sample.outcomes[name] ?? 0 },
  { name: "Duration", unit: " ms on average", series: [["all", "c0"]], mean: true },
];

// One value for each stretch between two samples.
function values(plot, name, samples) {
  const found = [];
  for (let at = 1; at < samples.length; at++) {
    const [before, after] = [samples[at - 1], samples[at]];
    if (plot.mean) {
      const requests = after.requests - before.requests;
      found.push(requests > 0 ? (1000 * (after.seconds - before.seconds)) / requests : 0);
    } else {
      found.push((plot.of(after, name) - plot.of(before, name)) / Math.max(1, after.at - before.at));
    }
  }
  return found;
}

const rounded = (value) => (value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1));

function tellTraffic({ samples }) {
  const minutes = samples.length > 1 ? Math.max(1, Math.round((samples.at(-1).at - samples[0].at) / 60)) : 0;
  byId("traffic-span").textContent = minutes > 1 ? `of the last ${minutes} minutes` : "of the last minute";
  byId("plots").replaceChildren(...PLOTS.map((plot) => {
    const lines = plot.series.map(([name, look]) => ({ name, look, values: values(plot, name, samples) }));
    const most = Math.max(...lines.flatMap((line) => line.values), 0);
    const now = (line) => rounded(line.values.at(-1) ?? 0) + plot.unit;
    // Of what never happened there is no line, for it would hide the others at the bottom.
    const paths = lines.filter((line) => line.values.some((value) => value > 0)).map((line) => {
      const step = 300 / Math.max(1, line.values.length - 1);
      const points = line.values.map((value, at) => `${(at * step).toFixed(1)} ${(58 - (56 * value) / most).toFixed(1)}`);
      const d = "M" + points.join("L") + (points.length === 1 ? "H300" : "");
      return draw("path", { class: line.look, d, ...(line.look.includes("dashed") ? { "stroke-dasharray": "4 4" } : {}) });
    });
    const said = `${plot.name}: ${lines.map((line) => `${line.name} ${now(line)}`).join(", ")}`;
    const key = lines.map((line) => make("li", {}, draw("svg", { viewBox: "0 0 10 6", "aria-hidden": "true" }, draw("path", { class: line.look, d: "M0 3H10", "stroke-width": "2", ...(line.look.includes("dashed") ? { "stroke-dasharray": "3 2" } : {}) })), `${line.name} ${now(line)}`));
    return make("figure", {},
      make("figcaption", {}, make("strong", {}, plot.name), make("span", {}, `at most ${rounded(most)}${plot.unit}`)),
      draw("svg", { class: "plot", viewBox: "0 0 300 60", preserveAspectRatio: "none", role: "img", "aria-label": said }, ...paths),
      make("ul", { className: "key" }, ...key));
  }));
}

async function look() {
  try {
    const [status, traffic] = await Promise.all([json("/v1/status"), json("/v1/traffic")]);
    tellHealth(status);
    tellTraffic(traffic);
    if (byId("notice").dataset.of === "look") notice("");
    return true;
  } catch (refusal) {
    if (refusal.status === 401) signIn(sessionStorage.getItem("token") ? "This is not the token." : "");
    else {
      byId("notice").dataset.of = "look";
      notice(refusal.message);
    }
    return false;
  }
}

// ---- who may

function signIn(problem) {
  sessionStorage.removeItem("token");
  search += 1;
  for (const dialog of [byId("confirm"), byId("session")]) dialog.close();
  for (const part of [byId("sessions").tBodies[0], byId("facts"), byId("data")]) part.replaceChildren();
  byId("desk").hidden = byId("forget").hidden = true;
  byId("sign-in").hidden = false;
  byId("sign-in-problem").textContent = problem;
  byId("token").value = "";
  byId("token").focus();
}

async function open() {
  if (!(await look())) return;
  byId("sign-in").hidden = true;
  byId("desk").hidden = false;
  byId("forget").hidden = !sessionStorage.getItem("token");
  byId("wanted").focus();
  find();
}

byId("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value.trim());
  open();
});
byId("forget").addEventListener("click", () => signIn(""));

// ---- sessions

let search = 0;
let wanted = "";

function row(session) {
  const cell = (name, text) => make("td", { className: "number", "data-name": name }, text);
  const who = session.subject ?? "nobody";
  const show = make("button", { type: "button", onclick: () => openSession(session.handle) }, "Show");
  const end = make("button", { type: "button", className: "danger", onclick: () => confirmOne(session) }, "End");
  show.setAttribute("aria-label", `Show the session ${session.handle} of ${who}`);
  end.setAttribute("aria-label", `End the session ${session.handle} of ${who}`);
  const created = session.created + session.age;
  return make("tr", { "data-handle": session.handle },
    make("td", { className: "user", "data-name": "User" }, session.subject ?? "–"),
    make("td", { className: "handle", "data-name": "Handle" }, session.handle),
    cell("Age", span(session.age)), cell("Idle", span(session.idle)),
    cell("Ends in", span(Math.max(0, session.expires - created))), cell("Size", size(session.bytes)),
    cell("Version", String(session.version)), make("td", { className: "actions" }, show, " ", end));
}

function list(sessions) {
  byId("sessions").tBodies[0].append(...sessions.map(row));
  byId("sessions").hidden = byId("sessions").tBodies[0].rows.length === 0;
}

async function load(query, number) {
  let page = { sessions: [], next: query.cursor ?? null, unreadable: 0 };
  do { // A page may be empty and not be the last.
    const place = page.next === null ? {} : { cursor: page.next };
    page = await json("/v1/sessions?" + new URLSearchParams({ limit: "50", ...query, ...place }));
    if (number !== search) return 0;
  } while (page.sessions.length === 0 && page.next !== null);
  list(page.sessions);
  byId("more").hidden = page.next === null;
  byId("more").onclick = () => guarded(() => load({ ...query, cursor: page.next }, number));
  if (page.unreadable) byId("sessions-problem").textContent = `${counted(page.unreadable, "session", "sessions")} on this page cannot be read; the log says why.`;
  return byId("sessions").tBodies[0].rows.length;
}

async function guarded(work) {
  byId("sessions-problem").textContent = "";
  try {
    await work();
  } catch (refusal) {
    if (refusal.status === 401) signIn("This is not the token any more.");
    else byId("sessions-problem").textContent = refusal.message;
  }
}

// By handle if there is such a session, else by user; everything if nothing is wanted.
async function find() {
  const number = ++search;
  wanted = byId("wanted").value.trim();
  byId("sessions").tBodies[0].replaceChildren();
  byId("more").hidden = byId("nothing").hidden = byId("end-all").hidden = byId("sessions").hidden = true;
  byId("count").textContent = "";
  await guarded(async () => {
    if (HANDLE.test(wanted)) {
      try {
        const session = await json("/v1/sessions/" + wanted);
        if (number === search) list([session]);
        return;
      } catch (refusal) {
        if (refusal.status !== 404) throw refusal;
      }
    }
    const query = wanted ? { subject: wanted } : {};
    const found = await load(query, number);
    if (number !== search) return;
    const nothing = found === 0 && byId("more").hidden;
    byId("nothing").hidden = !nothing;
    byId("nothing").textContent = wanted ? `No session of ${wanted} lives.` : "No session lives.";
    if (wanted && !nothing) {
      byId("end-all").hidden = false;
      byId("end-all").textContent = `End all sessions of ${wanted}`;
    }
    const { count } = await json("/v1/sessions/count?" + new URLSearchParams(query));
    if (number === search) byId("count").textContent = wanted ? counted(count, "of this user", "of this user") : counted(count, "lives", "live");
  });
}

byId("search").addEventListener("submit", (event) => {
  event.preventDefault();
  notice("");
  find();
});

// ---- one session

async function openSession(handle) {
  await guarded(async () => {
    const session = await json("/v1/sessions/" + handle);
    const now = session.created + session.age;
    const facts = [
      ["Handle", session.handle, "handle"], ["User", session.subject ?? "nobody"], ["Version", String(session.version)],
      ["Made", `${moment(session.created)}, ${span(session.age)} ago`], ["Used", `${span(session.idle)} ago`],
      ["Ends", `in ${span(Math.max(0, session.expires - now))} unless it is used, on ${moment(session.deadline)} in any case`],
      ["Cookie", session.persistent ? "outlives the browser" : "ends with the browser"],
      ["Size", size(session.bytes)], ["Vault", counted(session.cookies, "cookie of the application", "cookies of the application")],
    ];
    byId("facts").replaceChildren(...facts.flatMap(([name, text, kind]) => [make("dt", {}, name), make("dd", { className: kind ?? "" }, text)]));
    byId("data").hidden = true;
    byId("data").textContent = byId("session-problem").textContent = "";
    byId("show-data").hidden = false;
    byId("show-data").onclick = () => showData(handle);
    byId("end-one").onclick = () => confirmOne(session);
    byId("session").showModal();
  });
}

async function showData(handle) {
  try {
    const text = await ask(`/v1/sessions/${handle}?data=true`);
    // The data is the last member, as it was stored; JSON.parse would round its numbers.
    const data = text.slice(text.indexOf(',"data":') + 8, -1);
    byId("data").textContent = indented(data);
    byId("data").hidden = false;
    byId("show-data").hidden = true;
    byId("data").focus();
  } catch (refusal) {
    byId("session-problem").textContent = refusal.message;
  }
}

byId("close").addEventListener("click", () => byId("session").close());

// ---- ending

function confirm(question, consequence, yes, act) {
  byId("question").textContent = question;
  byId("consequence").textContent = consequence;
  byId("yes").textContent = yes;
  byId("yes").onclick = async () => {
    byId("yes").disabled = true;
    let said = "";
    await guarded(async () => { said = await act(); });
    byId("yes").disabled = false;
    byId("confirm").close();
    byId("session").close();
    if (!said) return;
    await find();
    byId("notice").dataset.of = "deed";
    notice(said);
    byId("wanted").focus();
  };
  byId("confirm").showModal();
  byId("no").focus();
}

byId("no").addEventListener("click", () => byId("confirm").close());

function confirmOne(session) {
  const who = session.subject === null ? "Whoever has it" : session.subject;
  confirm("End this session?", `${session.handle}: ${who} has to sign in anew, and what the session holds is lost.`, "End it", async () => {
    await ask("/v1/sessions/" + session.handle, "DELETE");
    return "The session has ended.";
  });
}

byId("end-all").addEventListener("click", () => guarded(async () => {
  const subject = wanted, query = new URLSearchParams({ subject });
  const { count } = await json("/v1/sessions/count?" + query);
  confirm(`End all sessions of ${subject}?`, `${counted(count, "session ends", "sessions end")} on every device, and what they hold is lost.`, "End all", async () => {
    const { revoked } = await json("/v1/sessions?" + query, "DELETE");
    return `${counted(revoked, "session", "sessions")} of ${subject} ${revoked === 1 ? "has" : "have"} ended.`;
  });
}));

// ---- the beginning

setInterval(() => {
  if (!document.hidden && !byId("desk").hidden) look();
}, EVERY);
open();
