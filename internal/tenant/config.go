package tenant

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/net/http/httpguts"

	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/otlp"
)

// Config is the tenants section.
type Config struct {
	Header     string     `yaml:"header" help:"Header (gRPC metadata) by which a request names its tenant, believed of an identity that may speak for it. Empty: no header is looked at."`
	Required   bool       `yaml:"required" help:"Refuse requests of no tenant."`
	ListedOnly bool       `yaml:"listed_only" help:"Refuse tenants that overrides do not list."`
	MaxLabels  int        `yaml:"max_labels" help:"Tenants with metrics of their own, those of overrides beside. What further ones do is summed under (others)."`
	Defaults   Limits     `yaml:"defaults"`
	Overrides  []Override `yaml:"overrides" help:"Tenants with limits of their own; what one does not say is that of defaults."`
}

// Limits of one tenant. 0 is no limit, where nothing else is said.
type Limits struct {
	ItemsPerSecond   int             `yaml:"items_per_second" help:"Spans, points and log records a second. 0: no limit."`
	ItemsBurst       int             `yaml:"items_burst" help:"Items that may come at once. 0: those of two seconds."`
	BytesPerSecond   config.ByteSize `yaml:"bytes_per_second" help:"Bytes a second, decompressed. 0: no limit."`
	BytesBurst       config.ByteSize `yaml:"bytes_burst" help:"Bytes that may come at once. 0: those of two seconds."`
	MaxInFlightBytes config.ByteSize `yaml:"max_in_flight_bytes" help:"Bytes of its requests being received, decoded or waiting for their commit. 0: half of gateway.limits.max_in_flight_bytes for a named tenant, all of it for requests of none."`
	MaxRequestBytes  config.ByteSize `yaml:"max_request_bytes" help:"Largest request, as sent and again after decompression. 0: gateway.limits.max_request_bytes, which is never exceeded."`
	Signals          []string        `yaml:"signals" help:"What it may send: traces, metrics, logs. Empty: all."`
	Destinations     []string        `yaml:"destinations" help:"Destinations that may have its data. Empty: all that take it."`
}

// Override is one tenant's own limits. A key that is not given is that of the
// defaults.
type Override struct {
	Name             string           `yaml:"name" help:"The tenant."`
	ItemsPerSecond   *int             `yaml:"items_per_second" help:"As in defaults."`
	ItemsBurst       *int             `yaml:"items_burst" help:"As in defaults."`
	BytesPerSecond   *config.ByteSize `yaml:"bytes_per_second" help:"As in defaults."`
	BytesBurst       *config.ByteSize `yaml:"bytes_burst" help:"As in defaults."`
	MaxInFlightBytes *config.ByteSize `yaml:"max_in_flight_bytes" help:"As in defaults."`
	MaxRequestBytes  *config.ByteSize `yaml:"max_request_bytes" help:"As in defaults."`
	Signals          []string         `yaml:"signals" help:"As in defaults. Empty: those of defaults."`
	Destinations     []string         `yaml:"destinations" help:"As in defaults. Empty: those of defaults; * for all."`
}

// DefaultConfig bounds nobody.
func DefaultConfig() Config { return Config{Header: "X-Scope-OrgID", MaxLabels: 100} }

// maxLabels bounds Config.MaxLabels: each tenant has about eight series.
const maxLabels = 10000

// Validate answers in the user's keys.
func (c Config) Validate() error {
	var errs []error
	if c.Header != "" && !httpguts.ValidHeaderFieldName(c.Header) {
		errs = append(errs, config.KeyError("header", "is %q: no header name, want letters, digits and '-'", c.Header))
	}
	if c.MaxLabels < 0 || c.MaxLabels > maxLabels {
		errs = append(errs, config.KeyError("max_labels", "is %d: want 0 to %d", c.MaxLabels, maxLabels))
	}
	for i, o := range c.Overrides {
		if slices.ContainsFunc(c.Overrides[:i], func(e Override) bool { return e.Name == o.Name }) {
			errs = append(errs, config.KeyError(fmt.Sprintf("overrides[%d].name", i), "is %q a second time", o.Name))
		}
	}
	if c.ListedOnly && len(c.Overrides) == 0 {
		errs = append(errs, config.KeyError("listed_only", "is set and overrides lists no tenant: every request would be refused"))
	}
	return errors.Join(errs...)
}

// Validate answers in the user's keys.
func (l Limits) Validate() error {
	var errs []error
	for _, n := range []struct {
		key   string
		value int64
	}{{"items_per_second", int64(l.ItemsPerSecond)}, {"items_burst", int64(l.ItemsBurst)}, {"bytes_per_second", int64(l.BytesPerSecond)},
		{"bytes_burst", int64(l.BytesBurst)}, {"max_in_flight_bytes", int64(l.MaxInFlightBytes)}, {"max_request_bytes", int64(l.MaxRequestBytes)}} {
		if n.value < 0 {
			errs = append(errs, config.KeyError(n.key, "is %d: want 0 or more", n.value))
		}
	}
	if l.ItemsBurst > 0 && l.ItemsPerSecond == 0 {
		errs = append(errs, config.KeyError("items_burst", "is %d and items_per_second is 0, no limit: set that, or remove the burst", l.ItemsBurst))
	}
	if l.BytesBurst > 0 && l.BytesPerSecond == 0 {
		errs = append(errs, config.KeyError("bytes_burst", "is %s and bytes_per_second is 0, no limit: set that, or remove the burst", l.BytesBurst))
	}
	for i, s := range l.Signals {
		if _, err := otlp.ParseSignal(s); err != nil {
			errs = append(errs, config.KeyError(fmt.Sprintf("signals[%d]", i), "is %q: want traces, metrics or logs", s))
		}
	}
	return errors.Join(errs...)
}

// Validate answers in the user's keys. That of the limits is the merged one's,
// which Config cannot blame on a line; so it is asked here, without defaults.
func (o Override) Validate() error {
	if err := identity.CheckTenant(o.Name); err != nil {
		return errors.Join(config.KeyError("name", "%w", err), o.alone().Validate())
	}
	return o.alone().Validate()
}

// alone are the limits as far as the override gives them; a burst without its
// rate is one of the defaults' rate.
func (o Override) alone() Limits {
	l := o.over(Limits{})
	if o.ItemsPerSecond == nil {
		l.ItemsBurst = min(l.ItemsBurst, 0)
	}
	if o.BytesPerSecond == nil {
		l.BytesBurst = min(l.BytesBurst, 0)
	}
	return l
}

// over puts what the override gives over other limits.
func (o Override) over(l Limits) Limits {
	set(&l.ItemsPerSecond, o.ItemsPerSecond)
	set(&l.ItemsBurst, o.ItemsBurst)
	set(&l.BytesPerSecond, o.BytesPerSecond)
	set(&l.BytesBurst, o.BytesBurst)
	set(&l.MaxInFlightBytes, o.MaxInFlightBytes)
	set(&l.MaxRequestBytes, o.MaxRequestBytes)
	if len(o.Signals) > 0 {
		l.Signals = o.Signals
	}
	if len(o.Destinations) > 0 {
		l.Destinations = o.Destinations
	}
	return l
}

func set[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
}

// AnyDestination in Destinations stands for all of them.
const AnyDestination = "*"
