package role

import "context"

// Alerter runs an alerter until ctx ends. It has no rules to evaluate: it
// connects, serves its health, and says so.
func Alerter(ctx context.Context, p Process) error {
	p.drains = true
	p.Server = nil
	return run(ctx, "alerter", p, func(ctx context.Context, b *base) error {
		q, plan, err := b.openQueue(ctx)
		if err != nil {
			return err
		}
		b.ignores(ofGateways...)
		b.ignores(ofWorkers...)
		b.serveQueue(ctx, q, plan, false)
		b.log.Warn("no alerting rules are configured: this alerter evaluates nothing")
		b.status("alerter", func(context.Context) any { return map[string]any{"rules": 0} })
		return nil
	})
}
