package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/role"
	"github.com/penstock-otel/penstock/internal/send"
	"github.com/penstock-otel/penstock/internal/settings"
)

const (
	// demoRate is items a second of each signal: visible, and next to no load.
	demoRate = 400
	// demoRules tell of the demo's boiler.
	demoRules = "predefined:demo"
)

// runDemo sends telemetry of a shop to this process, and of a boiler that runs hot at
// times.
func runDemo(ctx context.Context, s *settings.Settings, r role.Running) error {
	c := send.Config{Signals: otlp.Signals[:], Rate: demoRate, Batch: 50, Clients: 1, Compression: "gzip", Seed: uint64(time.Now().UnixNano()), Insecure: true,
		Token: config.Secret(os.Getenv(settings.EnvToken))}
	switch {
	case r.GRPC != "" && !s.Gateway.GRPC.TLS.Enabled():
		c.Protocol, c.Target = "grpc", loopback(r.GRPC)
	case r.HTTP != "" && !s.Gateway.HTTP.TLS.Enabled():
		c.Protocol, c.Target = "http", "http://"+loopback(r.HTTP)
	default:
		return fmt.Errorf("--demo needs a listener without TLS: set gateway.grpc.listen or gateway.http.listen")
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return send.Run(ctx, c, new(send.Totals)) })
	if boils(s, r) {
		g.Go(func() error { boil(ctx, "http://"+loopback(r.HTTP)+s.Gateway.HTTP.PathPrefix, time.Now()); return nil })
	}
	return g.Wait()
}

// boils tells whether the demo can send of its boiler, which speaks HTTP.
func boils(s *settings.Settings, r role.Running) bool {
	return r.HTTP != "" && !s.Gateway.HTTP.TLS.Enabled()
}

// boil sends the temperature each second until ctx ends. What is refused is no matter
// of a demo: the live line counts it, and a second later there is the next.
func boil(ctx context.Context, target string, began time.Time) {
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, target+"/v1/metrics", bytes.NewReader(boiler(now, now.Sub(began))))
			if err != nil {
				panic("BUG: " + err.Error()) // the address is a listener's
			}
			req.Header.Set("Content-Type", "application/json")
			if token := os.Getenv(settings.EnvToken); token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			if res, err := client.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)) // so that the connection is used again
				_ = res.Body.Close()                                        // read only
			}
		case <-ctx.Done():
			return
		}
	}
}

// boiler is the metric as OTLP JSON: 90 °C from 5 s to 55 s of every two minutes, and
// 60 °C else.
func boiler(now time.Time, since time.Duration) []byte {
	degrees := 60
	if round := since % (2 * time.Minute); round >= 5*time.Second && round < 55*time.Second {
		degrees = 90
	}
	return fmt.Appendf(nil, `{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"demo"}}]},`+
		`"scopeMetrics":[{"metrics":[{"name":"demo.boiler.temperature","unit":"Cel","gauge":{"dataPoints":[{"timeUnixNano":"%d","asInt":"%d"}]}}]}]}]}`, now.UnixNano(), degrees)
}
