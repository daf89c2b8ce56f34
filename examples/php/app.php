<?php
// A shop without a line of session code, behind Cloakroom. Plain PHP, no extension, no session_start(); copy what you need.
//
// What a visitor's session holds comes with every request, in the header `X-Session`: a signed token (a JWT). What should
// be remembered goes back with the answer, in two headers that only Cloakroom sees:
//
//     X-Session-Update: {"cart": {"hat": 2}}          a JSON merge patch (RFC 7396): sets keys, `null` removes them
//     X-Session-Control: rotate, subject="alice"      what happens to the session itself: rotate, destroy, clear, ...
//
// No cookie gets here, and none is set here. The visitor's browser has it, and Cloakroom looks after it.

declare(strict_types=1);

$audience = getenv('AUDIENCE') ?: 'app'; // our name in Cloakroom's configuration: [upstreams.app]
$key = preg_replace('/\n\z/', '', file_get_contents(getenv('CLOAKROOM_TOKEN_KEY_FILE'))); // less one newline at the end

// ---- The protocol: verify what comes, write what goes back.

/**
 * The claims of a token that Cloakroom signed, for us, less than a minute ago. Anything else throws.
 *
 * This is what keeps a visitor who gets past the proxy from being whoever he likes: never skip it.
 */
function verify(string $token, string $key, string $audience): object
{
    $parts = explode('.', $token);
    if (count($parts) !== 3) {
        throw new UnexpectedValueException('no token');
    }
    [$header, $claims, $signature] = $parts;
    if ((decode($header)->alg ?? null) !== 'HS256') { // we choose the algorithm, not the token
        throw new UnexpectedValueException('another algorithm');
    }
    if (!hash_equals(hash_hmac('sha256', "$header.$claims", $key, true), base64url($signature))) {
        throw new UnexpectedValueException('not signed with our key');
    }
    $said = decode($claims);
    if (($said->aud ?? null) !== $audience) {
        throw new UnexpectedValueException('meant for another application');
    }
    if (($said->exp ?? 0) <= time()) {
        throw new UnexpectedValueException('too old');
    }
    return $said;
}

