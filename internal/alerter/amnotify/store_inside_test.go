package amnotify

import (
	"testing"

	"github.com/prometheus/alertmanager/nflog"
)

// TestKeptForTheNextNotification: what an integration keeps comes back to it, and
// what another version kept does no harm. Slack's names are in its source; it
// changes messages at slack.com alone, so no test sees it do so.
func TestKeptForTheNextNotification(t *testing.T) {
	s := nflog.NewStore(nil)
	if b := keep(s); b != nil {
		t.Errorf("nothing is kept as %s", b)
	}
	s.SetStr("threadTs", "1.2")
	s.SetStr("channelId", "C1")
	b := keep(s)
	if string(b) != `{"channelId":"C1","threadTs":"1.2"}` {
		t.Errorf("kept %s", b)
	}
	next := nflog.NewStore(nil)
	restore(next, b)
	for name, want := range map[string]string{"threadTs": "1.2", "channelId": "C1"} {
		if got, _ := next.GetStr(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	empty := nflog.NewStore(nil)
	for _, bad := range []string{"", "x", `[]`, `{"other":"1"}`} {
		restore(empty, []byte(bad))
	}
	if keep(empty) != nil {
		t.Error("what is not known is restored")
	}
}

func TestReceiverOf(t *testing.T) {
	for target, want := range map[string]string{"a/webhook/0": "a", "a/b/slack/12": "a/b", "a": "a", "": ""} {
		if got := receiverOf(target); got != want {
			t.Errorf("%q: %q", target, got)
		}
	}
}
