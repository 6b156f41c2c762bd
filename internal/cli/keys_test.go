package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/identity"
)

// printsAs runs a command line and wants its exit code and what it prints.
func printsAs(t *testing.T, code int, out, errOut string, args ...string) string {
	t.Helper()
	gotCode, gotOut, gotErr := run(t, args...)
	if gotCode != code || !regexp.MustCompile(out).MatchString(gotOut) || !regexp.MustCompile(errOut).MatchString(gotErr) {
		t.Fatalf("penstock %s: code %d, want %d\nout, want %q:\n%s\nerr, want %q:\n%s", strings.Join(args, " "), gotCode, code, out, gotOut, errOut, gotErr)
	}
	return gotOut
}

func TestKeysOnTheCommandLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	key := printsAs(t, 0, `^pst_[a-z2-7]{13}_[a-z2-7]{52}\n$`, `shown this once`, "keys", "create", "--file", file, "--name", "shop agents", "--tenant", "shop", "--tenants", "a,b", "--roles", "ingest,view", "--expires", "90d")
	key = strings.TrimSpace(key)
	id := strings.Split(key, "_")[1]

	// By the configuration, as JSON.
	configured := filepath.Join(t.TempDir(), "penstock.yaml")
	write(t, configured, "auth: {keys_file: "+file+"}\n")
	var made MadeKey
	if err := json.Unmarshal([]byte(printsAs(t, 0, `"key": "pst_`, `has the name "shop agents" too`, "keys", "create", "-c", configured, "--name", "shop agents", "-o", "json")), &made); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(made.Key, "pst_"+made.Details.ID+"_") || !made.Details.Expires.IsZero() || made.Details.Roles[0] != "ingest" {
		t.Errorf("made %+v", made.Details)
	}

	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{key, made.Key} {
		if strings.Contains(string(text), strings.Split(k, "_")[2]) {
			t.Errorf("a secret is in the file: %s", text)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the mode is %v, %v", info.Mode(), err)
	}
	printsAs(t, 0, `(?m)^ID +NAME +STATE.*\n`+id+` +shop agents +active +ingest,view +shop +a,b +20`, ``, "keys", "list", "--file", file)
	printsAs(t, 0, `key `+id+` \(shop agents\) is revoked since 20`, ``, "keys", "revoke", id, "--file", file)
	printsAs(t, 0, id+` +shop agents +revoked`, ``, "keys", "ls", "-c", configured)
	keys, err := identity.ReadKeys(file)
	if err != nil || len(keys) != 2 || keys[0].RevokedAt.IsZero() {
		t.Fatalf("%v %v", keys, err)
	}
	until := keys[0].Expires.Sub(keys[0].Created)
	if until != 90*24*time.Hour {
		t.Errorf("it holds for %s", until)
	}
	printsAs(t, 0, `is revoked since `+keys[0].RevokedAt.Format("2006-01-02 15:04Z"), ``, "keys", "revoke", id, "--file", file) // and stays so
	printsAs(t, 0, `state|id: `+id, ``, "keys", "list", "--file", file, "-o", "yaml")
	printsAs(t, 0, `^\[\]`, ``, "keys", "list", "--file", empty(t), "-o", "json")

	printsAs(t, 1, ``, `has no key "aaaa"`, "keys", "revoke", "aaaa", "--file", file)
	printsAs(t, 2, ``, `a whole key`, "keys", "revoke", key, "--file", file)
	printsAs(t, 2, ``, `no keys file: say --file`, "keys", "list")
	printsAs(t, 1, ``, `no such file`, "keys", "list", "--file", file+"x")
	printsAs(t, 1, ``, `line 1`, "keys", "list", "--file", configured)
	printsAs(t, 2, ``, `name is ""`, "keys", "create", "--file", file)
	printsAs(t, 2, ``, `"root"`, "keys", "create", "--file", file, "--name", "x", "--roles", "root")
	printsAs(t, 2, ``, `tenant is "a b"`, "keys", "create", "--file", file, "--name", "x", "--tenant", "a b")
	printsAs(t, 2, ``, `"soon" is no time`, "keys", "create", "--file", file, "--name", "x", "--expires", "soon")
	printsAs(t, 2, ``, `has passed`, "keys", "create", "--file", file, "--name", "x", "--expires", "2020-01-01T00:00:00Z")
	printsAs(t, 2, ``, `output is "xml"`, "keys", "create", "--file", file, "--name", "x", "-o", "xml")
	if after, err := identity.ReadKeys(file); err != nil || len(after) != 2 {
		t.Errorf("what failed left keys: %v %v", after, err)
	}
}

