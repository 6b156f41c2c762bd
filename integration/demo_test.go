package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/integration/harness"
)

// TestDemoAlert is a newcomer's second and third minute: an alert of the demo fires,
// somebody takes it, it ends, and all of that is in the history.
func TestDemoAlert(t *testing.T) {
	up := harness.NewDemo(t, harness.Queue{Dir: t.TempDir(), Durability: "process", MaxBytes: "1GiB"})
	up.Start()
	var list struct {
		Incidents []struct{ ID, Title, State string }
	}
	harness.Until(t, 2*time.Minute, func() string { return "the demo's boiler runs hot" }, func() bool {
		up.Read(&list, "alerts", "ls")
		return len(list.Incidents) == 1
	})
	i := list.Incidents[0]
	if i.Title != "DemoBoilerHot" || i.State != "open" {
		t.Errorf("%+v", i)
	}
	if out, code := up.Ask("alerts", "ack", i.ID[len(i.ID)-6:], "--comment", "I look", "--by", "ann"); code != 0 || !strings.Contains(out, "acked by ann") {
		t.Errorf("ack: exit code %d: %s", code, out)
	}
	if up.Read(&list, "alerts", "ls"); len(list.Incidents) != 1 || list.Incidents[0].State != "acked" {
		t.Errorf("after the ack: %+v", list)
	}
	harness.Until(t, 2*time.Minute, func() string { return "the boiler has cooled down" }, func() bool {
		up.Read(&list, "alerts", "ls")
		return len(list.Incidents) == 0
	})
	out, code := up.Ask("alerts", "show", i.ID)
	for _, want := range []string{"fires, warning", "was told of 1 firing", "is taken by ann: I look", "is resolved", "is over"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d: %q is not in\n%s", code, want, out)
		}
	}
	up.Terminate()
}
