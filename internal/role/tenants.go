package role

import (
	"strings"

	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
)

// shareTenants lets the tenants change, and says which of their destinations are
// not known here: behind a misspelt name a tenant's data is settled and goes nowhere.
func (b *base) shareTenants() {
	say := func(s *settings.Settings) {
		if found := s.Strangers(); len(found) > 0 {
			b.log.Warn("tenants are bound to destinations that are not configured here: unless another worker has them, data that is bound to them alone goes nowhere, and is purged after retention.replay_window", "destinations", strings.Join(found, ", "))
		}
	}
	say(b.s)
	b.reload.Add(reload.Part{Name: "tenants", Keys: []string{"tenants"}, Prepare: func(s *settings.Settings) (func(), error) {
		apply := b.tenants.Prepare(s.Tenants)
		return func() { apply(); say(s) }, nil
	}})
}
