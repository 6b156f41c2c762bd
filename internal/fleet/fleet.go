// Package fleet lets processes know of each other: each keeps a value in the
// queue's store that says what it is and what it has done, and anyone reads them
// all.
//
//	gateway ──┐  every 5 s                      ┌──▶ penstock status
//	worker  ──┼─────────────▶ process/<id> ─────┼──▶ internal/ledger: tallies
//	up      ──┘  and at the stop, Stopped       └──▶ metrics
//
// # Guarantees
//
//   - A value is replaced as a whole, by its process alone. What a process counts
//     only rises while it lives, so the last value that is there is always a lower
//     bound of what it did.
//   - The value that a process leaves at a clean stop has everything it did. One
//     that was killed leaves what it told at most Every before.
//   - A value is never larger than the store takes: tenants are summed first.
//   - Nothing here removes a value by itself. That is for whoever has taken its
//     tallies over: internal/ledger.
//
// # Clocks
//
// Two machines' clocks are never trusted to agree. An Eye that watches judges a
// process by when it has itself seen the value change, by its own monotonic clock.
// At the first sight of a value there is only the time that the process wrote into
// it: then it is late after Late and gone after Gone by that, of which Skew is
// allowed for clocks that differ; a time in the future is age 0.
package fleet

import "time"

// Every is the pace at which a process tells of itself.
const Every = 5 * time.Second

// Ages of a process that says nothing any more.
const (
	Late = 3 * Every
	Gone = 12 * Every
	// Skew of clocks is allowed for at the first sight of a process.
	Skew = 30 * time.Second
)

// Roles.
const (
	RoleGateway = "gateway"
	RoleWorker  = "worker"
	RoleUp      = "up"
	RoleAlerter = "alerter"
)

// Process is what one process tells of itself.
type Process struct {
	ID        string    `json:"id"` // unique to this run of it; see NewID
	Role      string    `json:"role"`
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	At        time.Time `json:"at"`                // of this telling, by the process's clock; set by Keeper
	Stopped   bool      `json:"stopped,omitempty"` // it has told everything; set by Keeper
	Admin     string    `json:"admin,omitempty"`   // address of its admin API
	Ready     bool      `json:"ready"`
	NotReady  string    `json:"not_ready,omitempty"` // why
	Alerts    bool      `json:"alerts,omitempty"`    // it runs an alerter

	Gateway      *Gateway      `json:"gateway,omitempty"`
	Destinations []Destination `json:"destinations,omitempty"`
	Tallies      []Tally       `json:"tallies,omitempty"`
	Disk         *Disk         `json:"disk,omitempty"`
	Resources    *Resources    `json:"resources,omitempty"`
}

// Gateway is what a gateway took since it started, in items by signal.
type Gateway struct {
	Accepted map[string]uint64 `json:"accepted_items,omitempty"`
	// Refused is by signal and reason.
	Refused map[string]map[string]uint64 `json:"refused_items,omitempty"`
	// Duplicates were published again and found stored already: they are in the
	// queue once.
	Duplicates map[string]uint64 `json:"duplicate_items,omitempty"`
	// Unrouted of Accepted are of a signal that no destination takes.
	Unrouted map[string]uint64 `json:"unrouted_items,omitempty"`
	// Rates are accepted items a second by signal, over the last Every.
	Rates         map[string]float64 `json:"accepted_items_per_second,omitempty"`
	InFlightBytes int64              `json:"in_flight_bytes"`
}

// Destination is how one destination looks from this process.
type Destination struct {
	Name         string     `json:"name"`
	Protocol     string     `json:"protocol"`
	Endpoints    []string   `json:"endpoints,omitempty"`
	Breaker      string     `json:"breaker,omitempty"` // closed, open, half_open
	BreakerUntil *time.Time `json:"breaker_until,omitempty"`
	InFlight     int        `json:"in_flight_requests"`
	// Items by signal since the process started.
	Sent     map[string]uint64 `json:"sent_items,omitempty"`
	Rejected map[string]uint64 `json:"rejected_items,omitempty"`
	Dead     map[string]uint64 `json:"dead_lettered_items,omitempty"`
	Unwanted map[string]uint64 `json:"unwanted_items,omitempty"`

	LastError   *Error     `json:"last_error,omitempty"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
	Pool        *Pool      `json:"pool,omitempty"`
}

// Error is the last failure of a destination.
type Error struct {
	At   time.Time `json:"at"`
	Code string    `json:"code"`
	Text string    `json:"text"`
}

// Pool is the connections of a destination.
type Pool struct {
	Open      int    `json:"open_connections"`
	Ready     int    `json:"ready_connections"`
	InFlight  int    `json:"in_flight_calls"`
	Waiting   int    `json:"waiting_calls"`
	Dials     uint64 `json:"dials"`
	Calls     uint64 `json:"calls"`
	Failures  uint64 `json:"failed_calls"`
	Endpoints []Peer `json:"endpoints,omitempty"`
}

// Peer is one endpoint of a pool.
type Peer struct {
	Address  string     `json:"address"`
	Open     int        `json:"open_connections"`
	Ready    int        `json:"ready_connections"`
	InFlight int        `json:"in_flight_calls"`
	Down     *time.Time `json:"down_since,omitempty"`
}

// Tally is what a process has done of the durables of a destination, in items
// since it started. Every number only rises. An item is counted when its message
// is done and before it is acknowledged, once, in one of Exported, Rejected, Dead and
// Unwanted; items of a message that is given back are in none. What is replayed or
// redriven is not of a durable, and never in here.
type Tally struct {
	Destination string `json:"destination"`
	Signal      string `json:"signal"`
	Tenant      string `json:"tenant,omitempty"`
	Exported    uint64 `json:"exported_items"`
	Rejected    uint64 `json:"rejected_items"` // by the destination, in partial successes
	Dead        uint64 `json:"dead_lettered_items"`
	Unwanted    uint64 `json:"unwanted_items,omitempty"` // by the destination's own routes; never sent
	// Unrouted of Unwanted no other destination wants either. One destination of a
	// signal counts them for all.
	Unrouted uint64 `json:"unrouted_items,omitempty"`
	// PossibleDuplicates of Exported may have been exported before: by an
	// attempt of which nobody knows how it ended.
	PossibleDuplicates uint64 `json:"possible_duplicate_items"`
	Messages           uint64 `json:"settled_messages"`
}

// OtherTenants is the tenant of a tally that sums what had no room of its own. No
// tenant can have that name: it is no header token.
const OtherTenants = "(others)"

// Disk is the volume under an embedded queue.
type Disk struct {
	Path    string `json:"path"`
	Free    uint64 `json:"free_bytes"`
	Total   uint64 `json:"size_bytes"`
	Written uint64 `json:"written_bytes"` // by this process since it started
	Read    uint64 `json:"read_bytes"`
}

// Resources of the process.
type Resources struct {
	MemoryBytes uint64  `json:"memory_bytes"` // resident
	HeapBytes   uint64  `json:"heap_bytes"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	CPUs        float64 `json:"cpus"` // used over the last Every; 1 is one core
	Goroutines  int     `json:"goroutines"`
	NetReceived uint64  `json:"network_received_bytes,omitempty"`
	NetSent     uint64  `json:"network_sent_bytes,omitempty"`
}
