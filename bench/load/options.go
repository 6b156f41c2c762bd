package load

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/sample"
)

// Options say what to send, how, and to whom.
type Options struct {
	Target      string        // host:port
	Transport   string        // grpc or http
	Compression string        // none, gzip or zstd; its CPU is the generator's
	Signal      string        // traces, metrics or logs
	Story       string        // shop, web or trace3; see sample.Story
	Items       int           // a request; 1 to MaxItems
	Connections int           // of gRPC; HTTP has one for each client
	Idle        int           // further connections on which nothing is ever sent
	Clients     int           // requests in flight, over all connections
	Rate        float64       // items a second of all clients; 0: closed loop
	Tenant      string        // in X-Scope-OrgID; empty: none
	Tenants     int           // clients are spread over tenants NAME-0, NAME-1, ...; 0: all are Tenant
	Stubborn    bool          // send on at once, however often refused
	Seed        uint64        // of the telemetry
	Source      int           // of the first client's items; generators into one sink must not share any
	Timeout     time.Duration // of a request
}

// MaxItems a request: 5,000 spans are 2.2 MB, and 4 MB is what a gRPC server takes
// unless it is told otherwise.
const MaxItems = 5000

// Default are the options of a generator that nothing else is said to.
func Default() Options {
	return Options{
		Transport: "grpc", Compression: "none", Signal: "traces", Story: "shop",
		Items: 100, Connections: 4, Clients: 32, Seed: 1, Source: 1, Timeout: 30 * time.Second,
	}
}

// Flags declares a flag for each option; what o holds is the default.
func (o *Options) Flags(f *flag.FlagSet) {
	f.StringVar(&o.Target, "target", o.Target, "address to send to")
	f.StringVar(&o.Transport, "transport", o.Transport, "grpc or http")
	f.StringVar(&o.Compression, "compression", o.Compression, "of requests: none, gzip or zstd")
	f.StringVar(&o.Signal, "signal", o.Signal, "traces, metrics or logs")
	f.StringVar(&o.Story, "story", o.Story, "what traces tell: shop, web (a web request an operation) or trace3 (a trace over three services an operation)")
	f.IntVar(&o.Items, "items", o.Items, "items a request")
	f.IntVar(&o.Connections, "connections", o.Connections, "connections; HTTP has one for each client")
	f.IntVar(&o.Idle, "idle", o.Idle, "further connections on which nothing is sent")
	f.IntVar(&o.Clients, "clients", o.Clients, "requests in flight")
	f.Float64Var(&o.Rate, "rate", o.Rate, "items a second on a schedule; 0: as fast as answered")
	f.StringVar(&o.Tenant, "tenant", o.Tenant, "tenant to send as")
	f.IntVar(&o.Tenants, "tenants", o.Tenants, "spread over that many tenants; 0: one")
	f.BoolVar(&o.Stubborn, "stubborn", o.Stubborn, "keep the rate although requests are refused")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "seed of the telemetry")
	f.IntVar(&o.Source, "source", o.Source, "source of the first client's items; each further client has the next")
	f.DurationVar(&o.Timeout, "timeout", o.Timeout, "of a request")
}

// Args are the flags that make these options again.
func (o Options) Args() []string {
	return []string{
		"-target", o.Target, "-transport", o.Transport, "-compression", o.Compression, "-signal", o.Signal, "-story", o.Story,
		"-items", strconv.Itoa(o.Items), "-connections", strconv.Itoa(o.Connections), "-idle", strconv.Itoa(o.Idle),
		"-clients", strconv.Itoa(o.Clients), "-rate", strconv.FormatFloat(o.Rate, 'g', -1, 64),
		"-tenant", o.Tenant, "-tenants", strconv.Itoa(o.Tenants), "-stubborn=" + strconv.FormatBool(o.Stubborn),
		"-seed", strconv.FormatUint(o.Seed, 10), "-source", strconv.Itoa(o.Source), "-timeout", o.Timeout.String(),
	}
}

// parsed are the parts of options that are names.
type parsed struct {
	sig   otlp.Signal
	story sample.Story
}

func (o Options) parse() (p parsed, err error) {
	if p.sig, err = otlp.ParseSignal(o.Signal); err != nil {
		return p, err
	}
	if p.story, err = sample.ParseStory(o.Story); err != nil {
		return p, err
	}
	for _, c := range []struct {
		flag, value string
		of          []string
	}{
		{"transport", o.Transport, []string{"grpc", "http"}},
		{"compression", o.Compression, []string{"none", "gzip", "zstd"}},
	} {
		if !slices.Contains(c.of, c.value) {
			return p, fmt.Errorf("-%s %q: want one of %s", c.flag, c.value, strings.Join(c.of, ", "))
		}
	}
	for _, c := range []struct {
		flag           string
		v, least, most int
	}{
		{"items", o.Items, 1, MaxItems},
		{"clients", o.Clients, 0, 1 << 16}, // none: connections alone
		{"connections", o.Connections, 1, 1 << 16},
		{"idle", o.Idle, 0, 1 << 16},
		{"tenants", o.Tenants, 0, 1 << 16},
		{"source", o.Source, 1, sample.MaxSource - 1<<16},
	} {
		if c.v < c.least || c.v > c.most {
			return p, fmt.Errorf("-%s %d: want %d to %d", c.flag, c.v, c.least, c.most)
		}
	}
	if o.Rate < 0 || o.Timeout <= 0 {
		return p, fmt.Errorf("-rate %v and -timeout %s: want no negative rate, and a time", o.Rate, o.Timeout)
	}
	if o.Idle > 0 && o.Transport == "http" {
		return p, fmt.Errorf("-idle %d: idle connections are of gRPC alone", o.Idle)
	}
	return p, nil
}
