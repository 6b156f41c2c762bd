package ledger

import (
	"fmt"
	"strings"

	"github.com/penstock-otel/penstock/internal/fleet"
)

// Sum is an amount of telemetry.
type Sum struct {
	Messages uint64 `json:"messages"`
	Items    uint64 `json:"items"`
	Bytes    uint64 `json:"bytes"` // of payload before compression
}

func (s Sum) plus(o Sum) Sum {
	return Sum{s.Messages + o.Messages, s.Items + o.Items, s.Bytes + o.Bytes}
}

// minus is never below 0.
func (s Sum) minus(o Sum) Sum {
	return Sum{s.Messages - min(s.Messages, o.Messages), s.Items - min(s.Items, o.Items), s.Bytes - min(s.Bytes, o.Bytes)}
}

// byTenant is sums by tenant.
type byTenant map[string]Sum

// add adds to a tenant; what comes when there are maxTenants goes to the others.
func (t byTenant) add(tenant string, s Sum) {
	t[t.known(tenant)] = t[t.known(tenant)].plus(s)
}

// known is the tenant itself or, when it has no place of its own, the others.
func (t byTenant) known(tenant string) string {
	if _, ok := t[tenant]; !ok && len(t) >= maxTenants {
		return fleet.OtherTenants
	}
	return tenant
}

func (t byTenant) total() (sum Sum) {
	for _, s := range t {
		sum = sum.plus(s)
	}
	return sum
}

// maxTenants that are told apart on a stream.
const maxTenants = 100

// maxItems that a header may claim of one message: more is somebody's joke, and
// would spoil all sums.
const maxItems = 1 << 31

// row is a destination and signal.
type row struct{ destination, signal string }

// MarshalText implements encoding.TextMarshaler.
func (r row) MarshalText() ([]byte, error) { return []byte(r.destination + "/" + r.signal), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *row) UnmarshalText(text []byte) error {
	var ok bool
	if r.destination, r.signal, ok = strings.Cut(string(text), "/"); !ok {
		return fmt.Errorf("%q is no destination/signal", text)
	}
	return nil
}

// cell is a row and a tenant.
type cell struct {
	row
	tenant string
}

// MarshalText implements encoding.TextMarshaler.
func (c cell) MarshalText() ([]byte, error) {
	return []byte(c.destination + "/" + c.signal + "/" + c.tenant), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *cell) UnmarshalText(text []byte) error {
	parts := strings.SplitN(string(text), "/", 3)
	if len(parts) != 3 {
		return fmt.Errorf("%q is no destination/signal/tenant", text)
	}
	c.row, c.tenant = row{parts[0], parts[1]}, parts[2]
	return nil
}
