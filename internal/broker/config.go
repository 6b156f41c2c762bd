// Package broker is the configuration of the queue and the way to it: an
// embedded NATS server (package local) or an external one.
package broker

import (
	"fmt"
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
	switch {
	case c.Embedded() && c.Dir == "":
		return fmt.Errorf("url and dir are both empty: give the address of a NATS server or a directory for the embedded one")
	case c.Embedded() && c.Durability == string(jetstream.Replicated):
		return fmt.Errorf("durability is replicated: it needs an external cluster in url")
	case c.Embedded() && c.Replicas > 1:
		return fmt.Errorf("replicas is %d: the embedded server keeps one copy", c.Replicas)
	case !c.Embedded() && (c.Listen != "" || c.MonitorListen != ""):
		return fmt.Errorf("listen and monitor_listen belong to the embedded server, and url names an external one")
	case c.MaxBytes < 0:
		return fmt.Errorf("max_bytes is %s: want 0 or more", c.MaxBytes)
	case c.Shards < 1 || c.Shards > 64:
		return fmt.Errorf("shards is %d: want 1 to 64", c.Shards)
	case c.Replicas < 0 || c.Replicas > 5:
		return fmt.Errorf("replicas is %d: want 0 to 5", c.Replicas)
	}
	return nil
}
