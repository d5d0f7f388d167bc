package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	tokenAudience = "e2e registry"
	tokenIssuer   = "e2e token service"
	tokenKeyID    = "e2e"
	tokenLifetime = 5 * time.Minute
	// coordinateBytes is the length of one number of a P-256 key or signature.
	coordinateBytes = 32
)

// TokenService gives tokens to one user for whatever that user asks, and to nobody else.
// It records its requests as a Registry does.
type TokenService struct {
	*Registry
	key *ecdsa.PrivateKey
}

// NewTokenService runs a token service with a key of its own.
func NewTokenService(tb testing.TB, credential Credential) *TokenService {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatalf("generate a signing key: %v", err)
	}
	s := &TokenService{key: key}
	s.Registry = Serve(tb, http.HandlerFunc(s.serveToken))
	s.credential = credential
	return s
}

func (s *TokenService) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/token" {
		http.NotFound(w, r)
		return
	}
	username, password, _ := r.BasicAuth()
	if (Credential{Username: username, Password: password}) != s.credential {
		http.Error(w, `{"details":"incorrect username or password"}`, http.StatusUnauthorized)
		return
	}
	token, err := s.sign(username, r.URL.Query()["scope"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"token": %q, "expires_in": %d}`, token, int(tokenLifetime.Seconds()))
}

// sign makes a JSON Web Token (RFC 7519, ES256) that grants the scopes to subject.
func (s *TokenService) sign(subject string, scopes []string) (string, error) {
	now := time.Now()
	header, err := segment(map[string]any{"alg": "ES256", "typ": "JWT", "kid": tokenKeyID})
	if err != nil {
		return "", err
	}
	claims, err := segment(map[string]any{
		"iss": tokenIssuer, "aud": tokenAudience, "sub": subject,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(tokenLifetime).Unix(),
		"access": grants(scopes),
	})
	if err != nil {
		return "", err
	}
	signed := header + "." + claims
	sum := sha256.Sum256([]byte(signed))
	x, y, err := ecdsa.Sign(rand.Reader, s.key, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	var signature [2 * coordinateBytes]byte
	x.FillBytes(signature[:coordinateBytes])
	y.FillBytes(signature[coordinateBytes:])
	return signed + "." + encode(signature[:]), nil
}

// keyFile writes the public key as a JSON Web Key Set and returns the file's name.
func (s *TokenService) keyFile(tb testing.TB) string {
	tb.Helper()
	point, err := s.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		tb.Fatalf("encode the public key: %v", err)
	}
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": tokenKeyID,
		"x": encode(point[1 : 1+coordinateBytes]), "y": encode(point[1+coordinateBytes:]),
	}}})
	if err != nil {
		tb.Fatalf("encode the key set: %v", err)
	}
	file := filepath.Join(tb.TempDir(), "jwks.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

// grants turns scopes such as "repository:team/app:pull,push" into a token's access list.
func grants(scopes []string) []map[string]any {
	access := []map[string]any{}
	for _, scope := range scopes {
		for one := range strings.FieldsSeq(scope) {
			kind, rest, _ := strings.Cut(one, ":")
			name, actions, ok := strings.Cut(rest, ":")
			if ok {
				access = append(access, map[string]any{"type": kind, "name": name, "actions": strings.Split(actions, ",")})
			}
		}
	}
	return access
}

func segment(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode a token: %w", err)
	}
	return encode(b), nil
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
