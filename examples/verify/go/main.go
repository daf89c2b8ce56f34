// Verifies Cloakroom's tokens with golang-jwt.
//
//	verify HS256 k1=keys/k1 k2=keys/k2                                 the keys that Cloakroom has, by their id
//	verify ES256 http://127.0.0.1:9900/.well-known/jwks.json           or EdDSA: the public keys, asked for
//
// Reads the values of X-Session from standard input, one a line, and says `ok {claims}` or `refused: reason`.
package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"math/big"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var errKid = errors.New("unknown kid")

// Verifier gives the claims of tokens that are Cloakroom's, for us, and still good.
type Verifier struct {
	parser *jwt.Parser
	key    func(kid string) (any, error)
}

func NewVerifier(algorithm string, sources []string) (*Verifier, error) {
	parser := jwt.NewParser(
		jwt.WithValidMethods([]string{algorithm}),      // we choose it, not the token
		jwt.WithIssuer(setting("ISSUER", "cloakroom")), // token.issuer
		jwt.WithAudience(setting("AUDIENCE", "app")),   // our name in Cloakroom's configuration: [upstreams.app]
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(5*time.Second),
		jwt.WithStrictDecoding(),
		jwt.WithJSONNumber(), // every digit of the numbers in a session
	)
	if algorithm != "HS256" {
		return &Verifier{parser, (&published{url: sources[0]}).find}, nil
	}
	keys, err := fromFiles(sources)
	return &Verifier{parser, keys}, err
}

func (v *Verifier) Claims(token string) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	_, err := v.parser.ParseWithClaims(token, claims, func(token *jwt.Token) (any, error) {
		if token.Header["typ"] != "session+jwt" { // another kind of token, from the same keys
			return nil, errors.New("another typ")
		}
		kid, _ := token.Header["kid"].(string) // picks one of our own keys, and is good for nothing else
		return v.key(kid)
	})
	return claims, err
}

// A key is the file's bytes, less one newline at the end.
func fromFiles(sources []string) (func(string) (any, error), error) {
	keys := map[string][]byte{}
	for _, source := range sources {
		kid, path, _ := strings.Cut(source, "=")
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		keys[kid] = bytes.TrimSuffix(text, []byte("\n"))
	}
	return func(kid string) (any, error) {
		if key, ok := keys[kid]; ok {
			return key, nil
		}
		return nil, errKid
	}, nil
}

// The keys of a JWK set, kept for as long as its Cache-Control says. An unknown kid is looked for once more, but not
// more often than every 5 s: otherwise whoever invents one makes us ask with every request.
type published struct {
	url          string
	mutex        sync.Mutex
	keys         map[string]any
	asked, stale time.Time
}

func (p *published) find(kid string) (any, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	now := time.Now()
	if _, ok := p.keys[kid]; now.After(p.stale) || !ok && now.Sub(p.asked) > 5*time.Second {
		if err := p.fetch(now); err != nil {
			return nil, err
		}
	}
	if key, ok := p.keys[kid]; ok {
		return key, nil
	}
	return nil, errKid
}

var maxAge = regexp.MustCompile(`\bmax-age=(\d+)`)

func (p *published) fetch(now time.Time) error {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get(p.url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	var set struct {
		Keys []struct{ Kid, Crv, X, Y string }
	}
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		return err
	}
	p.keys, p.asked, p.stale = map[string]any{}, now, now
	if found := maxAge.FindStringSubmatch(response.Header.Get("Cache-Control")); found != nil {
		seconds, _ := strconv.Atoi(found[1])
		p.stale = now.Add(time.Duration(seconds) * time.Second)
	}
	for _, key := range set.Keys {
		x, y := decode(key.X), decode(key.Y)
		switch {
		case key.Crv == "P-256":
			p.keys[key.Kid] = &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
		case key.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize:
			p.keys[key.Kid] = ed25519.PublicKey(x)
		}
	}
	return nil
}

func decode(text string) []byte {
	decoded, _ := base64.RawURLEncoding.DecodeString(text)
	return decoded
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func main() {
	verifier, err := NewVerifier(os.Args[1], os.Args[2:])
	if err != nil {
		log.Fatal(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		claims, err := verifier.Claims(lines.Text())
		if err != nil {
			fmt.Printf("refused: %q\n", err)
			continue
		}
		text, _ := json.Marshal(claims)
		fmt.Printf("ok %s\n", text)
	}
}
