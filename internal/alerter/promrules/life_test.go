package promrules_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/promrules"
)

// A new process that is fed the same has the same alerts, start times among them.
func TestARestartInTheMiddleOfForChangesNothing(t *testing.T) {
	feed := load(time.Minute, time.Hour)
	first := newRig(t, group(busy))
	first.run(4*time.Minute, feed)
	second := newRig(t, group(busy))
	second.run(4*time.Minute, feed)
	a, b := first.run(7*time.Minute, feed), second.run(7*time.Minute, feed)
	equal(t, a, []string{"6m0s firing Busy where=a"})
	equal(t, b, a)
	if x, y := first.evaluate(), second.evaluate(); !reflect.DeepEqual(x, y) || len(x.Active) != 1 {
		t.Errorf("%+v\n%+v", x, y)
	}
}

// A process that begins later, as far back as the rules need, has them too.
func TestWarmUpOverWhatTheRulesNeedIsEnough(t *testing.T) {
	rules := group("  - {record: mean, expr: \"avg_over_time(load[2m])\"}\n  - {alert: Mean, expr: mean > 80, for: 3m}")
	needs := promrules.NeedsOf([]*promrules.File{parse(t, "test.yaml", rules)}, 5*time.Minute)
	feed := load(20*time.Minute, time.Hour)
	first := newRig(t, rules)
	first.run(27*time.Minute, feed)
	second := newRig(t, rules)
	second.now = epoch.Add(24 * time.Minute).Add(-needs.Range).Truncate(15 * time.Second)
	if second.now.Before(epoch) {
		t.Fatalf("needs %s: the story is too short", needs.Range)
	}
	second.run(27*time.Minute, feed)
	x, y := first.evaluate(), second.evaluate()
	if !reflect.DeepEqual(x, y) || len(x.Active) != 1 || x.Active[0].State != promrules.Firing {
		t.Errorf("%+v\n%+v", x, y)
	}
}

func TestReloadKeepsWhatStays(t *testing.T) {
	feed := load(time.Minute, time.Hour)
	r := newRig(t, group(busy))
	r.run(4*time.Minute, feed)
	// Another annotation, another threshold, another rule before it.
	r.load(group("  - {alert: New, expr: load > 85, for: 1m}\n" + strings.ReplaceAll(strings.ReplaceAll(busy, "80", "70"), "is at", "stands at")))
	equal(t, r.run(7*time.Minute, feed), []string{"4m15s pending New where=a", "5m15s firing New where=a", "6m0s firing Busy where=a"})
	ev := r.evaluate()
	if len(ev.Active) != 2 || !ev.Active[0].ActiveAt.Equal(epoch.Add(time.Minute)) || !strings.Contains(ev.Active[0].Annotations.Get("summary"), "stands at") {
		t.Errorf("%+v", ev.Active)
	}
	r.now = r.now.Add(15 * time.Second)
	r.load(group("  - {alert: New, expr: load > 85, for: 1m}"))
	equal(t, r.run(8*time.Minute, feed), []string{"7m30s gone Busy where=a"})
}

func TestReloadIsAllOrNothing(t *testing.T) {
	feed := load(time.Minute, time.Hour)
	r := newRig(t, group(busy))
	r.run(4*time.Minute, feed)
	f := parse(t, "test.yaml", group(busy))
	if err := r.e.Load([]*promrules.File{f, f}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("%v", err)
	}
	equal(t, r.run(6*time.Minute, feed), []string{"6m0s firing Busy where=a"})
}

func TestSeriesOfAGroupThatIsGoneEnd(t *testing.T) {
	feed := load(0, time.Hour)
	r := newRig(t, group("  - {record: mean, expr: load}"))
	r.run(time.Minute, feed)
	r.now = r.now.Add(-15 * time.Second) // where it stands
	if v := r.value("mean"); v != 90 {
		t.Fatalf("mean is %v", v)
	}
	other := parse(t, "other.yaml", group(busy))
	if err := r.e.Load([]*promrules.File{other}); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(15 * time.Second)
	if list, err := r.e.Query(t.Context(), "mean", r.now); err != nil || len(list) != 0 {
		t.Errorf("%v, %v: want nothing", list, err)
	}
	if _, err := r.e.Evaluate(t.Context(), g, r.now); err == nil || !strings.Contains(err.Error(), "no rule group test.yaml;g") {
		t.Errorf("%v", err)
	}
}

