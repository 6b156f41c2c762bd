package jetstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const serveConfig = "PENSTOCK_TEST_NATS_CONFIG"

// serveMain turns the test binary into a nats-server, if it was started as one.
func serveMain() {
	file := os.Getenv(serveConfig)
	if file == "" {
		return
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s, err := server.NewServer(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.Start()
	s.WaitForShutdown() // it is killed before
	os.Exit(1)
}

// processes is a cluster of servers that can be killed, with the accounts of
// clusterConfig.
type processes struct {
	t        *testing.T
	urls     string
	configs  []string // file names
	monitors []string // URLs
	running  []*exec.Cmd
}

func newProcesses(t *testing.T, n int) *processes {
	t.Helper()
	c := &processes{t: t, running: make([]*exec.Cmd, n)}
	ports := freePorts(t, 3*n)
	var routes, urls []string
	for i := range n {
		routes = append(routes, fmt.Sprintf("nats-route://127.0.0.1:%d", ports[3*i]))
		urls = append(urls, fmt.Sprintf("nats://app:pw@127.0.0.1:%d", ports[3*i+1]))
		c.monitors = append(c.monitors, fmt.Sprintf("http://127.0.0.1:%d", ports[3*i+2]))
	}
	c.urls = strings.Join(urls, ",")
	for i := range n {
		text := fmt.Sprintf(clusterConfig, fmt.Sprintf("n%d", i), t.TempDir())
		text = strings.Replace(text, "127.0.0.1:-1", fmt.Sprintf("127.0.0.1:%d", ports[3*i+1]), 1)
		text += fmt.Sprintf("http: \"127.0.0.1:%d\"\ncluster { name: test, listen: \"127.0.0.1:%d\", routes: [%s] }\n",
			ports[3*i+2], ports[3*i], strings.Join(routes, ", "))
		file := filepath.Join(t.TempDir(), "nats.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c.configs = append(c.configs, file)
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range n {
			c.kill(i)
		}
	})
	for i := range n {
		c.healthy(i)
	}
	return c
}

// start starts a server, also once more on what it has left.
func (c *processes) start(i int) {
	c.t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), serveConfig+"="+c.configs[i])
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.running[i] = cmd
}

// kill leaves the server no time for anything.
func (c *processes) kill(i int) {
	if c.running[i] == nil {
		return
	}
	_ = c.running[i].Process.Kill() // fails only if it has ended
	_ = c.running[i].Wait()         // "signal: killed"
	c.running[i] = nil
}

// healthy waits until a server has caught up with the others.
func (c *processes) healthy(i int) {
	c.t.Helper()
	untilWithin(c.t, time.Minute, fmt.Sprintf("server %d is healthy", i), func() bool { return c.get(i, "/healthz", nil) == nil })
}

func (c *processes) get(i int, page string, answer any) error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(c.monitors[i] + page)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to the end
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// state is what one server has of a stream.
func (c *processes) state(i int, stream string) server.StreamState {
	c.t.Helper()
	var page server.JSInfo
	if err := c.get(i, "/jsz?acc=APP&streams=1", &page); err != nil {
		c.t.Fatal(err)
	}
	for _, a := range page.AccountDetails {
		for _, s := range a.Streams {
			if s.Name == stream {
				return s.State
			}
		}
	}
	return server.StreamState{}
}

// leader is the number of the server that leads a stream.
func (c *processes) leader(q *Queue, stream string) (number int) {
	c.t.Helper()
	until(c.t, "a leader of "+stream, func() bool {
		s, err := q.js.Stream(c.t.Context(), stream)
		if err != nil {
			return false
		}
		_, err = fmt.Sscanf(s.CachedInfo().Cluster.Leader, "n%d", &number)
		return err == nil
	})
	return number
}

// stepDown moves the leader of a stream, and of one of its consumers.
func (c *processes) stepDown(q *Queue, stream, consumer string) {
	c.t.Helper()
	subjects := []string{"$JS.API.STREAM.LEADER.STEPDOWN." + stream}
	if consumer != "" {
		subjects = append(subjects, "$JS.API.CONSUMER.LEADER.STEPDOWN."+stream+"."+consumer)
	}
	for _, subject := range subjects {
		until(c.t, "a step down is taken", func() bool {
			m, err := q.control.nc.Request(subject, nil, 2*time.Second)
			return err == nil && strings.Contains(string(m.Data), `"success":true`)
		})
	}
	c.leader(q, stream)
}
