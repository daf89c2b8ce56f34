// A shop without a line of session code, behind Cloakroom. Node's standard library only; copy what you need.
//
// What a visitor's session holds comes with every request, in the header `X-Session`: a signed token (a JWT). What should
// be remembered goes back with the answer, in two headers that only Cloakroom sees:
//
//     X-Session-Update: {"cart": {"hat": 2}}          a JSON merge patch (RFC 7396): sets keys, `null` removes them
//     X-Session-Control: rotate, subject="alice"      what happens to the session itself: rotate, destroy, clear, ...
//
// No cookie gets here, and none is set here. The visitor's browser has it, and Cloakroom looks after it.

import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const { HOST = "127.0.0.1", PORT = "3000" } = process.env;
const AUDIENCE = process.env.AUDIENCE ?? "app"; // our name in Cloakroom's configuration: [upstreams.app]
const file = readFileSync(process.env.CLOAKROOM_TOKEN_KEY_FILE);
const KEY = file.at(-1) === 10 ? file.subarray(0, -1) : file; // the file's bytes, less one newline at the end

// ---- The protocol: verify what comes, write what goes back.

/**
 * The claims of a token that Cloakroom signed, for us, less than a minute ago. Anything else throws.
 *
 * This is what keeps a visitor who gets past the proxy from being whoever he likes: never skip it.
 */
function verify(token) {
  const [header, claims, signature, ...rest] = token.split(".");
  if (signature === undefined || rest.length > 0) throw new Error("no token");
  if (decode(header).alg !== "HS256") throw new Error("another algorithm"); // we choose the algorithm, not the token
  const wanted = createHmac("sha256", KEY).update(`${header}.${claims}`).digest();
  const given = Buffer.from(signature, "base64url");
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted)) throw new Error("not signed with our key");
  const said = decode(claims);
  if (said.aud !== AUDIENCE) throw new Error("meant for another application");
  if (!(said.exp > Date.now() / 1000)) throw new Error("too old");
  return said;
}

function decode(part) {
  return JSON.parse(Buffer.from(part, "base64url").toString());
}