// What cannot be evaluated is unknown, and not absent.
func TestARuleThatFailsIsNotAbsent(t *testing.T) {
	rules := group("  - {alert: Broken, expr: load > 80, labels: {where: same}}\n  - {alert: Fine, expr: load > 80}")
	r := newRig(t, rules)
	r.append(metrics(gauge("load", point{epoch, 90, "a"})))
	if ev := r.evaluate(); len(ev.Failed) != 0 || len(ev.Active) != 2 {
		t.Fatalf("%+v", ev)
	}
	r.now = r.now.Add(15 * time.Second)
	r.append(metrics(gauge("load", point{r.now, 90, "a"}, point{r.now, 90, "b"}))) // two alerts with the same labels
	ev := r.evaluate()
	if len(ev.Failed) != 1 || ev.Failed[0].Rule != "Broken" || ev.Failed[0].Err == nil || !reflect.DeepEqual(ev.Evaluated, []string{"Fine"}) {
		t.Errorf("%+v", ev)
	}
	if len(ev.Active) != 2 || ev.Active[0].Rule != "Fine" {
		t.Errorf("%+v", ev.Active)
	}
	r.now = r.now.Add(15 * time.Second)
	r.append(metrics(gauge("load", point{r.now, 10, "a"}, point{r.now, 90, "b"})))
	if ev := r.evaluate(); len(ev.Failed) != 0 || ev.Active[0].Rule != "Broken" || !ev.Active[0].ActiveAt.Equal(epoch) {
		t.Errorf("it did not go on as it was: %+v", ev)
	}
}

func TestTimeDoesNotGoBack(t *testing.T) {
	r := newRig(t, group(busy))
	r.evaluate()
	if _, err := r.e.Evaluate(t.Context(), g, epoch); err == nil || !strings.Contains(err.Error(), "not later") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.e.Evaluate(ctx, g, epoch.Add(time.Second)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSlotsAreTheSameEverywhere(t *testing.T) {
	a, b := newRig(t, group(busy)), newRig(t, group(busy))
	for i := range 100 {
		at := epoch.Add(time.Duration(i) * 1700 * time.Millisecond)
		x, ok := a.e.Slot(g, at)
		y, _ := b.e.Slot(g, at)
		if !ok || !x.Equal(y) || x.After(at) || at.Sub(x) >= 15*time.Second {
			t.Fatalf("at %s: %s and %s", at, x, y)
		}
	}
	if _, ok := a.e.Slot(promrules.GroupID{File: "x", Group: "y"}, epoch); ok {
		t.Error("a slot of no group")
	}
}

// A day of samples, so that blocks are cut, and what is needed can still be read.
func TestADayGoesBy(t *testing.T) {
	r := newRig(t, "groups: [{name: g, interval: 1m, rules: [{record: mean, expr: \"avg_over_time(load[3h])\"}, {alert: Half, expr: \"mean > 49 and mean < 51\"}]}]",
		func(o *promrules.Options) { o.Retention = 3 * time.Hour })
	fired := 0
	for i := range 24 * 60 {
		v := 100.0 * float64(i%2)
		r.append(metrics(gauge("load", point{r.now, v, "a"})))
		ev := r.evaluate()
		if len(ev.Failed) != 0 {
			t.Fatalf("after %s: %v", r.now.Sub(epoch), ev.Failed)
		}
		fired = max(fired, i*len(ev.Active))
		r.now = r.now.Add(time.Minute)
	}
	if fired != 24*60-1 {
		t.Errorf("last fired in minute %d", fired)
	}
	if v := r.value("count_over_time(load[3h])"); v < 178 || v > 181 {
		t.Errorf("%v samples of 3 h, want 180", v)
	}
}

func TestManyAtOnce(t *testing.T) {
	r := newRig(t, group(busy))
	done := make(chan error)
	for w := range 3 {
		go func() {
			var err error
			for i := range 50 {
				at := epoch.Add(time.Duration(i) * time.Second)
				_, e := r.e.Append(t.Context(), metrics(gauge("load", point{at, 90, fmt.Sprint(w)})), at)
				err = errors.Join(err, e)
				r.e.Wants([]byte("load"), nil, promrules.Gauge)
			}
			done <- err
		}()
	}
	go func() {
		var err error
		for i := range 50 {
			_, e := r.e.Evaluate(t.Context(), g, epoch.Add(time.Duration(i)*time.Second))
			f, p := promrules.Parse("test.yaml", []byte(group(busy)))
			err = errors.Join(err, e, p, r.e.Load([]*promrules.File{f}))
			r.e.Groups()
		}
		done <- err
	}()
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if v := r.value("count(load)"); v != 3 {
		t.Errorf("%v series", v)
	}
}

// Results are stored as long as Append is ahead by no more than MaxLead, and that
// they are not any more is told.
func TestEvaluationMayLagByMaxLead(t *testing.T) {
	rules := group("  - {record: mean, expr: \"avg_over_time(load[1m])\"}\n  - {alert: Mean, expr: mean > 80}")
	for _, c := range []struct {
		ahead time.Duration
		fails bool
	}{{promrules.MaxLead - 10*time.Second, false}, {promrules.MaxLead + time.Minute, true}} {
		r := newRig(t, rules)
		feed := load(0, time.Hour)
		for at := epoch; !at.After(epoch.Add(c.ahead)); at = at.Add(10 * time.Second) {
			r.now = at
			r.append(feed(at))
		}
		r.now = epoch.Add(5 * time.Second)
		if ev := r.evaluate(); (len(ev.Failed) > 0) != c.fails || !c.fails && len(ev.Active) != 1 {
			t.Errorf("%s ahead: %+v", c.ahead, ev)
		}
	}
}
