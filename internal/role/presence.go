package role

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/otlp"
	"github.com/penstock-otel/penstock/internal/worker"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// tellTimeout bounds the last telling of a process, and the questions of each.
const tellTimeout = 3 * time.Second

// presence is what a process tells the others of itself.
type presence struct {
	b       *base
	id      string
	host    string
	began   time.Time
	takes   bool   // it has a gateway
	volume  string // directory of the embedded queue, "" without
	exports atomic.Pointer[exports]
	alerts  bool                 // it runs an alerter
	to      []worker.Destination // of a process that has a worker, which tells more once it runs

	// Of the last telling; the keeper's goroutine alone.
	before moment
	took   *fleet.Gateway
	used   *fleet.Resources
}

// exports is what a worker tells.
type exports func() ([]fleet.Destination, []fleet.Tally)

// moment is what rates are made of.
type moment struct {
	at       time.Time
	accepted [otlp.NumSignals]float64
	cpu      float64
}

// present tells the others of this process from now until everything that it
// counts is done: it is called before the parts that count are started.
func (b *base) present(ctx context.Context, store queue.Store, takes bool) *presence {
	p := &presence{b: b, id: b.id, host: b.host, began: time.Now(), takes: takes}
	if b.server != nil {
		p.volume = b.s.Queue.Dir
	}
	if name := b.app.Name(); name == fleet.RoleWorker || name == fleet.RoleUp {
		p.to = b.s.EffectiveDestinations()
	}
	p.alerts = b.p.Alerter != nil && (b.app.Name() == fleet.RoleAlerter || b.alerting(b.s).Enabled()) // from the first telling on: ranks are made of it
	k := fleet.Start(ctx, store, p.tell, app.Component(b.log, "fleet"))
	b.app.OnStop("tell the others that this process stops", tellTimeout, func(ctx context.Context) error {
		if err := k.Stop(ctx); err != nil { // the queue may be gone already, and all else is done
			b.log.Warn("the others will take this process for one that died", "error", err)
		}
		return nil
	})
	return p
}

// tell makes the value; see fleet.Keeper. What was exported is in it whatever else
// cannot be told: the ledger would take what is not there for lost.
func (p *presence) tell() fleet.Process {
	out := fleet.Process{ID: p.id, Role: p.b.app.Name(), Host: p.host, PID: os.Getpid(), Version: app.Version().Version, StartedAt: p.began.UTC(), Alerts: p.alerts}
	p.readiness(&out)
	if told := p.exports.Load(); told != nil {
		out.Destinations, out.Tallies = (*told)()
	} else {
		for _, d := range p.to {
			out.Destinations = append(out.Destinations, fleet.Destination{Name: d.Name, Protocol: d.Protocol, Endpoints: d.Endpoints})
		}
	}
	if p.volume != "" {
		out.Disk = readDisk(p.volume)
	}
	if err := p.measure(&out); err != nil {
		out.NotReady = err.Error()
		out.Gateway, out.Resources = p.took, p.used // as they were told before: counts only rise
	}
	p.took, p.used = out.Gateway, out.Resources
	return out
}

// measure tells what the metrics of the process say.
func (p *presence) measure(out *fleet.Process) error {
	now := time.Now()
	all, err := readSums(p.b.reg)
	if err != nil {
		return err
	}
	seconds := now.Sub(p.before.at).Seconds()
	next := moment{at: now, cpu: all.of("process_cpu_seconds_total")}
	r := &fleet.Resources{MemoryBytes: uint64(all.of("process_resident_memory_bytes")), HeapBytes: uint64(all.of("go_memstats_heap_alloc_bytes")),
		CPUSeconds: next.cpu, Goroutines: int(all.of("go_goroutines")),
		NetReceived: uint64(all.of("process_network_receive_bytes_total")), NetSent: uint64(all.of("process_network_transmit_bytes_total"))}
	if !p.before.at.IsZero() {
		r.CPUs = max(0, next.cpu-p.before.cpu) / seconds
	}
	out.Resources = r
	if p.takes {
		out.Gateway = p.gateway(all, &next, seconds)
	}
	p.before = next
	return nil
}

func (p *presence) readiness(out *fleet.Process) {
	state := p.b.app.State()
	out.Ready = state.Ready()
	if p.b.admin != nil {
		out.Admin = p.b.admin.Addr()
		ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
		defer cancel()
		r := p.b.admin.Readiness(ctx)
		out.Ready = r.Ready
		for _, c := range r.Checks {
			if !c.OK && out.NotReady == "" {
				out.NotReady = c.Name + ": " + c.Error
			}
		}
	}
	if !out.Ready && out.NotReady == "" {
		out.NotReady = state.Phase().String()
	}
}

// gateway is what came in.
func (p *presence) gateway(all sums, next *moment, seconds float64) *fleet.Gateway {
	g := &fleet.Gateway{Accepted: map[string]uint64{}, Refused: map[string]map[string]uint64{}, Rates: map[string]float64{}, Duplicates: map[string]uint64{},
		InFlightBytes: int64(all.of("penstock_receiver_in_flight_bytes"))}
	for _, s := range otlp.Signals {
		name := s.String()
		next.accepted[s] = all.of("penstock_receiver_accepted_" + s.Items() + "_total")
		g.Accepted[name] = uint64(next.accepted[s])
		if !p.before.at.IsZero() {
			g.Rates[name] = max(0, next.accepted[s]-p.before.accepted[s]) / seconds
		}
		if refused := all.by("penstock_receiver_refused_"+s.Items()+"_total", "reason"); len(refused) > 0 {
			g.Refused[name] = refused
		}
	}
	for signal, n := range all.by("penstock_queue_duplicate_items_total", "signal") {
		g.Duplicates[signal] = n
	}
	for signal, n := range all.by("penstock_receiver_unrouted_items_total", "signal") {
		if g.Unrouted == nil {
			g.Unrouted = map[string]uint64{}
		}
		g.Unrouted[signal] = n
	}
	return g
}

// readDisk is the volume of a directory; nil when it cannot be asked.
func readDisk(dir string) *fleet.Disk {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil
	}
	d := &fleet.Disk{Path: dir, Free: st.Bavail * uint64(st.Bsize), Total: st.Blocks * uint64(st.Bsize)}
	d.Written, d.Read = readIO()
	return d
}