/** Objects stay objects: as arrays, {} and [] would be the same. */
function decode(string $part): object
{
    $said = json_decode(base64url($part), flags: JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
    return is_object($said) ? $said : throw new UnexpectedValueException('no object');
}

function base64url(string $part): string
{
    return base64_decode(strtr($part, '-_', '+/'), true) ?: '';
}

/** A change as a header wants it: JSON in ASCII, which is what json_encode() writes. */
function update(array $patch): string
{
    return 'X-Session-Update: ' . json_encode($patch, JSON_THROW_ON_ERROR);
}

/** A name as a structured field (RFC 9651): a string if it is ASCII, otherwise a display string. */
function subject(string $name): string
{
    if (preg_match('/^[\x20-\x7e]*$/D', $name)) {
        return '"' . addcslashes($name, '\\"') . '"';
    }
    return '%"' . preg_replace_callback('/[^\x20-\x7e]|[%"]/', fn ($m) => sprintf('%%%02x', ord($m[0])), $name) . '"';
}

// ---- The shop. Each page gets the token's claims, and returns a status, headers and a page.

const GOODS = ['hat' => 'Felt hat', 'scarf' => 'Wool scarf', 'umbrella' => 'Umbrella'];

/** Counts the visit. */
function front(object $claims): array
{
    $visits = ($claims->data->visits ?? 0) + 1;
    return [200, [update(['visits' => $visits])], page($claims, $visits)];
}

/** `rotate` gives the visitor a new cookie for the same session: whoever knew the old one stays outside. */
function sign_in(): array
{
    $name = trim(posted('name'));
    if (strlen($name) > 256 || !preg_match('/^[^\p{C}\p{Zl}\p{Zp}]+$/Du', $name)) {
        return [422, [], '<p>Please write a name, of 256 bytes at most.'];
    }
    return see_other('/', update(['user' => ['name' => $name]]), 'X-Session-Control: rotate, subject=' . subject($name));
}

/** Ends the session, whatever is in it, and deletes the cookie. /goodbye stores nothing, so no new one is made. */
function sign_out(): array
{
    return see_other('/goodbye', 'X-Session-Control: destroy');
}

/** Sends only what changes. Two tabs that add different things at the same moment both win. */
function add(object $claims): array
{
    $item = posted('item');
    if (!isset(GOODS[$item])) {
        return [422, [], '<p>We do not sell this.'];
    }
    return see_other('/', update(['cart' => [$item => ($claims->data->cart->$item ?? 0) + 1]]));
}

/** `null` removes a key. */
function clear_cart(): array
{
    return see_other('/', update(['cart' => null]));
}

/** Reads nothing, writes nothing: a page like any other. */
function goodbye(): array
{
    return [200, [], '<h1 id="goodbye">Goodbye!</h1><p>Nothing is kept of you. <a href="/">Come in again</a>'];
}

/** Who asks, and how long the session can last. `sid` is the session's public name: good for logs, opens nothing. */
function expiry(object $claims): array
{
    $left = isset($claims->sid) ? $claims->expires - time() : null;
    $facts = ['session' => $claims->sid ?? null, 'version' => $claims->ver ?? null, 'subject' => $claims->sub ?? null];
    return [200, ['Content-Type: application/json'], json_encode([...$facts, 'seconds_left' => $left], JSON_PRETTY_PRINT) . "\n"];
}

/** The change is saved before the browser sees this answer, so the page it goes to already has it. */
function see_other(string $location, string ...$headers): array
{
    return [303, ["Location: $location", ...$headers], ''];
}

function posted(string $field): string
{
    return is_string($_POST[$field] ?? null) ? $_POST[$field] : '';
}

function quote(mixed $text): string
{
    return htmlspecialchars((string) $text, ENT_QUOTES | ENT_SUBSTITUTE | ENT_HTML5);
}

function page(object $claims, int $visits): string
{
    $times = $visits === 1 ? 'time' : 'times';
    $cart = $goods = '';
    foreach ($claims->data->cart ?? [] as $item => $n) {
        $cart .= '<li id="cart-' . quote($item) . '">' . quote($n) . ' × ' . quote(GOODS[$item] ?? $item);
    }
    foreach (GOODS as $item => $label) {
        $goods .= "<button id=\"add-$item\" name=\"item\" value=\"$item\">$label</button> ";
    }
    $cart = $cart ?: '<li>nothing yet';
    $name = $claims->data->user->name ?? null;
    $who = $name !== null
        ? 'Hello, <b id="who">' . quote($name) . '</b> <button id="sign-out" formaction="/sign-out">Sign out</button>'
        : '<label for="name">Your name</label> <input id="name" name="name"> <button id="sign-in">Sign in</button>';
    $told = quote(json_encode($claims, JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES));
    return <<<HTML
        <h1>The Umbrella Stand</h1>
        <p>You have been here <b id="visits">$visits</b> $times.</p>
        <form method="post" action="/sign-in">$who</form>
        <h2>Take something</h2><form method="post" action="/cart/add">$goods</form>
        <h2>Your cart</h2><ul id="cart">$cart</ul>
        <form method="post" action="/cart/empty"><button id="empty-cart">Empty it</button></form>
        <h2>What Cloakroom told us</h2><pre id="claims">$told</pre>
        HTML;
}

// ---- The answer. With PHP's own server, with PHP-FPM or with Apache's module: this file answers every path.

const ROUTES = [
    'GET /' => 'front',
    'GET /goodbye' => 'goodbye',
    'GET /expiry' => 'expiry',
    'POST /sign-in' => 'sign_in',
    'POST /sign-out' => 'sign_out',
    'POST /cart/add' => 'add',
    'POST /cart/empty' => 'clear_cart',
];
const FRAME = <<<'HTML'
    <!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
    <title>The Umbrella Stand</title>
    <style>
    :root { color-scheme: light dark }
    body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
    h1, h2 { font-family: Georgia, serif }
    button, input { font: inherit; padding: .3rem .7rem }
    pre { overflow: auto; padding: 1rem; background: #8882 }
    </style>
    HTML;

function answer(string $key, string $audience): array
{
    try {
        $claims = verify($_SERVER['HTTP_X_SESSION'] ?? '', $key, $audience);
    } catch (UnexpectedValueException | JsonException) {
        return [401, ['Content-Type: text/plain'], "This application serves only requests that came through Cloakroom.\n"];
    }
    $route = ROUTES[$_SERVER['REQUEST_METHOD'] . ' ' . strtok($_SERVER['REQUEST_URI'], '?')] ?? null;
    return $route ? $route($claims) : [404, ['Content-Type: text/plain'], "There is nothing here.\n"];
}

[$status, $headers, $text] = answer($key, $audience);
http_response_code($status);
header_remove('X-Powered-By');
array_map(fn ($header) => header($header, replace: true, response_code: $status), $headers);
if (!preg_grep('/^Content-Type:/', $headers)) {
    header('Content-Type: text/html; charset=utf-8');
    $text = FRAME . $text;
}
echo $text;
