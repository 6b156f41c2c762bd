package config

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// volume is a directory as the kubelet mounts a Secret: each name is a link
// through ..data, which is one link to the directory of the present version. An
// update is one rename.
type volume struct {
	dir     string
	version int
}

func (v *volume) path(name string) string { return filepath.Join(v.dir, name) }

// update swaps in a version that fill writes into the directory it is given.
func (v *volume) update(t *testing.T, fill func(dir string)) {
	t.Helper()
	v.version++
	version := fmt.Sprintf("..2026_11_28_%02d", v.version)
	if err := os.Mkdir(v.path(version), 0o700); err != nil {
		t.Fatal(err)
	}
	fill(v.path(version))
	if err := os.Symlink(version, v.path("..data_tmp")); err != nil {
		t.Fatal(err)
	}
	before, err := os.Readlink(v.path("..data"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	move(t, v.path("..data_tmp"), v.path("..data"))
	entries, err := os.ReadDir(v.path(version))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, err := os.Lstat(v.path(e.Name())); err == nil {
			continue
		}
		if err := os.Symlink(filepath.Join("..data", e.Name()), v.path(e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	if before != "" {
		if err := os.RemoveAll(v.path(before)); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits for what a look at the files, every two seconds, brings.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// The swap of ..data changes certificate, key and authorities of a listener, and
// a connection from before goes on as it was.
func TestSwappedVolume(t *testing.T) {
	old, next := newAuthority(t, "old"), newAuthority(t, "next")
	v := &volume{dir: t.TempDir()}
	fill := func(a *authority, name string) func(string) {
		return func(dir string) {
			a.issue(t, dir, "tls", name)
			a.file(t, dir, "ca.pem")
		}
	}
	v.update(t, fill(old, "first"))
	var files TLSFiles
	cfg, err := TLSServer{CertFile: v.path("tls.crt"), KeyFile: v.path("tls.key"), ClientCAFile: v.path("ca.pem")}.Config(
		TLSUse{Name: "gateway.http.tls", Files: &files}, "h2", "http/1.1")
	if err != nil {
		t.Fatal(err)
	}
	url := serveTLS(t, cfg)
	dir := t.TempDir()
	oldCrt, oldKey := old.issue(t, dir, "old", "old")
	nextCrt, nextKey := next.issue(t, dir, "next", "next")
	oldClient := TLSClient{CAFile: old.file(t, dir, "old.pem"), CertFile: oldCrt, KeyFile: oldKey}
	nextClient := TLSClient{CAFile: next.file(t, dir, "next.pem"), CertFile: nextCrt, KeyFile: nextKey}

	c, err := oldClient.Config()
	if err != nil {
		t.Fatal(err)
	}
	established, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), c)
	if err != nil {
		t.Fatal(err)
	}
	defer established.Close()
	answers := bufio.NewReader(established)
	v.update(t, fill(next, "second"))
	eventually(t, "the new client is let in by the new certificate", func() bool {
		body, server, err := ask(t, url, nextClient)
		return err == nil && body == "HTTP/2.0 next" && server == "second"
	})
	if body, _, err := ask(t, url, oldClient); err == nil {
		t.Errorf("a new connection of the old authority's client gets %q", body)
	}
	if s := files.States(); s[0].Rereads != 1 || s[0].Failures != 0 || len(s[0].Files) != 2 {
		t.Errorf("state is %+v, want one reread of two files", s)
	}
	checkHTTP(t, established, answers)
}

// checkHTTP makes one request over a connection that exists.
func checkHTTP(t *testing.T, c net.Conn, answers *bufio.Reader) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: penstock.test\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(answers)
	if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 200") || !strings.HasSuffix(string(all), "HTTP/1.1 old") {
		t.Errorf("the connection from before: %q, %v", all, err)
	}
}
