package identity

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func FuzzKeysFile(f *testing.F) {
	f.Add([]byte(keysHead))
	f.Add([]byte(`{"id":"abc","name":"n","sha256":"` + strings.Repeat("ab", 32) + `","roles":["ingest"],"tenant":"t","tenants":["*"],"created":"2026-01-02T03:04:05Z","expires":"2027-01-02T03:04:05Z","revoked_at":"2026-02-02T03:04:05Z"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ParseKeys(data)
		if err != nil {
			return
		}
		// What is read is written and read as the same.
		text, err := FormatKeys(keys)
		if err != nil {
			t.Fatalf("%q reads and does not write: %v", data, err)
		}
		again, err := ParseKeys(text)
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%q: %v", text, err)
		}
		for i := range keys {
			if _, err := entry(keys[i]); err != nil {
				t.Fatal(err)
			}
		}
		if text2, err := FormatKeys(again); err != nil || !bytes.Equal(text, text2) {
			t.Fatalf("%q\n%q\n%v", text, text2, err)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add("Bearer pst_abc_def", "")
	f.Add("Basic dXNlcjpwc3RfYWJjX2RlZg==", "pst_abc_def")
	f.Add("bearer a.b.c", "pst_")
	f.Fuzz(func(t *testing.T, authorization, key string) {
		b, fail := header(Credentials{Authorization: authorization, Key: key})
		switch {
		case fail != nil:
			if fail.Kind != FailMalformed || b != (brought{}) {
				t.Fatalf("%+v %+v", b, fail)
			}
			return
		case b.key != "" && b.token != "", b.key != "" && !isKey(b.key), b.token != "" && isKey(b.token):
			t.Fatalf("got %+v", b)
		case b == (brought{}) && (authorization != "" || key != ""):
			t.Fatalf("%q %q were taken for nobody", authorization, key)
		}
		if id, secret, ok := splitKey(b.key); ok && b.key != keyPrefix+id+"_"+secret {
			t.Fatalf("%q is %q and %q", b.key, id, secret)
		}
	})
}

// FuzzToken reads tokens and holds them against an issuer that has no key: none
// may be believed.
func FuzzToken(f *testing.F) {
	f.Add(compact(`{"alg":"ES256","kid":"1","typ":"JWT"}`, `{"iss":"https://login.example.com","aud":["penstock"],"exp":4102444800,"sub":"a","realm":{"roles":"sre"}}`, []byte("x")))
	f.Add(compact(`{"alg":"none"}`, `{"iss":"https://login.example.com"}`, nil))
	f.Add("a.b.c")
	var c Issuer
	c.SetDefaults()
	c.Issuer, c.Audiences, c.RolesClaim, c.TenantsClaim = "https://login.example.com", []string{"penstock"}, "realm.roles", "a.b"
	i, err := newIssuer(c, time.Now, logger(nil), nil)
	if err != nil {
		f.Fatal(err)
	}
	i.keys.tried = time.Now().Add(time.Hour) // it is not asked
	f.Fuzz(func(t *testing.T, raw string) {
		tok, fail := parseToken(raw)
		if fail != nil {
			return
		}
		if v, fail := i.judge(t.Context(), raw, tok, time.Now()); v != nil || fail == nil {
			t.Fatalf("believed %q", raw)
		}
		if id, fail := i.identity(tok); fail == nil && (len(id.Subject) > maxSubject || printable(id.Subject) != id.Subject || id.Tenant != "" && CheckTenant(id.Tenant) != nil) {
			t.Fatalf("got %+v", id)
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?", "axxbc")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern)+len(text) > 200 {
			return
		}
		if got, want := glob(pattern, text), slow(pattern, text, map[[2]int]bool{}, 0, 0); got != want {
			t.Fatalf("glob(%q, %q) is %t", pattern, text, got)
		}
	})
}

// slow is glob as one would explain it.
func slow(p, s string, no map[[2]int]bool, i, j int) bool {
	if no[[2]int{i, j}] {
		return false
	}
	var ok bool
	switch {
	case i == len(p):
		ok = j == len(s)
	case p[i] == '*':
		ok = slow(p, s, no, i+1, j) || j < len(s) && slow(p, s, no, i, j+1)
	default:
		ok = j < len(s) && (p[i] == '?' || p[i] == s[j]) && slow(p, s, no, i+1, j+1)
	}
	no[[2]int{i, j}] = !ok
	return ok
}
