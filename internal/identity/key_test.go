package identity

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestKeys(t *testing.T) {
	now := time.Now()
	writer, ws := newKey(t, Key{Name: "writer", Tenant: "acme", Tenants: []string{"beta"}})
	root, rs := newKey(t, Key{Name: "root", Roles: []string{"admin"}, Tenants: []string{"*"}})
	old, os := newKey(t, Key{Name: "old", Expires: now.Add(-time.Second)})
	soon, ss := newKey(t, Key{Name: "soon", Expires: now.Add(time.Hour)})
	gone, gs := newKey(t, Key{Name: "gone", RevokedAt: now, Expires: now.Add(-time.Hour)})
	stranger, xs := newKey(t, Key{Name: "stranger"})
	r := started(t, Config{KeysFile: keysFile(t, writer, root, old, soon, gone)})

	for _, c := range []Credentials{bearer(ws), {Key: ws}, {Authorization: "BEARER " + ws, Key: ws}, {Authorization: basic("anybody", ws)}, {Authorization: basic("", ws)}} {
		id := r.ok(c)
		if id.Subject != "key:writer" || id.Method != MethodKey || id.Roles != Ingest || id.Tenant != "acme" || !id.Speaks("beta") || id.Speaks("gamma") {
			t.Errorf("got %+v", id)
		}
	}
	if id := r.ok(bearer(rs)); id.Roles != Admin|Operate|View || !id.Speaks("whoever") {
		t.Errorf("got %+v", id)
	}
	f := func(kind, key string) { t.Helper(); r.fails(kind, bearer(key)); r.fails(kind, Credentials{Key: key}) }
	f(FailExpired, os)
	f(FailRevoked, gs)
	f(FailUnknown, xs)
	f(FailUnknown, keyPrefix+writer.ID+"_"+strings.Split(xs, "_")[2]) // another's secret
	f(FailUnknown, ws[:len(ws)-1])
	f(FailUnknown, keyPrefix+gone.ID+"_aaaa") // what became of it is not told to who does not have it
	f(FailUnknown, keyPrefix+stranger.ID+"_aaaa")
	f(FailMalformed, keyPrefix)
	f(FailMalformed, keyPrefix+"_")
	f(FailMalformed, keyPrefix+writer.ID)
	f(FailMalformed, keyPrefix+writer.ID+"_")
	f(FailMalformed, ws+"_x")
	f(FailMalformed, ws+"é")
	f(FailMalformed, keyPrefix+writer.ID+"_"+strings.Repeat("a", 1<<20)) // as a header it is too long for one
	r.ok(bearer(ss))
	r.clock.forward(time.Hour)
	f(FailExpired, ss)
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestHeadersOfNoForm(t *testing.T) {
	k, secret := newKey(t, Key{Name: "k"})
	_, other := newKey(t, Key{Name: "other"})
	r := started(t, Config{KeysFile: keysFile(t, k), AnonymousRoles: []string{"view"}})
	f := func(c Credentials) { t.Helper(); r.fails(FailMalformed, c) }
	f(Credentials{Authorization: "x"})
	f(Credentials{Authorization: " "})
	f(Credentials{Authorization: "Bearer"})
	f(Credentials{Authorization: "Bearer "})
	f(Credentials{Authorization: "Digest " + secret})
	f(Credentials{Authorization: secret})
	f(Credentials{Authorization: "Bearer" + secret})
	f(Credentials{Authorization: "Basic"})
	f(Credentials{Authorization: "Basic %"})
	f(Credentials{Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(secret))})
	f(Credentials{Authorization: basic(secret, "x")})
	f(Credentials{Authorization: basic("x", "y:"+secret)})
	f(Credentials{Authorization: "Bearer " + strings.Repeat("a", maxHeader)})
	f(Credentials{Key: "x"})
	f(Credentials{Key: "Bearer " + secret})
	f(Credentials{Key: secret, Authorization: "Bearer " + other}) // which of the two?
	f(Credentials{Key: secret, Authorization: "Bearer a.b.c"})
	f(Credentials{Key: secret, Authorization: "x"})
}

