package replay_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/deadletter"
	"github.com/penstock-otel/penstock/internal/replay"
)

func TestSpecsThatAreRefused(t *testing.T) {
	f := func(s replay.Spec, want ...string) {
		t.Helper()
		err := s.Validate()
		if len(want) == 0 && err == nil {
			return
		}
		for _, w := range append(want, "") {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: got %v, want %q", s, err, w)
			}
		}
	}
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f(replay.Spec{Destination: "a"})
	f(replay.Spec{Destination: "a", From: t0, To: t0.Add(1), EventTime: true, Margin: 1, Where: []string{"service.name=x"}, Rate: 1 << 20})
	f(replay.Spec{Destination: "a", Stream: stream, FromSeq: 3, ToSeq: 3})
	f(replay.Spec{}, "destination: name a configured destination, or describe a target")
	f(replay.Spec{Destination: "a", Target: &replay.Target{}}, "give one of them")
	f(replay.Spec{Destination: "a", Signals: []string{"spans", "logs", "logs"}}, `"spans": want traces`, `"logs" is given twice`)
	f(replay.Spec{Destination: "a", Tenants: make([]string, 1001)}, "1001 are too many")
	f(replay.Spec{Destination: "a", Where: make([]string, 101)}, "101 conditions are too many")
	f(replay.Spec{Destination: "a", Where: []string{"=x"}}, "where: condition")
	f(replay.Spec{Destination: "a", From: t0, To: t0}, "to: 2026-01-01T00:00:00Z is not after from, which is 2026-01-01T00:00:00Z")
	f(replay.Spec{Destination: "a", FromSeq: 1}, "name it")
	f(replay.Spec{Destination: "a", Stream: "PENSTOCK_DLQ"}, `"PENSTOCK_DLQ" is no telemetry stream`)
	f(replay.Spec{Destination: "a", Stream: "PENSTOCK_LOGS_0 .>*"}, `"PENSTOCK_LOGS_0 .>*" is no telemetry stream`)
	f(replay.Spec{Destination: "a", Stream: stream, FromSeq: 5, ToSeq: 4, From: t0, Signals: logsOnly},
		"to_seq: 4 is before from_seq, which is 5", "not both", "leave signals out")
	f(replay.Spec{Destination: "a", EventTime: true}, "event_time: give from or to")
	f(replay.Spec{Destination: "a", Margin: 1}, "no use without event_time")
	f(replay.Spec{Destination: "a", Margin: -1}, "want 0s or more")
	f(replay.Spec{Destination: "a", Rate: 1}, "want at least 1KiB")
	f(replay.Spec{Destination: "a", Rate: 1 << 20, Unlimited: true}, "1MiB a second and unlimited")
	f(replay.Spec{Destination: "a", ItemsRate: -1, Concurrency: 17}, "items_rate: -1", "concurrency: 17: want 1 to 16")
	f(replay.Spec{Target: &replay.Target{Protocol: "debug"}}, "target: protocol: debug prints")
}

func TestTargets(t *testing.T) {
	t.Setenv("PENSTOCK_REPLAY_TOKEN", "s3cret-value")
	t.Setenv("OTHER", "x")
	dir := t.TempDir()
	secret := filepath.Join(dir, "token")
	if err := os.WriteFile(secret, []byte("from-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(target replay.Target, trust replay.Trust, wantHeader, wantError string) {
		t.Helper()
		d, err := target.Destination("job-x", trust)
		switch {
		case wantError != "":
			if err == nil || !strings.Contains(err.Error(), wantError) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%+v: got %v, want %q", target, err, wantError)
			}
		case err != nil:
			t.Errorf("%+v: %v", target, err)
		case wantHeader != "" && (len(d.Headers) != 1 || d.Headers[0].Value.Reveal() != wantHeader):
			t.Errorf("%+v: the header is %q", target, d.Headers[0].Value.Reveal())
		}
	}
	grpc := func(value string) replay.Target {
		return replay.Target{Protocol: "grpc", Endpoint: "127.0.0.1:4317", TLS: replay.TLS{Insecure: true}, Compression: "gzip",
			Headers: []replay.TargetHeader{{Name: "authorization", Value: value}}}
	}
	f(grpc("Bearer ${env:PENSTOCK_REPLAY_TOKEN}"), replay.Trust{}, "Bearer s3cret-value", "")
	f(grpc("${file:"+secret+"}"), replay.Trust{Dir: dir}, "from-a-file", "")
	f(grpc("${env:OTHER}"), replay.Trust{Everything: true}, "x", "")
	f(grpc("${env:OTHER}"), replay.Trust{EnvPrefix: "OTH"}, "x", "")
	f(grpc("Bearer s3cret-value"), replay.Trust{Everything: true}, "", "a value is a reference which the worker resolves")
	f(grpc("${env:OTHER}"), replay.Trust{}, "", "variables that begin with PENSTOCK_REPLAY_ alone")
	f(grpc("${env:PENSTOCK_REPLAY_NONE}"), replay.Trust{}, "", "is not set in the process that runs the job")
	f(grpc("${file:"+secret+"}"), replay.Trust{}, "", "may name no files on this worker")
	f(grpc("${file:"+dir+"/../token}"), replay.Trust{Dir: dir}, "", "may name files in "+dir+" alone")
	f(grpc("${file:"+dir+"/none}"), replay.Trust{Dir: dir}, "", "no such file")
	f(grpc("${file:"+dir+"}"), replay.Trust{Dir: dir}, "", "want a file of at most")
	f(replay.Target{Protocol: "grpc", Endpoint: "127.0.0.1:4317", Headers: []replay.TargetHeader{{Name: "te", Value: "${env:X}"}}}, replay.Trust{}, "", "set by the protocol")
	f(replay.Target{Protocol: "file", Endpoint: "x.json"}, replay.Trust{Everything: true}, "", "want an absolute path")
	f(replay.Target{Protocol: "file", Endpoint: "/etc/passwd"}, replay.Trust{Dir: dir}, "", "may name files in")
	f(replay.Target{Protocol: "file", Endpoint: filepath.Join(dir, "out.json")}, replay.Trust{Dir: dir}, "", "")
	f(replay.Target{Protocol: "grpc", Endpoint: "http://x"}, replay.Trust{}, "", "endpoint")
	f(replay.Target{Protocol: "grpc", Endpoint: "127.0.0.1:4317", TLS: replay.TLS{CertFile: "/x"}}, replay.Trust{}, "", "cert_file: needs key_file")
	f(replay.Target{Protocol: "grpc", Endpoint: "127.0.0.1:4317", TLS: replay.TLS{CAFile: "/etc/x"}}, replay.Trust{}, "", "/etc/x: targets of jobs may name no files")
}

func TestRedrivesThatAreRefused(t *testing.T) {
	f := func(r replay.Redrive, want string) {
		t.Helper()
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f(replay.Redrive{Filter: deadletter.Filter{Signal: "x"}}, "filter: ")
	f(replay.Redrive{Rate: 1}, "rate: 1B a second")
	if err := (&replay.Redrive{}).Validate(); err != nil {
		t.Error(err)
	}
}
