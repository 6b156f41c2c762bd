package worker

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/pkg/codec"
)

// NoTenant in Destination.Tenants is what has no tenant. No tenant can have that
// name.
const NoTenant = "(none)"

// Bounds of the routes of one destination.
const (
	maxRouteTenants = 1000
	maxRouteWhere   = 100
)

// route is what a destination takes of the signals that it has, compiled. It never
// changes: other routes are other values.
type route struct {
	tenants []tenantPattern // empty: all, and what has none
	where   otlp.Filter
	// mark names what where leaves of a message, as a part of it; "" without where.
	mark string
}

// tenantPattern is a name, the beginning of names or their end.
type tenantPattern struct {
	text           string
	before, behind bool // a '*' stands there
}

// compileRoute makes the route of a destination; the error reads on from its name.
func compileRoute(d Destination) (*route, error) {
	r := &route{}
	for i, text := range d.Tenants {
		p, err := parseTenant(text)
		if err != nil {
			return nil, fmt.Errorf("tenants[%d]: %w", i, err)
		}
		r.tenants = append(r.tenants, p)
	}
	conditions, err := otlp.ParseConditions(d.Where)
	if err != nil {
		return nil, fmt.Errorf("where: %w", err)
	}
	if len(conditions) > 0 {
		r.where.Resource = conditions
		r.mark = fmt.Sprintf("where-%08x", codec.Checksum([]byte(strings.Join(d.Where, "\n"))))
	}
	return r, nil
}

func parseTenant(text string) (p tenantPattern, err error) {
	p.text = text
	if text == NoTenant {
		return p, nil
	}
	if p.text, p.before = strings.CutPrefix(p.text, "*"); p.text != "" {
		p.text, p.behind = strings.CutSuffix(p.text, "*")
	}
	switch {
	case p.text == "" && !p.before:
		return p, fmt.Errorf("is empty: want a name, one that begins or ends with '*', or %s for what has no tenant", NoTenant)
	case strings.Contains(p.text, "*") || p.text == "" && p.behind:
		return p, fmt.Errorf("is %q: '*' may stand at the beginning and at the end", text)
	case strings.ContainsFunc(p.text, notInTenant):
		return p, fmt.Errorf("is %q: a tenant has letters, digits, '-', '_' and '.'", text)
	}
	return p, nil
}

func notInTenant(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// match never takes what has no tenant for one whose name is empty.
func (p tenantPattern) match(tenant string) bool {
	switch {
	case tenant == "":
		return p.text == NoTenant
	case p.before && p.behind:
		return strings.Contains(tenant, p.text)
	case p.before:
		return strings.HasSuffix(tenant, p.text)
	case p.behind:
		return strings.HasPrefix(tenant, p.text)
	}
	return tenant == p.text
}

// takes decides by the tenant.
func (r *route) takes(tenant string) bool {
	return len(r.tenants) == 0 || slices.ContainsFunc(r.tenants, func(p tenantPattern) bool { return p.match(tenant) })
}

// whole tells whether it takes messages as they are or not at all.
func (r *route) whole() bool { return len(r.where.Resource) == 0 }

// validateRoute answers in the user's keys.
func (d Destination) validateRoute() []error {
	var errs problems
	if len(d.Tenants) > maxRouteTenants || len(d.Where) > maxRouteWhere { // else each of them might be a problem
		errs.add(len(d.Tenants) > maxRouteTenants, "tenants", "has %d entries: want at most %d, or names with '*'", len(d.Tenants), maxRouteTenants)
		errs.add(len(d.Where) > maxRouteWhere, "where", "has %d conditions: want at most %d", len(d.Where), maxRouteWhere)
		return errs
	}
	for i, text := range d.Tenants {
		_, err := parseTenant(text)
		errs.add(err != nil, fmt.Sprintf("tenants[%d]", i), "%w", err)
		errs.add(err == nil && slices.Contains(d.Tenants[:i], text), fmt.Sprintf("tenants[%d]", i), "is %s a second time", text)
	}
	for i, text := range d.Where {
		_, err := otlp.ParseCondition(text)
		errs.add(err != nil, fmt.Sprintf("where[%d]", i), "%w", err)
	}
	return errs
}