/** A change as a header wants it: JSON in ASCII. */
function update(patch) {
  return JSON.stringify(patch).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A name as a structured field (RFC 9651): a string if it is ASCII, otherwise a display string. */
function subject(name) {
  if (/^[\x20-\x7e]*$/.test(name)) return `"${name.replace(/[\\"]/g, "\\$&")}"`;
  const plain = (byte) => byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x25;
  const escaped = (byte) => (plain(byte) ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`);
  return `%"${[...Buffer.from(name)].map(escaped).join("")}"`;
}

// ---- The shop. Each page gets the token's claims and the form, and returns a status, headers and a page.

const GOODS = new Map([["hat", "Felt hat"], ["scarf", "Wool scarf"], ["umbrella", "Umbrella"]]);

/** Counts the visit. */
function front(claims) {
  const visits = (claims.data.visits ?? 0) + 1;
  return [200, { "X-Session-Update": update({ visits }) }, page(claims, visits)];
}

/** `rotate` gives the visitor a new cookie for the same session: whoever knew the old one stays outside. */
function signIn(claims, form) {
  const name = (form.get("name") ?? "").trim();
  if (!name || /[\p{C}\p{Zl}\p{Zp}]/u.test(name) || Buffer.byteLength(name) > 256) {
    return [422, {}, "<p>Please write a name, of 256 bytes at most."];
  }
  const headers = { "X-Session-Update": update({ user: { name } }), "X-Session-Control": `rotate, subject=${subject(name)}` };
  return seeOther("/", headers);
}

/** Ends the session, whatever is in it, and deletes the cookie. /goodbye stores nothing, so no new one is made. */
function signOut() {
  return seeOther("/goodbye", { "X-Session-Control": "destroy" });
}

/** Sends only what changes. Two tabs that add different things at the same moment both win. */
function add(claims, form) {
  const item = form.get("item");
  if (!GOODS.has(item)) return [422, {}, "<p>We do not sell this."];
  return seeOther("/", { "X-Session-Update": update({ cart: { [item]: (claims.data.cart?.[item] ?? 0) + 1 } }) });
}

/** `null` removes a key. */
function empty() {
  return seeOther("/", { "X-Session-Update": update({ cart: null }) });
}

/** Reads nothing, writes nothing: a page like any other. */
function goodbye() {
  return [200, {}, '<h1 id="goodbye">Goodbye!</h1><p>Nothing is kept of you. <a href="/">Come in again</a>'];
}

/** Who asks, and how long the session can last. `sid` is the session's public name: good for logs, opens nothing. */
function expiry(claims) {
  const left = claims.sid ? claims.expires - Math.floor(Date.now() / 1000) : null;
  const facts = { session: claims.sid ?? null, version: claims.ver ?? null, subject: claims.sub ?? null, seconds_left: left };
  return [200, { "Content-Type": "application/json" }, `${JSON.stringify(facts, null, 2)}\n`];
}

/** The change is saved before the browser sees this answer, so the page it goes to already has it. */
function seeOther(location, headers) {
  return [303, { Location: location, ...headers }, ""];
}

function quote(text) {
  return String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

function page(claims, visits) {
  const { cart = {}, user } = claims.data;
  const list = Object.entries(cart).map(([item, n]) => `<li id="cart-${quote(item)}">${quote(n)} × ${quote(GOODS.get(item))}`);
  const goods = [...GOODS].map(([item, label]) => `<button id="add-${item}" name="item" value="${item}">${label}</button> `);
  const who = user?.name
    ? `Hello, <b id="who">${quote(user.name)}</b> <button id="sign-out" formaction="/sign-out">Sign out</button>`
    : '<label for="name">Your name</label> <input id="name" name="name"> <button id="sign-in">Sign in</button>';
  return `<h1>The Umbrella Stand</h1>
<p>You have been here <b id="visits">${visits}</b> ${visits === 1 ? "time" : "times"}.</p>
<form method="post" action="/sign-in">${who}</form>
<h2>Take something</h2><form method="post" action="/cart/add">${goods.join("")}</form>
<h2>Your cart</h2><ul id="cart">${list.join("") || "<li>nothing yet"}</ul>
<form method="post" action="/cart/empty"><button id="empty-cart">Empty it</button></form>
<h2>What Cloakroom told us</h2><pre id="claims">${quote(JSON.stringify(claims, null, 2))}</pre>`;
}

// ---- The web server. Express, Fastify and the others read and write headers just as well.

const ROUTES = new Map([
  ["GET /", front],
  ["GET /goodbye", goodbye],
  ["GET /expiry", expiry],
  ["POST /sign-in", signIn],
  ["POST /sign-out", signOut],
  ["POST /cart/add", add],
  ["POST /cart/empty", empty],
]);
const FRAME = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The Umbrella Stand</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
h1, h2 { font-family: Georgia, serif }
button, input { font: inherit; padding: .3rem .7rem }
pre { overflow: auto; padding: 1rem; background: #8882 }
</style>`;

async function answer(request, response) {
  let claims;
  try {
    claims = verify(request.headers["x-session"] ?? "");
  } catch {
    return say(response, 401, "This application serves only requests that came through Cloakroom.\n");
  }
  const route = ROUTES.get(`${request.method} ${request.url.split("?")[0]}`);
  if (!route) return say(response, 404, "There is nothing here.\n");
  const body = [];
  for await (const piece of request) body.push(piece);
  const [status, headers, text] = route(claims, new URLSearchParams(Buffer.concat(body).toString()));
  const isPage = !("Content-Type" in headers);
  response.writeHead(status, isPage ? { "Content-Type": "text/html; charset=utf-8", ...headers } : headers);
  response.end(isPage ? FRAME + text : text);
}

function say(response, status, text) {
  response.writeHead(status, { "Content-Type": "text/plain" });
  response.end(text);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    response.destroy();
  });
});
server.keepAliveTimeout = 65_000; // longer than Cloakroom keeps an idle connection: who closes first must be the proxy
server.listen(Number(PORT), HOST);
process.on("SIGTERM", () => server.close(() => process.exit(0)));
process.on("SIGTERM", () => server.closeIdleConnections());
