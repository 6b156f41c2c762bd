package integration

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

var clusterStreams = []string{"PENSTOCK_TRACES_0", "PENSTOCK_METRICS_0", "PENSTOCK_LOGS_0"}

// clustered is two gateways and a worker on a cluster of three, under load.
type clustered struct {
	*harness.Cluster
	broker   *harness.Broker
	sink     *harness.Sink
	ledger   *harness.Ledger
	load     *harness.Load
	gateways []*harness.Role
	worker   *harness.Role
}

func startClustered(t *testing.T, isle *harness.Isle) *clustered {
	t.Helper()
	quickRedelivery(t)
	c := &clustered{Cluster: harness.NewCluster(t, isle), sink: harness.NewSink(t), ledger: harness.NewLedger(harness.Seed(t))}
	q := harness.Queue{URL: c.URL, MonitorURLs: c.MonitorURLs, Durability: "replicated", Replicas: 3, MaxBytes: "2GiB"}
	destination := harness.GRPCDestination(c.sink.GRPCAddr)
	onIsle := q
	if isle != nil { // connected to the server that will be cut off, and told of the others by it
		onIsle.URL = c.Nodes[2].URL
	}
	for _, q := range []harness.Queue{onIsle, q} {
		g := harness.NewGateway(t, q, destination)
		g.Start()
		c.gateways = append(c.gateways, g)
	}
	c.worker = harness.NewWorker(t, onIsle, destination)
	c.worker.Start()
	c.broker = harness.DialBroker(t, c.URL)
	c.load = harness.StartLoad(t, c.ledger, harness.LoadConfig{GRPC: c.gateways[0].GRPCAddr, HTTP: c.gateways[1].HTTPAddr, Retry: true, Pause: 5 * time.Millisecond, Patience: 12 * time.Second})
	underLoad(t, c.ledger, 100)
	return c
}

// goesOn wants that the clients of both gateways are answered and the worker
// delivers, all within the time, with nobody's help.
func (c *clustered) goesOn(t *testing.T, within time.Duration, after string) {
	t.Helper()
	began := time.Now()
	acked, arrived := c.ledger.Counts().Acked, c.sink.Arrived().Distinct
	accepted := make([]float64, len(c.gateways))
	sum := func(g *harness.Role) float64 {
		m := g.Scrape()
		return m.Sum("penstock_receiver_accepted_spans_total") + m.Sum("penstock_receiver_accepted_metric_points_total") + m.Sum("penstock_receiver_accepted_log_records_total")
	}
	for i, g := range c.gateways {
		accepted[i] = sum(g)
	}
	harness.Until(t, within, func() string {
		return fmt.Sprintf("service again after %s: %d requests acknowledged, %d items arrived meanwhile", after, c.ledger.Counts().Acked-acked, c.sink.Arrived().Distinct-arrived)
	}, func() bool {
		for i, g := range c.gateways {
			if sum(g) < accepted[i]+1000 {
				return false
			}
		}
		return c.ledger.Counts().Acked > acked+50 && c.sink.Arrived().Distinct > arrived+5000
	})
	t.Logf("service after %s within %s", after, time.Since(began).Round(10*time.Millisecond))
}

// healed wants all copies up to date.
func (c *clustered) healed(t *testing.T, within time.Duration) {
	t.Helper()
	harness.Until(t, within, func() string { return "all copies of all streams are up to date" }, func() bool {
		for _, s := range clusterStreams {
			if !c.broker.Current(s) {
				return false
			}
		}
		return true
	})
}

// end stops the load and checks the account.
func (c *clustered) end(t *testing.T) {
	t.Helper()
	c.load.Stop()
	c.ledger.Check(t, c.sink, 90*time.Second)
	assertBounded(t, append(c.gateways, c.worker)...)
	for _, r := range append([]*harness.Role{c.worker}, c.gateways...) {
		r.Terminate()
	}
}

// TestClusterNodeKilled: I1 and I2 through kill -9 of each server in turn, the
// leader of a stream among them, and its coming back.
func TestClusterNodeKilled(t *testing.T) {
	c := startClustered(t, nil)
	r := rand.New(rand.NewPCG(c.ledger.Seed, 4))
	for i, n := range []int{0, 1, 2} {
		node := c.Nodes[n]
		if i == 0 { // one that leads for certain
			leader := c.broker.Leader(clusterStreams[r.IntN(3)])
			for _, o := range c.Nodes {
				if o.Name == leader {
					node = o
				}
			}
		}
		pause(r)
		node.Kill()
		c.goesOn(t, 45*time.Second, "kill -9 of "+node.Name)
		node.Start()
		c.goesOn(t, 45*time.Second, "the return of "+node.Name)
		c.healed(t, 60*time.Second)
	}
	c.end(t)
}

// TestClusterLeaderMoves: the leaders of streams and durables change under load.
func TestClusterLeaderMoves(t *testing.T) {
	c := startClustered(t, nil)
	for range 3 {
		for _, s := range clusterStreams {
			before := c.broker.Leader(s)
			c.broker.StepDown(s, "")
			harness.Until(t, 30*time.Second, func() string { return s + " has another leader than " + before }, func() bool {
				now := c.broker.Leader(s)
				return now != "" && now != before
			})
			c.broker.StepDown(s, "export-backend")
		}
		c.goesOn(t, 30*time.Second, "new leaders")
	}
	c.end(t)
}

// TestClusterNodeCutOff: one server is cut off from the others and from its
// clients, without a word, and comes back. Whoever was connected to it has to
// find out alone.
func TestClusterNodeCutOff(t *testing.T) {
	isle := harness.NewIsle(t)
	c := startClustered(t, isle)
	// It leads a stream, so that the cut is felt by all.
	led := clusterStreams[c.ledger.Seed%3]
	harness.Until(t, 60*time.Second, func() string { return c.Nodes[2].Name + " leads " + led }, func() bool {
		now := c.broker.Leader(led)
		if now != "" && now != c.Nodes[2].Name {
			c.broker.StepDown(led, "")
			time.Sleep(300 * time.Millisecond) // an election
		}
		return now == c.Nodes[2].Name
	})
	isle.Cut()
	c.goesOn(t, 90*time.Second, "the cut")
	if now := c.broker.Leader(led); now == c.Nodes[2].Name {
		t.Errorf("%s still leads %s: nothing was cut", now, led)
	}
	isle.Mend()
	c.goesOn(t, 60*time.Second, "its mending")
	c.healed(t, 90*time.Second)
	c.end(t)
}