func TestAnonymous(t *testing.T) {
	k, secret := newKey(t, Key{Name: "k"})
	all := Ingest | View | Operate | Admin
	f := func(c Config, want Roles) {
		t.Helper()
		r := started(t, c)
		if r.Configured() != c.Authenticates() {
			t.Errorf("%+v: configured is %t", c, r.Configured())
		}
		if want == 0 {
			r.fails(FailMissing, Credentials{})
			return
		}
		// While nothing authenticates, the header that names a tenant separates.
		if id := r.ok(Credentials{}); id.Roles != want || id.Subject != "anonymous" || id.Method != MethodAnonymous || id.Tenant != "" || id.Speaks("acme") == c.Authenticates() {
			t.Errorf("%+v: got %+v", c, id)
		}
	}
	f(Config{}, all)
	f(Config{AnonymousRoles: []string{"ingest"}}, Ingest)
	f(Config{KeysFile: keysFile(t, k)}, 0)
	f(Config{KeysFile: keysFile(t, k), AnonymousRoles: []string{"ingest", "operate"}}, Ingest|Operate|View)
	f(Config{Certificates: []CertificateRule{{Subject: "*", Roles: []string{"view"}}}}, 0)

	// Where no credential can hold, none is looked at.
	if id := started(t, Config{}).ok(bearer(secret)); id.Roles != all {
		t.Errorf("got %+v", id)
	}
	// Where some can, one that does not is refused, whoever else may enter.
	revoked := k
	revoked.RevokedAt = time.Now()
	r := started(t, Config{KeysFile: keysFile(t, revoked), AnonymousRoles: []string{"admin", "ingest"}})
	r.fails(FailRevoked, bearer(secret))
	r.fails(FailMalformed, Credentials{Authorization: "Negotiate x"})
	// A key where there are only tokens, and the reverse.
	p := newProvider(t, ecSigner(t, "k"))
	started(t, Config{Issuers: []Issuer{p.config()}}).fails(FailUnknown, bearer(secret))
	r.fails(FailIssuer, bearer(ecSigner(t, "k").token(t, p.claims(time.Now()))))
}

// later moves the clock past the next look at the file.
func (r *rig) later() { r.clock.forward(lookEvery) }

func TestKeysFileIsReadAgain(t *testing.T) {
	a, as := newKey(t, Key{Name: "a"})
	b, bs := newKey(t, Key{Name: "b"})
	name := keysFile(t, a)
	r := started(t, Config{KeysFile: name})
	r.ok(bearer(as))
	r.fails(FailUnknown, bearer(bs))

	a.RevokedAt = time.Now()
	writeKeys(t, name, a, b)
	r.ok(bearer(as)) // not looked at yet
	r.later()
	r.fails(FailRevoked, bearer(as))
	r.ok(bearer(bs))
	r.is("penstock_auth_keys_file_failures_total", 0)
	r.is("penstock_auth_keys", 1, "state", KeyActive)
	r.is("penstock_auth_keys", 1, "state", KeyRevoked)

	// A bad file changes nothing, and is said and counted once.
	if err := os.WriteFile(name, []byte("{\"id\": \"pst_hunter2\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.later()
		r.fails(FailRevoked, bearer(as))
		r.ok(bearer(bs))
	}
	r.is("penstock_auth_keys_file_failures_total", 1)
	if log := r.log.String(); strings.Count(log, "cannot be used") != 1 || !strings.Contains(log, "line 1") || strings.Contains(log, "hunter2") {
		t.Errorf("the log is %s", log)
	}
	// So does one that is gone, until it is back.
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.later()
		r.ok(bearer(bs))
	}
	r.is("penstock_auth_keys_file_failures_total", 2)
	writeKeys(t, name, b)
	r.later()
	r.fails(FailUnknown, bearer(as))
	r.ok(bearer(bs))
	r.is("penstock_auth_keys_file_failures_total", 2)
}

