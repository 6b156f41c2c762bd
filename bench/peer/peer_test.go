package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestPeersAreToldApart(t *testing.T) {
	peers := collectors("/bin/otelcol", "1.2.3")
	if len(peers) < 4 || peers[0].Name != "collector" || peers[1].Name != "collector-fsync" {
		t.Fatalf("the first of %d peers are not those to compare with", len(peers))
	}
	seen := map[string]bool{}
	for _, p := range peers {
		if seen[p.Name] || p.Promise == "" || p.Tuned == "" || !strings.HasSuffix(p.Product, "1.2.3") {
			t.Errorf("%+v is not whole, or there twice", p)
		}
		seen[p.Name] = true
		if got, err := Find(peers, p.Name); err != nil || got.Tuned != p.Tuned {
			t.Errorf("%s: found %s, %v", p.Name, got.Name, err)
		}
	}
	if _, err := Find(peers, "nobody"); err == nil || !strings.Contains(err.Error(), "collector-fsync") {
		t.Errorf("an unknown name: %v, want those that are known", err)
	}
	for _, n := range NotHere {
		if n.Name == "" || n.Why == "" {
			t.Errorf("%+v does not say who or why", n)
		}
	}
}

func TestConfigurationSaysWhatThePeerIs(t *testing.T) {
	for _, p := range collectors("/bin/otelcol", "1.2.3") {
		at := Place{Dir: t.TempDir(), GRPC: "127.0.0.1:1", Health: "127.0.0.1:2", Sink: "127.0.0.1:3"}
		c, err := p.Command(at)
		if err != nil {
			t.Fatal(err)
		}
		var v struct {
			Receivers struct {
				OTLP struct {
					Protocols map[string]struct {
						Endpoint string `yaml:"endpoint"`
					} `yaml:"protocols"`
				} `yaml:"otlp"`
			} `yaml:"receivers"`
			Extensions struct {
				Storage struct {
					Directory string `yaml:"directory"`
					Fsync     bool   `yaml:"fsync"`
				} `yaml:"file_storage"`
			} `yaml:"extensions"`
			Exporters map[string]struct {
				Endpoint string `yaml:"endpoint"`
				Queue    struct {
					Storage string `yaml:"storage"`
					Blocks  bool   `yaml:"block_on_overflow"`
				} `yaml:"sending_queue"`
			} `yaml:"exporters"`
		}
		if err := yaml.Unmarshal([]byte(c.Config), &v); err != nil {
			t.Fatalf("%s: %v\n%s", p.Name, err, c.Config)
		}
		out := v.Exporters["otlp_grpc"]
		if v.Receivers.OTLP.Protocols["grpc"].Endpoint != at.GRPC || out.Endpoint != at.Sink || c.Ready != "http://"+at.Health+"/" {
			t.Errorf("%s does not stand between %s and %s:\n%s", p.Name, at.GRPC, at.Sink, c.Config)
		}
		if v.Extensions.Storage.Fsync != strings.Contains(p.Name, "fsync") || out.Queue.Storage != "file_storage" || !out.Queue.Blocks {
			t.Errorf("%s does not keep what it promises:\n%s", p.Name, c.Config)
		}
		if i, err := os.Stat(v.Extensions.Storage.Directory); err != nil || !i.IsDir() {
			t.Errorf("%s: directory of the queue: %v", p.Name, err)
		}
		file := filepath.Join(at.Dir, p.Name+".yaml")
		if b, err := os.ReadFile(file); err != nil || string(b) != c.Config {
			t.Errorf("%s: %s is not the configuration: %v", p.Name, file, err)
		}
		if want := fmt.Sprint(append([]string{"/bin/otelcol", "--config", "file:" + file}, p.args...)); fmt.Sprint(c.Argv) != want {
			t.Errorf("%s is started by %q, want %s", p.Name, c.Argv, want)
		}
		if _, err := p.Command(at); err == nil || !strings.Contains(err.Error(), p.Name) {
			t.Errorf("%s in a place that is taken: %v", p.Name, err)
		}
	}
}

func TestNoCollector(t *testing.T) {
	if _, err := Collectors(t.Context(), filepath.Join(t.TempDir(), "otelcol")); err == nil || !strings.Contains(err.Error(), "make bench-compare") {
		t.Errorf("without the Collector: %v, want how to get it", err)
	}
}
