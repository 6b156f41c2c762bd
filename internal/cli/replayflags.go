package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/replay"
)

// specFlags say what is replayed.
type specFlags struct {
	s                   replay.Spec
	from, to            string
	rate, margin        string
	endpoint, protocol  string
	compression, caFile string
	insecure            bool
	headers             []string
}

func addSpecFlags(cmd *cobra.Command) *specFlags {
	f := &specFlags{}
	fs := cmd.Flags()
	fs.StringVar(&f.from, "from", "", "begin of the window, included: a `time` in RFC 3339, or how long ago, such as -2h or -3d (default: the oldest data kept)")
	fs.StringVar(&f.to, "to", "", "end of the window, not included: a `time` (default: now)")
	fs.BoolVar(&f.s.EventTime, "event-time", false, "the window is of the items' own time, not of when they were stored")
	fs.StringVar(&f.margin, "margin", "", "with --event-time: how much later or earlier than its time an item may have been stored, a `duration` (default 1h)")
	fs.StringVar(&f.s.Stream, "stream", "", "one stream, for a window by sequence")
	fs.Uint64Var(&f.s.FromSeq, "from-seq", 0, "first sequence of --stream")
	fs.Uint64Var(&f.s.ToSeq, "to-seq", 0, "last sequence of --stream, included (default: the last one stored)")
	fs.StringSliceVar(&f.s.Signals, "signal", nil, "traces, metrics, logs, again for more (default: all)")
	fs.StringSliceVar(&f.s.Tenants, "tenant", nil, "tenants alone, again for more (default: all)")
	fs.StringArrayVar(&f.s.Where, "where", nil, "a `condition` on resource attributes: key, key=value, key=a|b, key=~regexp; again for more, all must hold")
	fs.StringVar(&f.s.Destination, "destination", "", "a configured destination")
	fs.StringVar(&f.endpoint, "endpoint", "", "in place of --destination: host:port, a URL, or a path, of this replay alone")
	fs.StringVar(&f.protocol, "protocol", "grpc", "of --endpoint: grpc, http or file")
	fs.StringVar(&f.compression, "compression", "", "of --endpoint: none, gzip, zstd or snappy")
	fs.BoolVar(&f.insecure, "insecure", false, "of --endpoint: plain text")
	fs.StringVar(&f.caFile, "endpoint-ca-file", "", "of --endpoint: `file` with the certificates of its authority")
	fs.StringArrayVar(&f.headers, "header", nil, "of --endpoint: `name=reference` such as 'authorization=Bearer ${env:PENSTOCK_REPLAY_TOKEN}'; the worker resolves it")
	fs.StringVar(&f.rate, "rate", "", "bytes before compression a second, such as 20MiB, or unlimited (default: that of the process asked)")
	fs.IntVar(&f.s.ItemsRate, "items-rate", 0, "items a second (default: no bound)")
	fs.IntVar(&f.s.Concurrency, "concurrency", 0, "exports at a time (default 2)")
	fs.BoolVar(&f.s.MarkAttribute, "mark-attribute", false, "set the resource attribute "+replay.MarkAttribute+" on what is replayed")
	fs.BoolVar(&f.s.NoMarkHeader, "no-mark-header", false, "leave out the header "+replay.MarkHeader)
	return f
}

// spec is what the flags say; what is wrong is a usage error.
func (f *specFlags) spec() (replay.Spec, error) {
	s, now := f.s, time.Now()
	var errs []error
	note := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	var err error
	s.From, err = parseWhen(f.from, now)
	note("from", err)
	s.To, err = parseWhen(f.to, now)
	note("to", err)
	if f.margin != "" {
		s.Margin, err = config.ParseDuration(f.margin)
		note("margin", err)
	}
	switch f.rate {
	case "":
	case "unlimited":
		s.Unlimited = true
	default:
		s.Rate, err = config.ParseByteSize(f.rate)
		note("rate", err)
	}
	if f.endpoint != "" {
		s.Target = &replay.Target{Protocol: f.protocol, Endpoint: f.endpoint, Compression: f.compression, TLS: replay.TLS{Insecure: f.insecure, CAFile: f.caFile}}
		for _, h := range f.headers {
			name, value, ok := strings.Cut(h, "=")
			if !ok {
				note("header", fmt.Errorf("%q: want name=reference", h))
			}
			s.Target.Headers = append(s.Target.Headers, replay.TargetHeader{Name: name, Value: value})
		}
	}
	if len(errs) == 0 {
		if err := s.Validate(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return s, &rolecmd.UsageError{Err: err}
	}
	return s, nil
}