// TestKeysFileIsTriedAgain: one that could not be used is read when it can be, though
// it looks the same, as after a change of its owner or mode.
func TestKeysFileIsTriedAgain(t *testing.T) {
	a, as := newKey(t, Key{Name: "a"})
	name := keysFile(t, a)
	r := started(t, Config{KeysFile: name})
	a.RevokedAt = time.Now()
	text, err := FormatKeys([]Key{a})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(time.Minute)
	put := func(b []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(name, b, 0o600), os.Chtimes(name, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	put([]byte(strings.Repeat("x", len(text))))
	for range 3 {
		r.later()
		r.ok(bearer(as))
	}
	put(text)
	r.later()
	r.fails(FailRevoked, bearer(as))
	r.is("penstock_auth_keys_file_failures_total", 1)
}

// TestKubernetesSwap changes the file as a mounted Secret is: by a link to another
// directory.
func TestKubernetesSwap(t *testing.T) {
	a, as := newKey(t, Key{Name: "a"})
	b, bs := newKey(t, Key{Name: "b"})
	dir := t.TempDir()
	put := func(version string, k Key) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		writeKeys(t, filepath.Join(dir, version, "keys"), k)
		link := filepath.Join(dir, "..tmp")
		if err := os.Symlink(version, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	put("1", a)
	if err := os.Symlink("..data/keys", filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	r := started(t, Config{KeysFile: filepath.Join(dir, "keys")})
	r.ok(bearer(as))
	put("2", b)
	r.later()
	r.fails(FailUnknown, bearer(as))
	r.ok(bearer(bs))
}

func TestNoStartWithoutTheKeysFile(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(name, want string) {
		t.Helper()
		if _, err := tried(t, Config{KeysFile: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f(filepath.Join(dir, "none"), "penstock keys create")
	f(bad, "line 1")
	f(dir, "directory")
}

func TestKeysFilesOfNoForm(t *testing.T) {
	k, _ := newKey(t, Key{Name: "k", Tenant: "a", Expires: time.Now()})
	text, err := FormatKeys([]Key{k})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	good := lines[len(lines)-1]
	f := func(text, want string) {
		t.Helper()
		_, err := ParseKeys([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.100q: %v, want %q", text, err, want)
		}
	}
	with := func(old, new string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	f("", "")
	f("\n# x\n\n"+good+"\r\n", "")
	f(good+"\n"+good, "line 2: id "+k.ID+" is that of line 1")
	f("x", "line 1: is no key")
	f("[]", "is no key")
	f(good+good, "something after")
	f(with(`{`, `{"deny": true, `), "unknown field")
	f(with(k.ID, "A"), "id is none")
	f(with(k.ID, ""), "id is none")
	f(with(k.ID, strings.Repeat("a", 33)), "id is none")
	f(with(`"name":"k"`, `"name":""`), "name is")
	f(with(`"name":"k"`, `"name":"a\u001b[2J"`), "name is")
	f(with(`"name":"k"`, `"name":"`+strings.Repeat("a", 129)+`"`), "name is")
	f(with(k.SHA256, k.SHA256[1:]), "sha256")
	f(with(k.SHA256, k.SHA256+"00"), "sha256")
	f(with(`["ingest"]`, `[]`), "roles is empty")
	f(with(`["ingest"]`, `["root"]`), `"root"`)
	f(with(`"tenant":"a"`, `"tenant":"a b"`), "tenant")
	f(with(`"tenant":"a"`, `"tenants":["a",""]`), "tenants")
	f(with(`"created"`, `"expires"`), "created")
	f(`{"id":"`+strings.Repeat("a", maxKeyLine), "token too long")
	f(strings.Repeat("#\n", maxKeysFile/2)+"##", "bytes")
}
