package api

import (
	"context"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/queuewatch"
)

// Status is the whole picture, as the process that answers sees it. Before it has
// its queue there is only what it says of itself.
type Status struct {
	admin.Status
	At time.Time `json:"at"`
	// OK: the sums add up, every required durable is there, and every process
	// that lives is ready.
	OK       bool     `json:"ok" doc:"The sums add up, every required consumer is there, and every running process is ready."`
	Problems []string `json:"problems" doc:"Why not, each with what to do."`

	Queue        *queuewatch.View `json:"queue,omitempty"`
	Destinations []Destination    `json:"destinations"`
	Processes    []fleet.Sighting `json:"processes"`
	Disks        []Disk           `json:"disks" doc:"Volumes under embedded queues."`
	Ledger       *ledger.Ledger   `json:"ledger,omitempty"`
	Jobs         []JobView        `json:"jobs" doc:"Replays and redrives that have not ended."`
}

// Disk is the volume under an embedded queue, as its process tells it.
type Disk struct {
	Process string `json:"process"`
	Host    string `json:"host"`
	fleet.Disk
}

// Destinations is all that have a place in the queue or a worker.
type Destinations struct {
	Destinations []Destination `json:"destinations"`
}

// Processes is who tells of itself.
type Processes struct {
	Processes []fleet.Sighting `json:"processes"`
}

// registerStatus adds what is seen of the whole.
func (a *API) registerStatus() {
	huma.Register(a.huma, read("get-status", "/status", "queue", "The whole picture: this process, streams, destinations, processes, disks, ledger, jobs"),
		func(ctx context.Context, _ *struct{}) (*answer[Status], error) {
			return &answer[Status]{a.status(ctx)}, nil
		})
	huma.Register(a.huma, read("get-queue", "/queue", "queue", "Streams and what each destination has not taken"),
		func(ctx context.Context, _ *struct{}) (*answer[queuewatch.View], error) {
			b, err := a.with()
			if err != nil {
				return nil, err
			}
			return &answer[queuewatch.View]{b.Watch.Fresh(ctx, fresh)}, nil
		})
	huma.Register(a.huma, read("list-destinations", "/destinations", "queue", "Destinations: lag, rate, breaker, pool, last error, and who exports to them"),
		func(ctx context.Context, _ *struct{}) (*answer[Destinations], error) {
			b, err := a.with()
			if err != nil {
				return nil, err
			}
			seen, err := b.Fleet.Look(ctx)
			if err != nil && len(seen) == 0 {
				return nil, problem(err)
			}
			view := b.Watch.Fresh(ctx, fresh)
			return &answer[Destinations]{Destinations{destinations(b.Plan, view, seen)}}, nil
		})
	huma.Register(a.huma, read("list-processes", "/processes", "queue", "Gateways, workers and alerters that tell of themselves"),
		func(ctx context.Context, _ *struct{}) (*answer[Processes], error) {
			b, err := a.with()
			if err != nil {
				return nil, err
			}
			seen, err := b.Fleet.Look(ctx)
			if err != nil && len(seen) == 0 {
				return nil, problem(err)
			}
			return &answer[Processes]{Processes{append([]fleet.Sighting{}, seen...)}}, nil
		})
}

// fresh is how old a look at the queue may be that people are shown.
const fresh = time.Second

// status asks everyone; what cannot be had is a problem of the picture and not an
// error of the answer.
func (a *API) status(ctx context.Context) (s Status) {
	s = Status{Status: a.port.Status(ctx), At: time.Now().UTC(), Problems: []string{}, Destinations: []Destination{}, Processes: []fleet.Sighting{}, Disks: []Disk{}, Jobs: []JobView{}}
	defer func() { s.OK = len(s.Problems) == 0 }()
	if !s.Ready {
		s.Problems = append(s.Problems, "this process is not ready: "+notReady(s.Status))
	}
	b, err := a.with()
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
		return s
	}
	trouble := func(err error) {
		if err != nil {
			s.Problems = append(s.Problems, err.Error())
		}
	}
	// What has a field of its own is not said twice.
	s.Sections = slices.DeleteFunc(s.Sections, func(x admin.Section) bool { return x.Name == "queue" || x.Name == "ledger" })
	view := b.Watch.Fresh(ctx, fresh)
	s.Queue = &view
	if view.Error != "" {
		s.Problems = append(s.Problems, "the queue could not be looked at: "+view.Error)
	}
	seen, err := b.Fleet.Look(ctx)
	trouble(err)
	s.Processes = append(s.Processes, seen...)
	s.Destinations = destinations(b.Plan, view, seen)
	for _, p := range seen {
		if p.State == fleet.Alive && !p.Ready && p.ID != b.Process {
			s.Problems = append(s.Problems, "process "+p.ID+" is not ready: "+p.NotReady)
		}
		if p.Disk != nil && (p.State == fleet.Alive || p.State == fleet.IsLate) {
			s.Disks = append(s.Disks, Disk{Process: p.ID, Host: p.Host, Disk: *p.Disk})
		}
	}
	if l, err := ledger.Read(ctx, b.Queue); err != nil {
		trouble(err)
	} else {
		s.Ledger = &l
		s.Problems = append(s.Problems, l.Problems...)
	}
	jobs, err := b.Jobs.List(ctx, "")
	trouble(err)
	for _, j := range jobs {
		if !j.Phase.Ended() {
			s.Jobs = append(s.Jobs, View(j))
		}
	}
	return s
}

// notReady says why.
func notReady(s admin.Status) string {
	for _, c := range s.Checks {
		if !c.OK {
			return c.Name + ": " + c.Error
		}
	}
	return s.Phase
}
