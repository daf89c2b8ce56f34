<?php
// Verifies Cloakroom's tokens with lcobucci/jwt.
//
//     php verify.php HS256 k1=keys/k1 k2=keys/k2                               the keys that Cloakroom has, by their id
//     php verify.php ES256 http://127.0.0.1:9900/.well-known/jwks.json         or EdDSA: the public keys, asked for
//
// Reads the values of X-Session from standard input, one a line, and says `ok {claims}` or `refused: reason`.

declare(strict_types=1);

use Lcobucci\JWT\{JwtFacade, Signer, Token, UnencryptedToken};
use Lcobucci\JWT\Signer\Key\InMemory;
use Lcobucci\JWT\Validation\Constraint\{IssuedBy, LooseValidAt, PermittedFor, SignedWith};
use Psr\Clock\ClockInterface;

require getenv('JWT_AUTOLOAD') ?: __DIR__ . '/vendor/autoload.php';

final class Verifier
{
    private Signer $signer;

    public function __construct(private string $algorithm, private array $sources)
    {
        $this->signer = match ($algorithm) {
            'HS256' => new Signer\Hmac\Sha256(),
            'ES256' => new Signer\Ecdsa\Sha256(),
            'EdDSA' => new Signer\Eddsa(),
        };
    }

    /** What a token says, if it is Cloakroom's, for us, and still good. Otherwise throws. */
    public function claims(string $token): object
    {
        $clock = new class implements ClockInterface {
            public function now(): DateTimeImmutable
            {
                return new DateTimeImmutable();
            }
        };
        $verified = (new JwtFacade())->parse(
            $token,
            new SignedWith($this->signer, $this->key(self::kid($token))), // we choose the algorithm, not the token
            new LooseValidAt($clock, new DateInterval('PT5S')),
            new IssuedBy(getenv('ISSUER') ?: 'cloakroom'),   // token.issuer
            new PermittedFor(getenv('AUDIENCE') ?: 'app'),   // our name in Cloakroom's configuration: [upstreams.app]
        );
        if ($verified->headers()->get('typ') !== 'session+jwt') { // another kind of token, from the same keys
            throw new UnexpectedValueException('typ');
        }
        if (!$verified->claims()->has('exp')) {
            throw new UnexpectedValueException('exp');
        }
        // The library's own claims() turns {} into [], and dates into objects. This is the text that was signed.
        return json_decode(self::decode($verified->claims()->toString()), flags: JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
    }

    /** Names one of our own keys, and is good for nothing else. */
    private static function kid(string $token): string
    {
        $header = json_decode(self::decode(strstr($token, '.', true) ?: ''), true);
        return is_string($header['kid'] ?? null) ? $header['kid'] : throw new UnexpectedValueException('kid');
    }

    private function key(string $kid): InMemory
    {
        $keys = $this->algorithm === 'HS256' ? $this->fromFiles() : $this->published($kid);
        return InMemory::plainText($keys["kid:$kid"] ?? throw new UnexpectedValueException('kid'));
    }

    /** A key is the file's bytes, less one newline at the end. */
    private function fromFiles(): array
    {
        $keys = [];
        foreach ($this->sources as $source) {
            [$kid, $path] = explode('=', $source, 2);
            $keys["kid:$kid"] = preg_replace('/\n\z/', '', file_get_contents($path));
        }
        return $keys;
    }

    /**
     * The keys of the JWK set, shared by all workers for as long as its Cache-Control says. An unknown `kid` is looked
     * for once more, but not more often than every 5 s: otherwise whoever invents one makes us ask with every request.
     */
    private function published(string $kid): array
    {
        $url = $this->sources[0];
        $keys = apcu_fetch($url);
        if ($keys && (isset($keys["kid:$kid"]) || apcu_exists("$url asked"))) {
            return $keys;
        }
        $body = file_get_contents($url, context: stream_context_create(['http' => ['timeout' => 2, 'follow_location' => 0]]));
        $set = json_decode($body ?: throw new UnexpectedValueException('jwks'), true, flags: JSON_THROW_ON_ERROR);
        preg_match('/^cache-control:.*\bmax-age=(\d+)/im', implode("\n", $http_response_header), $max_age);
        $keys = [];
        foreach ($set['keys'] as $jwk) {
            if (($jwk['alg'] ?? $this->algorithm) === $this->algorithm) {
                $keys["kid:{$jwk['kid']}"] = $this->algorithm === 'EdDSA' ? self::decode($jwk['x']) : self::pem($jwk);
            }
        }
        apcu_store("$url asked", true, 5);
        apcu_store($url, $keys, max(1, (int) ($max_age[1] ?? 1))); // 0 would be for ever
        return $keys;
    }

    /** A point on P-256 as OpenSSL wants it: a SubjectPublicKeyInfo, whose first 27 bytes are always these. */
    private static function pem(array $jwk): string
    {
        $start = hex2bin('3059301306072a8648ce3d020106082a8648ce3d03010703420004');
        $der = base64_encode($start . self::decode($jwk['x']) . self::decode($jwk['y']));
        return "-----BEGIN PUBLIC KEY-----\n$der\n-----END PUBLIC KEY-----\n";
    }

    private static function decode(string $part): string
    {
        return sodium_base642bin($part, SODIUM_BASE64_VARIANT_URLSAFE_NO_PADDING);
    }
}

if (PHP_SAPI === 'cli' && realpath($argv[0]) === __FILE__) {
    $verifier = new Verifier($argv[1], array_slice($argv, 2));
    while (($line = fgets(STDIN)) !== false) {
        try {
            echo 'ok ' . json_encode($verifier->claims(rtrim($line, "\n")), JSON_THROW_ON_ERROR) . "\n";
        } catch (Throwable $error) {
            echo 'refused: ' . $error::class . "\n";
        }
    }
}
