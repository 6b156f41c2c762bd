package gateway

import (
	"fmt"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/gateway/committer"
	"github.com/penstock-otel/penstock/internal/gateway/receiver"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// Config of the gateway role.
type Config struct {
	GRPC        receiver.GRPCConfig `yaml:"grpc"`
	HTTP        receiver.HTTPConfig `yaml:"http"`
	Limits      receiver.Limits     `yaml:"limits"`
	Batch       committer.Config    `yaml:"batch"`
	Compression Compression         `yaml:"compression"`
}

// CodecAuto chooses the stored codec by the destinations.
const CodecAuto = "auto"

// Compression of stored groups.
type Compression struct {
	Codec    string          `yaml:"codec" help:"Codec of stored groups. auto: the destinations' own, when all have the same gzip or zstd, so that groups are shipped as they are stored; else s2." enum:"auto,none,s2,zstd,gzip,br"`
	Level    int             `yaml:"level" help:"Level of the codec: s2 1-2, zstd, gzip and br 1-9. 0: its default."`
	MinBytes config.ByteSize `yaml:"min_bytes" help:"Groups smaller than this are stored as they are."`
}

// DefaultConfig listens on loopback and stores s2.
func DefaultConfig() Config {
	return Config{
		GRPC: receiver.DefaultGRPC(), HTTP: receiver.DefaultHTTP(), Limits: receiver.DefaultLimits(),
		Batch: committer.DefaultConfig(), Compression: Compression{Codec: CodecAuto, MinBytes: codec.DefaultMinBytes},
	}
}

// Validate answers in the user's keys.
func (c Config) Validate() error {
	if c.GRPC.Listen == "" && c.HTTP.Listen == "" {
		return fmt.Errorf("grpc.listen and http.listen are both empty: a gateway needs one")
	}
	return nil
}

// Validate answers in the user's keys.
func (c Compression) Validate() error {
	if c.MinBytes < 0 {
		return fmt.Errorf("min_bytes is %s: want 0 or more", c.MinBytes)
	}
	if c.Codec == CodecAuto {
		if c.Level != 0 {
			return fmt.Errorf("level is %d: with codec auto it must be 0, the codec is not known yet", c.Level)
		}
		return nil
	}
	if _, err := codec.NewEncoder(c.Codec, c.Level); err != nil {
		return err
	}
	return nil
}

// Policy is the compression of a gateway whose destinations speak these codecs
// on the wire.
func (c Compression) Policy(wire []string) (*codec.Policy, error) {
	name := c.Codec
	if name == CodecAuto {
		name = chooseCodec(wire)
	}
	return codec.NewPolicy(name, c.Level, max(int(c.MinBytes), 1))
}

func chooseCodec(wire []string) string {
	if len(wire) == 0 {
		return codec.S2
	}
	for _, w := range wire {
		if w != wire[0] {
			return codec.S2
		}
	}
	if wire[0] == codec.Gzip || wire[0] == codec.Zstd {
		return wire[0]
	}
	return codec.S2
}
