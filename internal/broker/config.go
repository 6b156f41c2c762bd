// Package broker is the configuration of the queue and the way to it: an
// embedded NATS server (package local) or an external one.
package broker

import (
	"errors"
	"net"
	"strings"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream"
)

// Config of the queue.
type Config struct {
	URL             string           `yaml:"url" help:"External NATS servers, comma separated. Empty: a server embedded in the gateway." example:"nats://nats-0:4222,nats://nats-1:4222" secret:"url"`
	Dir             string           `yaml:"dir" help:"Directory of the embedded server. Local ext4 or xfs; never a network file system."`
	Listen          string           `yaml:"listen" help:"Address on which the embedded server takes other gateways, workers and the nats CLI. Empty: none." example:"127.0.0.1:4222"`
	MonitorListen   string           `yaml:"monitor_listen" help:"Address of the embedded server's own HTTP monitoring. Empty: none." example:"127.0.0.1:8222"`
	Durability      string           `yaml:"durability" help:"What a confirmation survives. strict: a power cut. process: the death of the process only. replicated: external cluster, three replicas, each synced." enum:"strict,process,replicated"`
	MaxBytes        config.ByteSize  `yaml:"max_bytes" help:"Disk for all streams together; a full queue refuses. 0: the lesser of 10GiB and 80 % of the disk."`
	Shards          int              `yaml:"shards" help:"Streams for each signal. More than 1 spreads the fsyncs of a fast gateway; never lower it while the higher shards hold data."`
	Replicas        int              `yaml:"replicas" help:"Copies of each stream on an external cluster. 0: 1, or 3 with durability replicated."`
	AllowUnverified bool             `yaml:"allow_unverified" help:"Start although it cannot be verified that the external servers sync each write."`
	MonitorURLs     []string         `yaml:"monitor_urls" help:"Monitoring addresses of the external servers, asked whether they sync each write." example:"http://nats-0:8222"`
	CredsFile       string           `yaml:"creds_file" help:"NATS credentials file for url."`
	User            string           `yaml:"user" help:"User for url, and of the embedded server's listener."`
	Password        config.Secret    `yaml:"password" help:"Password of user."`
	Token           config.Secret    `yaml:"token" help:"Token for url, and of the embedded server's listener."`
	TLS             config.TLSClient `yaml:"tls"`
	ListenTLS       config.TLSServer `yaml:"listen_tls"`
}

// DefaultConfig is the embedded server in ./penstock-data.
func DefaultConfig() Config {
	return Config{Dir: "./penstock-data", Durability: string(jetstream.Strict), Shards: 1, TLS: config.TLSClient{}}
}

// Embedded tells whether the queue is a server of this process.
func (c Config) Embedded() bool { return strings.TrimSpace(c.URL) == "" }

// Validate answers in the user's keys.
func (c Config) Validate() error {
	var errs []error
	bad := func(wrong bool, key, format string, args ...any) {
		if wrong {
			errs = append(errs, config.KeyError(key, format, args...))
		}
	}
	replicated := c.Durability == string(jetstream.Replicated)
	switch jetstream.Durability(c.Durability) {
	case jetstream.Strict, jetstream.Process, jetstream.Replicated:
	default:
		bad(true, "durability", "is %q: want strict, process or replicated", c.Durability)
	}
	if c.Embedded() {
		bad(c.Dir == "", "dir", "and url are both empty: give the address of a NATS server or a directory for the embedded one")
		bad(replicated, "durability", "is replicated: it needs an external cluster in url")
		bad(c.open(), "listen", "is %q: whoever reaches it can read and purge all of the queue; set token, or user with password, or listen_tls with client_ca_file and without client_auth: optional", c.Listen)
		bad(c.Replicas > 1, "replicas", "is %d: the embedded server keeps one copy", c.Replicas)
	} else {
		bad(c.Listen != "", "listen", "belongs to the embedded server, and url names an external one")
		bad(c.MonitorListen != "", "monitor_listen", "belongs to the embedded server, and url names an external one; monitor_urls are the addresses of its own")
		bad(replicated && c.Replicas > 0 && c.Replicas < 3, "replicas", "is %d: durability replicated needs at least 3, or 0 for that", c.Replicas)
		bad(c.ways() > 1, "creds_file", "token, and user with password are different ways to log in: choose one")
	}
	bad(c.MaxBytes < 0, "max_bytes", "is %s: want 0 or more", c.MaxBytes)
	bad(c.Shards < 1 || c.Shards > 64, "shards", "is %d: want 1 to 64", c.Shards)
	bad(c.Replicas < 0 || c.Replicas > 5, "replicas", "is %d: want 0 to 5", c.Replicas)
	return errors.Join(errs...)
}

// open tells whether the embedded server would take anybody from the network.
// What is no address the server itself refuses.
func (c Config) open() bool {
	_, _, err := net.SplitHostPort(c.Listen)
	return err == nil && !config.Loopback(c.Listen) && c.Token == "" && c.User == "" && !c.ListenTLS.RequiresCertificate()
}

// ways counts the ways to log in.
func (c Config) ways() (n int) {
	for _, set := range []bool{c.CredsFile != "", c.Token.Reveal() != "", c.User != "" || c.Password.Reveal() != ""} {
		if set {
			n++
		}
	}
	return n
}
