package receiver

import (
	"fmt"
	"time"

	"github.com/penstock-otel/penstock/internal/config"
)

// Limits bound what clients can make the gateway hold.
type Limits struct {
	MaxRequestBytes     config.ByteSize `yaml:"max_request_bytes" help:"Largest request, as sent and again after decompression. OTLP recommends 64MiB."`
	MaxInFlightBytes    config.ByteSize `yaml:"max_in_flight_bytes" help:"Bytes of all requests being received, decoded or waiting for their commit. Beyond it requests are refused as retryable."`
	CommitTimeout       config.Duration `yaml:"commit_timeout" help:"How long a request waits for its confirmation when its client gave no earlier deadline. Less than the 10s that OpenTelemetry SDKs wait."`
	MaxConnections      int             `yaml:"max_connections" help:"Connections at a time on each OTLP listener. Further ones are closed at once."`
	MaxConnectionsPerIP int             `yaml:"max_connections_per_ip" help:"The same from one address, of IPv6 from one network of 64 bits. A proxy in front is one address. 0: no limit."`
	RejectBadUTF8       bool            `yaml:"reject_bad_utf8" help:"Refuse requests with text that is not UTF-8. By default the bad bytes are replaced by '?' and counted."`
}

// DefaultLimits are those of the OTLP specification where it has one.
func DefaultLimits() Limits {
	return Limits{MaxRequestBytes: 64 << 20, MaxInFlightBytes: 128 << 20, CommitTimeout: config.Duration(8 * time.Second), MaxConnections: 10000}
}

// Validate answers in the user's keys.
func (l Limits) Validate() error {
	switch {
	case l.MaxRequestBytes < 1<<10 || l.MaxRequestBytes > 1<<30:
		return fmt.Errorf("max_request_bytes is %s: want 1KiB to 1GiB", l.MaxRequestBytes)
	case l.MaxInFlightBytes < 2*l.MaxRequestBytes:
		return fmt.Errorf("max_in_flight_bytes is %s: want at least twice max_request_bytes, which is %s: a request is held as sent and decompressed", l.MaxInFlightBytes, l.MaxRequestBytes)
	case l.CommitTimeout < config.Duration(100*time.Millisecond):
		return fmt.Errorf("commit_timeout is %s: want at least 100ms", l.CommitTimeout)
	case l.MaxConnections < 1:
		return fmt.Errorf("max_connections is %d: want at least 1", l.MaxConnections)
	case l.MaxConnectionsPerIP < 0:
		return fmt.Errorf("max_connections_per_ip is %d: want 0 or more", l.MaxConnectionsPerIP)
	}
	return nil
}
