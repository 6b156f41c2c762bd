package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/send"
)

// Sent is what a run of send did.
type Sent struct {
	Accepted map[string]int64 `json:"accepted_items"`
	Rejected int64            `json:"rejected_items"`
	Failed   int64            `json:"failed_items"`
	Unknown  int64            `json:"unknown_items"` // interrupted before their answer
	Requests int64            `json:"requests"`
	Resent   int64            `json:"resent_requests"`
	Seconds  float64          `json:"seconds"`
	PerSec   float64          `json:"items_per_second"`
}

func sendCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "send", Short: "send test telemetry to an OTLP receiver", Args: cobra.NoArgs,
		Example: "  penstock send --signal traces --count 1000\n  penstock send --protocol http --target http://127.0.0.1:4318 --compression zstd --rate 500 --count 0\n  penstock send --token-file ./key --tenant shop --ca-file ca.pem --target gateway.example:4317"}
	fs := cmd.Flags()
	target := fs.String("target", "", "host:port for grpc, base URL for http (default: 127.0.0.1:4317 or http://127.0.0.1:4318)")
	protocol := fs.String("protocol", "grpc", "grpc or http")
	tls := fs.Bool("tls", false, "speak TLS to a grpc target (http: use an https URL)")
	signals := fs.StringSlice("signal", []string{"traces", "metrics", "logs"}, "signals to send")
	count := fs.Int("count", 1000, "items of each signal; 0: until interrupted")
	rate := fs.Float64("rate", 0, "items a second of each signal; 0: as fast as answered")
	batch := fs.Int("batch", 100, "items a request")
	compression := fs.String("compression", "none", "none, gzip, zstd, snappy")
	clients := fs.Int("clients", 1, "requests in flight, for each signal")
	seed := fs.Uint64("seed", 1, "of the content")
	timeout := fs.Duration("timeout", 30*time.Second, "how long a request is sent again before it is given up; 0s: for ever")
	tenant := fs.String("tenant", "", "tenant of what is sent, as the header "+tenantHeader)
	headers := fs.StringArray("header", nil, "a header to send along, as `name=value`, again for more")
	access := rolecmd.AccessFlags(cmd)
	output := rolecmd.OutputFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		a, err := access()
		if err != nil {
			return err
		}
		c := send.Config{Target: *target, Protocol: *protocol, Insecure: !*tls, Items: *count, Rate: *rate, Batch: *batch,
			Compression: *compression, Clients: *clients, Seed: *seed, Patience: *timeout}
		if c.TLS, err = a.TLS.Config(); err != nil {
			return &rolecmd.UsageError{Err: err}
		}
		c.Token = a.Token
		if a.TLS != (config.TLSClient{}) {
			c.Insecure = false
		}
		if c.Headers, err = parseHeaders(*headers, *tenant); err != nil {
			return &rolecmd.UsageError{Err: err}
		}
		if c.Target == "" {
			c.Target = map[string]string{"grpc": "127.0.0.1:4317", "http": "http://127.0.0.1:4318"}[c.Protocol]
		}
		for _, name := range *signals {
			s, err := otlp.ParseSignal(name)
			if err != nil {
				return &rolecmd.UsageError{Err: err}
			}
			c.Signals = append(c.Signals, s)
		}
		if err := errors.Join(c.Validate(), rolecmd.CheckOutput(*output)); err != nil {
			return &rolecmd.UsageError{Err: err}
		}
		return runSend(cmd, c, *output)
	}
	return cmd
}

// tenantHeader names the tenant, unless the gateway has another name for it.
const tenantHeader = "X-Scope-OrgID"

// parseHeaders reads name=value; no value is quoted.
func parseHeaders(texts []string, tenant string) ([]send.Header, error) {
	var all []send.Header
	for n, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--header, the one at place %d: want name=value", n+1)
		}
		all = append(all, send.Header{Name: name, Value: config.Secret(value)})
	}
	if tenant != "" {
		all = append(all, send.Header{Name: tenantHeader, Value: config.Secret(tenant)})
	}
	return all, nil
}

// sayRetries tells why requests are sent again: at once, then every few seconds.
func sayRetries(w io.Writer, target string) func(error) {
	var mu sync.Mutex
	var last time.Time
	return func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) < 5*time.Second {
			return
		}
		last = time.Now()
		fmt.Fprintf(w, "%s: %v; sending again\n", target, err) //nolint:errcheck // progress
	}
}

func runSend(cmd *cobra.Command, c send.Config, output string) error {
	var totals send.Totals
	begin := time.Now()
	live := newLive(cmd.ErrOrStderr())
	c.OnRetry = sayRetries(live, c.Target)
	ctx, stop := context.WithCancel(cmd.Context())
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		live.run(ctx, func() string {
			n := totals.All()
			return fmt.Sprintf("sent %s items (%s/s)  resent %d requests  failed %d items", count(float64(n)),
				count(float64(n)/time.Since(begin).Seconds()), totals.Resent.Load(), totals.Failed.Load())
		})
	}()
	err := send.Run(cmd.Context(), c, &totals)
	stop()
	<-shown
	seconds := time.Since(begin).Seconds()
	r := Sent{Accepted: map[string]int64{}, Rejected: totals.Rejected.Load(), Failed: totals.Failed.Load(), Unknown: totals.Unknown.Load(),
		Requests: totals.Requests.Load(), Resent: totals.Resent.Load(), Seconds: seconds, PerSec: float64(totals.All()) / seconds}
	for _, s := range c.Signals {
		r.Accepted[s.Items()] = totals.Accepted[s].Load()
	}
	if printErr := rolecmd.Output(cmd.OutOrStdout(), output, r, func(w io.Writer) error {
		var parts []string
		for _, s := range c.Signals {
			parts = append(parts, fmt.Sprintf("%d %s", r.Accepted[s.Items()], strings.ReplaceAll(s.Items(), "_", " ")))
		}
		_, err := fmt.Fprintf(w, "accepted %s in %d requests, %.2f s (%.0f items/s); rejected %d, failed %d, unknown %d, requests resent %d\n",
			strings.Join(parts, ", "), r.Requests, r.Seconds, r.PerSec, r.Rejected, r.Failed, r.Unknown, r.Resent)
		return err
	}); printErr != nil {
		return printErr
	}
	return err
}