func empty(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "empty")
	write(t, name, "")
	return name
}

// TestCommandsSayWhoAsks has a process that wants to know, and every way to say it.
func TestCommandsSayWhoAsks(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	viewer := strings.TrimSpace(printsAs(t, 0, `pst_`, ``, "keys", "create", "--file", keys, "--name", "viewer", "--roles", "view"))
	operator := strings.TrimSpace(printsAs(t, 0, `pst_`, ``, "keys", "create", "--file", keys, "--name", "operator", "--roles", "operate"))
	admin := freePort(t)
	starts(t, "gateway", "--admin-listen", admin, "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--queue-dir", filepath.Join(dir, "queue"),
		"--set", "queue.durability=process", "--set", "queue.max_bytes=256MiB", "--set", "auth.keys_file="+keys, "--log-level", "warn")
	ready(t, admin)
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return path
	}
	secret := func(errOut string) {
		t.Helper()
		for _, k := range []string{viewer, operator} {
			if strings.Contains(errOut, strings.Split(k, "_")[2]) {
				t.Errorf("a key is in %s", errOut)
			}
		}
	}
	as := func(code int, out, errOut string, args ...string) {
		t.Helper()
		printsAs(t, code, out, errOut, append(args, "--admin", admin)...)
		_, _, e := run(t, append(args, "--admin", admin)...)
		secret(e)
	}
	as(1, ``, `a credential is needed.*PENSTOCK_TOKEN or --token-file`, "destination", "ls")
	as(1, ``, `a credential is needed.*PENSTOCK_TOKEN or --token-file`, "tap", "--once")
	as(0, ``, ``, "destination", "ls", "--token-file", file("viewer", viewer+"\n"))
	as(0, ``, ``, "destination", "ls", "--token", viewer)
	as(1, ``, `needs the role operate, and key:viewer has view.*--token-file`, "destination", "drop", "x", "--yes", "--token-file", file("viewer", viewer))
	as(1, ``, `no destination|x`, "destination", "drop", "x", "--yes", "--token-file", file("operator", operator))
	as(1, ``, `no such API key`, "destination", "ls", "--token", viewer[:len(viewer)-1])
	as(2, ``, `two credentials`, "destination", "ls", "--token", viewer, "--token-file", file("viewer", viewer))
	as(2, ``, `holds no token`, "destination", "ls", "--token", viewer+" "+operator)
	as(2, ``, `is empty`, "destination", "ls", "--token-file", file("nothing", "\n"))
	as(2, ``, `no such file`, "destination", "ls", "--token-file", filepath.Join(dir, "none"))
	as(2, ``, `belong together`, "destination", "ls", "--cert-file", "x")
	as(1, ``, `authorities|no such file`, "destination", "ls", "--ca-file", filepath.Join(dir, "none"))
	as(0, ``, ``, "healthcheck")

	t.Setenv("PENSTOCK_TOKEN", viewer)
	as(0, ``, ``, "destination", "ls")
	printsAs(t, 0, `listen`, ``, "config", "print") // it is no setting, and no mistake
	if out := printsAs(t, 0, `keys_file`, ``, "config", "print", "--set", "auth.keys_file="+keys); strings.Contains(out, viewer) {
		t.Error("the token is in the printed configuration")
	}
}
