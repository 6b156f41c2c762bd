package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/conformance"
)

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"":                                  "no endpoint",
		"-o yaml":                           "want table, json or junit",
		"-grpc 127.0.0.1:1 x":               `argument "x"`,
		"-compare":                          "wants reports",
		"-compare nothing.json":             "nothing.json",
		"-grpc 127.0.0.1:1 -ca x":           "without -tls",
		"-grpc 127.0.0.1:1 -tls -ca x":      "open x",
		"-grpc 127.0.0.1:1 -tls -cert x":    "-cert and -key",
		"-grpc 127.0.0.1:1 -metrics-url x":  "go together",
		"-grpc 127.0.0.1:1 -backend-cert x": "-backend-cert and -backend-key go together",
		"-grpc 127.0.0.1:1 -backend-cert /no.pem -backend-key /no.pem": "no such file",
		"-grpc 127.0.0.1:1 -header x":                                  "want name=value",
		"-grpc 127.0.0.1:1 -skip-verify":                               "without -tls",
		"-grpc 127.0.0.1:1 -rows Z -o junit":                           `row "Z"`,
	} {
		var out, errs bytes.Buffer
		_, err := run(t.Context(), strings.Fields(args), &out, &errs)
		if err == nil || !strings.Contains(err.Error(), want) || out.Len() > 0 {
			t.Errorf("%q: %v, want %s; printed %q", args, err, want, out.String())
		}
	}
}

// TestRun is against a server that answers everything with 200 and nothing.
func TestRun(t *testing.T) {
	var credentials []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		credentials = append(credentials, r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		if strings.Contains(r.Header.Get("Content-Type"), "json") {
			_, _ = w.Write([]byte("{}"))
		}
	}))
	defer srv.Close()
	for rows, wantFailed := range map[string]bool{"H12": false, "H10": true} {
		var out, errs bytes.Buffer
		failed, err := run(t.Context(), []string{"-http", srv.URL, "-rows", rows, "-o", "json", "-header", "Authorization=Bearer x"}, &out, &errs)
		r := new(conformance.Report)
		if err != nil || failed != wantFailed || json.Unmarshal(out.Bytes(), r) != nil || len(r.Rows) != 1 || !strings.HasPrefix(errs.String(), rows) {
			t.Errorf("%s: failed %t, %v, %s", rows, failed, err, out.String())
		}
		path := filepath.Join(t.TempDir(), "this.json")
		if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out.Reset()
		if _, err := run(t.Context(), []string{"-compare", path}, &out, &errs); err != nil || !strings.Contains(out.String(), "| rule | this |") {
			t.Errorf("%v: %s", err, out.String())
		}
	}
	for _, c := range credentials {
		if c != "Bearer x" {
			t.Errorf("a request with Authorization %q", c)
		}
	}
}

func TestMetric(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP dead_total 9\ndead_total{a=\"b c\"} 2\ndead_total{a=\"d\"} 3.5\nalive_total 7\n"))
	}))
	defer srv.Close()
	read, err := metric(srv.URL, "^dead_total")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := read(t.Context()); n != 5.5 || err != nil {
		t.Errorf("%v, %v", n, err)
	}
	if _, err := metric(srv.URL, "("); err == nil {
		t.Error("a bad expression is taken")
	}
}
