package role

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/app"
	"github.com/penstock-otel/penstock/internal/audit"
	"github.com/penstock-otel/penstock/internal/broker"
	"github.com/penstock-otel/penstock/internal/config"
	"github.com/penstock-otel/penstock/internal/fleet"
	"github.com/penstock-otel/penstock/internal/identity"
	"github.com/penstock-otel/penstock/internal/job"
	"github.com/penstock-otel/penstock/internal/ledger"
	"github.com/penstock-otel/penstock/internal/queuewatch"
	"github.com/penstock-otel/penstock/internal/reload"
	"github.com/penstock-otel/penstock/internal/settings"
	"github.com/penstock-otel/penstock/internal/tenant"
	"github.com/penstock-otel/penstock/internal/topology"
	"github.com/penstock-otel/penstock/pkg/queue"
)

// StartServer runs the embedded NATS server until the app stops; package
// broker/local has it. A role without it needs queue.url.
type StartServer func(ctx context.Context, a *app.App, c broker.Config, log *slog.Logger, files *config.TLSFiles) (broker.Server, error)

// Process is what a role runs with.
type Process struct {
	Settings *settings.Settings
	Loaded   *config.Loaded
	// Read reads the settings from the same sources again, for a reload. nil: they
	// cannot be.
	Read func() (*settings.Settings, *config.Loaded, error)
	// Server is for roles that may embed the queue.
	Server StartServer
	// Alerter makes an alerter; package alerter has it. nil in a role that runs none.
	Alerter alerting.Make
	// Rules are more rule files than alerter.rules names.
	Rules []string
	// drains is a role that only takes from the queue: what the servers promise
	// is the concern of those that answer for what they put in, and a queue
	// that cannot be verified must be drained all the same.
	drains bool
	// Out gets what a debug destination prints, Log the log. Default: standard
	// output and standard error.
	Out, Log io.Writer
}

// base is what every role has.
type base struct {
	p    Process
	s    *settings.Settings
	app  *app.App
	log  *slog.Logger
	reg  *prometheus.Registry
	auth *identity.Authenticator
	// id is how the others see this process.
	id, host string
	// audit takes what operators do and who is not let in, from the start on.
	audit audit.Recorder
	trail *audit.Log // the same, nil when it is off
	admin *admin.Server
	api   *api.API
	// files are the certificate files in use.
	files *config.TLSFiles
	// reload has the settings that run now; s are those of the start.
	reload *reload.Reloader
	queue  queue.Queue // nil until it is open
	// server is the embedded queue, nil when it is elsewhere.
	server broker.Server
	// presence is what the others see of this process.
	presence *presence
	eye      *fleet.Eye // for the others
	// tenants bounds what each may send, and says where its data may go.
	tenants *tenant.Registry
	// keeper of the ledger, nil in a role that puts nothing in.
	keeper *ledger.Keeper
}

// run is the life of a process: health first, then the role's start, then the
// wait, then everything undone.
func run(ctx context.Context, name string, p Process, start func(context.Context, *base) error) error {
	if p.Out == nil {
		p.Out = os.Stdout
	}
	if p.Log == nil {
		p.Log = os.Stderr
	}
	hangups, release := app.Hangups() // from now on: one that comes during the start must not end the process
	defer release()
	tuneCollector()
	log, level, err := p.Settings.Log.Logger(p.Log)
	if err != nil {
		return err
	}
	b := &base{p: p, s: p.Settings, log: log, reg: prometheus.NewRegistry(), files: new(config.TLSFiles)}
	var counts *tenant.Metrics // of what comes in
	if !p.drains {
		counts = tenant.NewMetrics(b.reg)
	}
	b.tenants = tenant.New(b.s.Tenants, int64(b.s.Gateway.Limits.MaxInFlightBytes), counts)
	if b.host, err = os.Hostname(); err != nil || b.host == "" {
		b.host = "unknown"
	}
	b.id = fleet.NewID(name, b.host)
	b.app = app.New(name, log)
	b.app.DrainDelay = time.Duration(p.Settings.Stop.DrainDelay)
	b.app.StopTimeout = time.Duration(p.Settings.Stop.Timeout)
	b.makeAudit()
	b.makeReload(level)
	return b.app.Run(ctx, func(ctx context.Context, _ *app.App) error {
		b.reg.MustRegister(newCertificates(b.files))
		b.beginAudit()
		var err error
		if b.auth, err = identity.New(ctx, b.s.Auth, identity.Options{Registry: b.reg, Logger: b.log}); err != nil {
			return err
		}
		b.app.OnStop("stop fetching the keys of issuers", 5*time.Second, func(context.Context) error { b.auth.Close(); return nil })
		b.reload.Add(reload.Part{Name: "auth", Keys: []string{"auth"}, Prepare: func(s *settings.Settings) (func(), error) { return b.auth.Prepare(s.Auth) }})
		b.shareTenants()
		if err := b.serveAdmin(); err != nil {
			return err
		}
		if err := start(ctx, b); err != nil {
			return err
		}
		b.startAudit()
		b.watchCertificates()
		b.openReload(hangups)
		b.releaseImage()
		return nil
	})
}

