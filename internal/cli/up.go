package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-otel/penstock/internal/alerter"
	"github.com/penstock-otel/penstock/internal/broker/local"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
	"github.com/penstock-otel/penstock/internal/role"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/worker"
)

func up() *cobra.Command {
	cmd := &cobra.Command{Use: "up", Short: "run gateway, worker and alerter in one process over an embedded queue", Args: cobra.NoArgs,
		Long: "Takes OTLP on 127.0.0.1:4317 (gRPC) and :4318 (HTTP), keeps it in ./penstock-data and exports it to the\n" +
			"configured destinations. Without a destination a summary of what arrives is printed each second.\n" +
			"Where alerter.rules or alerter.alertmanager is set, rules are evaluated and people told."}
	flags := rolecmd.Add(cmd)
	demo := cmd.Flags().Bool("demo", false, "send demo telemetry of all three signals to itself, and alert on some of it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		src := flags.Source()
		if _, set := src.Flags["log.format"]; !set {
			src.Sets = append([]string{"log.format=text"}, src.Sets...)
		}
		p, err := rolecmd.Load(src)
		if err != nil {
			return err
		}
		if *demo && asksForCredential(p.Settings) && os.Getenv(settings.EnvToken) == "" {
			return &rolecmd.UsageError{Err: fmt.Errorf("--demo sends without a credential, which auth does not let: put an API key with the role ingest into $%s, or leave --demo out", settings.EnvToken)}
		}
		s, l := p.Settings, newLive(cmd.ErrOrStderr())
		p.Server, p.Alerter, p.Out, p.Log = local.Start, alerter.Make, l.above(cmd.OutOrStdout()), l
		if *demo {
			p.Rules = []string{demoRules}
		}
		if *demo && l.terminal && len(s.Destinations) == 0 {
			p.Out = io.Discard // the live line says the same, in one line
		}
		var last string
		err = role.Up(cmd.Context(), p, func(r role.Running) {
			announce(l, s, r, *demo)
			text := progress(s, r)
			r.Go("live line", func(ctx context.Context) error {
				l.run(ctx, func() string { return text(ctx) })
				last = text(context.WithoutCancel(ctx))
				return nil
			})
			if *demo {
				r.Go("demo telemetry", func(ctx context.Context) error { return runDemo(ctx, s, r) })
			}
		})
		if last != "" {
			fmt.Fprintf(l, "at the end: %s\n", last) //nolint:errcheck // as the log
		}
		return err
	}
	return cmd
}

// announce says where everything is.
func announce(w io.Writer, s *settings.Settings, r role.Running, demo bool) {
	fmt.Fprintf(w, "\nPenstock is up.\n") //nolint:errcheck // as the log
	line := func(what, where string) {
		if where != "" {
			fmt.Fprintf(w, "  %-12s %s\n", what, where) //nolint:errcheck // as the log
		}
	}
	line("OTLP/gRPC", r.GRPC)
	line("OTLP/HTTP", r.HTTP)
	if s.Queue.Embedded() {
		line("queue", fmt.Sprintf("%s (embedded, durability %s)", s.Queue.Dir, s.Queue.Durability))
	} else {
		line("queue", "external")
	}
	for _, d := range s.EffectiveDestinations() {
		where := fmt.Sprintf("%s (%s %s)", d.Name, d.Protocol, strings.Join(d.Endpoints, ", "))
		if d.Protocol == worker.ProtocolDebug {
			where = d.Name + ": a summary each second; name a backend under destinations: to send it there"
		}
		line("exports to", where)
	}
	line("look at", adminURL(s, r))
	line("try", try(s, r))
	if demo && boils(s, r) {
		line("and", "penstock alerts ls, when the demo's boiler has run hot for 10 s; penstock alerts ack ID takes it, and a minute later it is over")
	}
	fmt.Fprintln(w) //nolint:errcheck // as the log
}

// adminURL is where a browser on this machine looks, "" without an admin port.
func adminURL(s *settings.Settings, r role.Running) string {
	if r.Admin == "" {
		return ""
	}
	return scheme(s.Admin.TLS.Enabled()) + loopback(r.Admin)
}

func scheme(tls bool) string {
	if tls {
		return "https://"
	}
	return "http://"
}

// try is a command that sends to this process: FILE is for who reads it to fill in.
func try(s *settings.Settings, r role.Running) string {
	to, tls := "penstock send --target "+loopback(r.GRPC), s.Gateway.GRPC.TLS
	switch {
	case r.GRPC == "" && r.HTTP == "":
		return ""
	case r.GRPC == "":
		tls = s.Gateway.HTTP.TLS
		to = "penstock send --protocol http --target " + scheme(tls.Enabled()) + loopback(r.HTTP)
	}
	if tls.Enabled() {
		to += " --ca-file FILE"
	}
	byToken := s.Auth.KeysFile != "" || len(s.Auth.Issuers) > 0
	if asksForCredential(s) && byToken {
		to += " --token-file FILE"
	}
	if tls.RequiresCertificate() || asksForCredential(s) && !byToken {
		to += " --cert-file FILE --key-file FILE"
	}
	return to + " --signal traces --count 1000"
}

// asksForCredential tells whether nobody may send without one.
func asksForCredential(s *settings.Settings) bool {
	return s.Auth.Authenticates() && !slices.Contains(s.Auth.AnonymousRoles, "ingest")
}

// progress is the text of the live line: totals, and rates since the last call.
func progress(s *settings.Settings, r role.Running) func(context.Context) string {
	var before struct {
		at                 time.Time
		accepted, exported float64
	}
	return func(ctx context.Context) string {
		totals, err := role.ReadTotals(r.Registry)
		if err != nil {
			return err.Error()
		}
		var accepted, exported, refused float64
		for _, t := range totals {
			accepted += t.Accepted
			exported += t.Exported
			refused += t.Refused
		}
		now := time.Now()
		seconds := now.Sub(before.at).Seconds()
		inRate, outRate := (accepted-before.accepted)/seconds, (exported-before.exported)/seconds
		if before.at.IsZero() {
			inRate, outRate = 0, 0
		}
		before.at, before.accepted, before.exported = now, accepted, exported
		var messages, bytes float64
		view := r.Watch.Fresh(ctx, time.Second/2) // a person looks: fresher than the gauges
		for _, lag := range view.Lags {
			messages += float64(lag.Pending) + float64(lag.InFlight)
		}
		for _, st := range view.Streams {
			bytes += float64(st.Bytes)
		}
		text := fmt.Sprintf("accepted %s +%s/s  queued %s  exported %s +%s/s",
			count(accepted), count(inRate), count(messages), count(exported), count(outRate))
		if refused > 0 {
			text += fmt.Sprintf("  refused %s", count(refused))
		}
		if url := adminURL(s, r); url != "" {
			text += "  " + url
		}
		if bytes > 0 {
			text += "  stored " + size(bytes) // the first to go on a narrow terminal
		}
		return text
	}
}

// loopback is a listen address as this machine reaches it.
func loopback(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
