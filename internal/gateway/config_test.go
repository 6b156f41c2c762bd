package gateway

import (
	"strings"
	"testing"

	"github.com/penstock-otel/penstock/pkg/codec"
)

func TestConfigSaysWhatIsWrong(t *testing.T) {
	f := func(change func(*Config), parts ...string) {
		t.Helper()
		c := DefaultConfig()
		change(&c)
		err := c.Validate()
		if err == nil {
			err = c.Compression.Validate()
		}
		if len(parts) == 0 {
			if err != nil {
				t.Error(err)
			}
			return
		}
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("error %v lacks %q", err, p)
			}
		}
	}
	f(func(*Config) {})
	f(func(c *Config) { c.GRPC.Listen = "" })
	f(func(c *Config) { c.HTTP.Listen = "" })
	f(func(c *Config) { c.GRPC.Listen, c.HTTP.Listen = "", "" }, "grpc.listen and http.listen")
	f(func(c *Config) { c.Compression = Compression{Codec: codec.Zstd, Level: 9} })
	f(func(c *Config) { c.Compression.MinBytes = -1 }, "min_bytes is", "0 or more")
	f(func(c *Config) { c.Compression.Level = 3 }, "level is 3", "codec auto")
	f(func(c *Config) { c.Compression = Compression{Codec: codec.Zstd, Level: 10} }, "10")
	f(func(c *Config) { c.Compression.Codec = "rar" }, "rar")
}

// auto takes what every destination speaks, when it is worth storing.
func TestAutoChoosesTheCodecOfTheDestinations(t *testing.T) {
	f := func(configured, want string, wire ...string) {
		t.Helper()
		p, err := Compression{Codec: configured}.Policy(wire)
		if err != nil {
			t.Fatal(err)
		}
		if p.Name() != want {
			t.Errorf("codec %s with destinations of %q is %s, want %s", configured, wire, p.Name(), want)
		}
	}
	f(CodecAuto, codec.S2)
	f(CodecAuto, codec.Gzip, "gzip")
	f(CodecAuto, codec.Zstd, "zstd", "zstd")
	f(CodecAuto, codec.S2, "zstd", "gzip")
	f(CodecAuto, codec.S2, "zstd", "none")
	f(CodecAuto, codec.S2, "none", "none")
	f(CodecAuto, codec.S2, "snappy")
	f(codec.Brotli, codec.Brotli, "gzip")
	if _, err := (Compression{Codec: "rar"}).Policy(nil); err == nil {
		t.Error("rar is a codec")
	}
}