func (b *base) serveAdmin() error {
	if b.s.Admin.Listen == "" {
		return nil
	}
	var err error
	b.admin, err = admin.New(admin.Options{Config: b.s.Admin, Name: b.app.Name(), Registry: b.reg, State: b.app.State(),
		TLSFiles: b.files, Auth: b.auth, EffectiveConfig: b.reload.Print, BuildInfo: app.Version(), Denied: b.denied, Logger: b.log})
	if err != nil {
		return err
	}
	b.api = api.New(b.admin, b.audit, b.log)
	b.admin.Handle(reload.Route, b.admin.Administrator(b.reload))
	b.admin.Start(b.app)
	b.auditStatus()
	b.status("configuration", b.reload.View)
	b.status("totals", func(context.Context) any {
		t, err := ReadTotals(b.reg)
		if err != nil {
			return map[string]string{"error": err.Error()}
		}
		return t
	})
	return nil
}

// readiness adds a check to /readyz.
func (b *base) readiness(name string, check func(context.Context) error) {
	if b.admin != nil {
		b.admin.AddCheck(name, check)
	}
}

// status adds a section to the status.
func (b *base) status(name string, section func(context.Context) any) {
	if b.admin != nil {
		b.admin.AddStatus(name, section)
	}
}

// openQueue connects to the queue, or runs it and connects.
func (b *base) openQueue(ctx context.Context) (queue.Queue, topology.Plan, error) {
	c := b.s.Queue
	c.AllowUnverified = c.AllowUnverified || b.p.drains
	if c.Embedded() && b.p.Server != nil {
		var err error
		if b.server, err = b.p.Server(ctx, b.app, c, b.log, b.files); err != nil {
			return nil, topology.Plan{}, err
		}
		b.reg.MustRegister(newDisk(c.Dir))
	}
	q, err := broker.Open(ctx, c, b.server, "penstock-"+b.app.Name(), app.Component(b.log, "queue"), b.files)
	if err != nil {
		return nil, topology.Plan{}, err
	}
	b.app.OnStop("close the queue", 10*time.Second, func(context.Context) error { return q.Close() })
	b.queue = q
	b.endAudit()
	b.readiness("queue", q.Ready)
	return q, b.s.Plan(c.Budget(b.server)), nil
}

// serveQueue tells the others of this process, looks at the queue and answers for
// it, until everything that counts has stopped: it is called before that is
// started. takes is a process that puts something in; those keep the ledger.
func (b *base) serveQueue(ctx context.Context, q queue.Queue, plan topology.Plan, takes bool) *queuewatch.Watch {
	b.presence = b.present(ctx, q, takes)
	w := queuewatch.New(q, plan, b.reg)
	all := &whole{own: w, q: q, plan: plan}
	if takes {
		b.keeper = b.ledger(q, plan)
		w.Count(b.keeper)
		all.items = b.keeper
	}
	b.app.Go("queue watch", w.Run)
	b.app.Go("watch of other destinations", all.run)
	b.status("queue", func(ctx context.Context) any { return all.Fresh(ctx, time.Second) })
	b.eye = fleet.NewEye(q)
	b.app.Go("watch of other processes", func(ctx context.Context) error { return watchFleet(ctx, b.eye) })
	b.reload.Add(reload.Part{Name: "replays", Keys: []string{"replay.rate"}, Prepare: untouched}) // asked for at each job
	if b.api != nil {
		b.api.Attach(&api.Backend{Queue: q, Plan: plan, Process: b.presence.id, Fleet: b.eye, Watch: all, Jobs: job.NewStore(q),
			Recorder: ledger.NewRecorder(q), ReplayRate: b.replayRate()})
		b.app.OnStop("end taps, and answer for the queue no more", 5*time.Second, func(context.Context) error {
			b.api.Detach()
			return nil
		})
	}
	return w
}

// makeStreams makes what the plan wants and is not there.
func (b *base) makeStreams(ctx context.Context, q queue.Provisioner, plan topology.Plan) error {
	if err := topology.Apply(ctx, q, plan); err != nil {
		return fmt.Errorf("make streams and consumers: %w", err)
	}
	if b.server != nil {
		if err := b.server.LimitCaches(); err != nil {
			b.log.Warn("the queue will use more memory than it needs", "error", err)
		}
	}
	return nil
}
