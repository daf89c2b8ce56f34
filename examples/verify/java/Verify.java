// Verifies Cloakroom's tokens with jose4j.
//
//     java -cp jose4j.jar:slf4j-api.jar Verify.java HS256 k1=keys/k1 k2=keys/k2      the keys that Cloakroom has, by their id
//     java -cp ... Verify.java ES256 http://127.0.0.1:9900/.well-known/jwks.json     or EdDSA: the public keys, asked for
//
// Reads the values of X-Session from standard input, one a line, and says `ok {claims}` or `refused: reason`.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.Key;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.jose4j.http.Get;
import org.jose4j.jwa.AlgorithmConstraints.ConstraintType;
import org.jose4j.jwk.HttpsJwks;
import org.jose4j.jwt.JwtClaims;
import org.jose4j.jwt.consumer.InvalidJwtException;
import org.jose4j.jwt.consumer.JwtConsumer;
import org.jose4j.jwt.consumer.JwtConsumerBuilder;
import org.jose4j.keys.HmacKey;
import org.jose4j.keys.resolvers.HttpsJwksVerificationKeyResolver;
import org.jose4j.keys.resolvers.VerificationKeyResolver;
import org.jose4j.lang.UnresolvableKeyException;

public final class Verify {
    private final JwtConsumer consumer;

    Verify(String algorithm, List<String> sources) throws IOException {
        consumer = new JwtConsumerBuilder()
            .setJwsAlgorithmConstraints(ConstraintType.PERMIT, algorithm) // we choose it, not the token
            .setVerificationKeyResolver(algorithm.equals("HS256") ? fromFiles(sources) : published(sources.get(0)))
            .setExpectedIssuer(setting("ISSUER", "cloakroom")) // token.issuer
            .setExpectedAudience(setting("AUDIENCE", "app"))   // our name in Cloakroom's configuration: [upstreams.app]
            .setExpectedType(true, "session+jwt")              // not another kind of token, from the same keys
            .setRequireExpirationTime()
            .setAllowedClockSkewInSeconds(5)
            .build();
    }

    /** What a token says, if it is Cloakroom's, for us, and still good. */
    JwtClaims claims(String token) throws InvalidJwtException {
        return consumer.processToClaims(token);
    }

    /** A key is the file's bytes, less one newline at the end. */
    private static VerificationKeyResolver fromFiles(List<String> sources) throws IOException {
        Map<String, Key> keys = new HashMap<>();
        for (String source : sources) {
            String[] pair = source.split("=", 2);
            byte[] bytes = Files.readAllBytes(Path.of(pair[1]));
            int length = bytes[bytes.length - 1] == '\n' ? bytes.length - 1 : bytes.length;
            keys.put(pair[0], new HmacKey(Arrays.copyOf(bytes, length)));
        }
        return (jws, nested) -> {
            Key key = keys.get(jws.getKeyIdHeaderValue());
            if (key == null) throw new UnresolvableKeyException("kid");
            return key;
        };
    }

    /**
     * The keys of the JWK set, kept for as long as its Cache-Control says. An unknown `kid` is looked for once more, but
     * not more often than every 5 s: otherwise whoever invents one makes us ask with every request.
     */
    private static VerificationKeyResolver published(String url) {
        Get get = new Get();
        get.setConnectTimeout(2_000);
        get.setReadTimeout(2_000);
        HttpsJwks jwks = new HttpsJwks(url);
        jwks.setSimpleHttpGet(get);
        jwks.setRefreshReprieveThreshold(5_000);
        return new HttpsJwksVerificationKeyResolver(jwks);
    }

    private static String setting(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    public static void main(String[] arguments) throws IOException {
        Verify verify = new Verify(arguments[0], List.of(arguments).subList(1, arguments.length));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                System.out.println("ok " + verify.claims(line).getRawJson());
            } catch (InvalidJwtException error) {
                System.out.println("refused: " + error.getErrorDetails().stream().map(detail -> detail.getErrorCode()).toList());
            }
        }
    }
}
