package jetstream

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/penstock-otel/penstock/pkg/queue"
	"github.com/penstock-otel/penstock/pkg/queue/jetstream/embedded"
)

const childDir = "PENSTOCK_TEST_CHILD_DIR"

// childMain turns the test binary into a publisher, if it was started as one. It
// says on stdout what was confirmed, and is killed by its parent.
func childMain() {
	serveMain()
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	ctx := context.Background()
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	s, err := embedded.Start(ctx, embedded.Config{Dir: dir, SyncAlways: true, MaxStoreBytes: 1 << 30})
	if err != nil {
		fail(err)
	}
	q, err := Open(ctx, Config{Conn: s})
	if err != nil {
		fail(err)
	}
	if err := q.EnsureStream(ctx, queue.StreamConfig{Name: "KILL_0", MaxBytes: 512 << 20}); err != nil {
		fail(err)
	}
	for w := range 4 {
		go func() { // until killed
			body := make([]byte, 20_000)
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, i)
				copy(body, id)
				r, err := q.Publish(ctx, "KILL_0", &queue.Message{ID: id, Body: body})
				if err != nil {
					fail(err)
				}
				// One write: a line is whole or absent.
				if _, err := os.Stdout.WriteString(fmt.Sprintf("ok %d %s\n", r.Sequence, id)); err != nil {
					os.Exit(1)
				}
			}
		}()
	}
	select {}
}

// TestKill kills a publishing process three times. All that it said was
// confirmed must be there, with what it was.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	confirmed := map[uint64]string{}
	for round := range 3 {
		for seq, id := range killOne(t, dir, 100+50*round) {
			confirmed[seq] = id
		}
	}
	s := serve(t, embedded.Config{Dir: dir, SyncAlways: true, MaxStoreBytes: 1 << 30})
	q := openQueue(t, Config{Conn: s})
	for seq, id := range confirmed {
		m, _, err := q.Get(t.Context(), "KILL_0", seq)
		if err != nil || m.ID != id || !strings.HasPrefix(string(m.Body), id) || len(m.Body) != 20_000 {
			t.Fatalf("confirmed %s at sequence %d: found %+v, %v", id, seq, m, err)
		}
	}
	st, err := q.StreamState(t.Context(), "KILL_0")
	if err != nil || st.Messages < uint64(len(confirmed)) {
		t.Fatalf("%d messages of %d confirmed: %v", st.Messages, len(confirmed), err)
	}
}

// killOne starts a child, and kills it after so many confirmations.
func killOne(t *testing.T, dir string, after int) map[uint64]string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	confirmed := map[uint64]string{}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 3 || f[0] != "ok" {
			t.Errorf("child says %q", lines.Text())
			break
		}
		seq, err := strconv.ParseUint(f[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		confirmed[seq] = f[2]
		if len(confirmed) == after {
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // "signal: killed"
	if len(confirmed) < after {
		t.Fatalf("%d confirmations before the child ended, want %d", len(confirmed), after)
	}
	return confirmed
}
