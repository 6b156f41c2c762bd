package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// calm is how long other clients are watched before an attack.
const calm = 2 * time.Second

// attackFor is how long an attack is repeated, for measurements: once, unless
// PENSTOCK_TEST_ATTACK says more.
func attackFor(t *testing.T) time.Duration {
	text := os.Getenv("PENSTOCK_TEST_ATTACK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("PENSTOCK_TEST_ATTACK: %v", err)
	}
	return d
}

// line is what attackers share: as fast as the machine, unless PENSTOCK_TEST_LINE
// says how many bytes a second it carries. Loopback has ten times a gigabit.
var line struct {
	sync.Mutex
	free time.Time // Mutex; when the next bytes may go
}

// hurled is how many bytes of bodies attackers have sent.
var hurled atomic.Int64

// pace waits until n bytes may be on the line.
func pace(t *testing.T, n int) {
	hurled.Add(int64(n))
	text := os.Getenv("PENSTOCK_TEST_LINE")
	if text == "" {
		return
	}
	rate, err := strconv.Atoi(text)
	if err != nil {
		t.Errorf("PENSTOCK_TEST_LINE: %v", err)
		return
	}
	line.Lock()
	now := time.Now()
	if line.free.Before(now) {
		line.free = now
	}
	at := line.free
	line.free = at.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	line.Unlock()
	time.Sleep(time.Until(at))
}

// turnsOf is how many times the others are watched alone and beside the attack, in
// turns, for measurements: once, unless PENSTOCK_TEST_TURNS says more.
func turnsOf(t *testing.T) int {
	text := os.Getenv("PENSTOCK_TEST_TURNS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("PENSTOCK_TEST_TURNS: %v", err)
	}
	return n
}

// turn is what was measured alone, and then beside one attack.
type turn struct {
	alone, beside       window
	took                time.Duration // of the attack
	hurled              int64         // bytes of bodies
	cpuAlone, cpuBeside float64       // of the gateway, in cores
}

func (t turn) String() string {
	return fmt.Sprintf("%.1f s | %d | %s | %s | %.0f MB/s | %.2f / %.2f cores", t.took.Seconds(), t.beside.N, t.alone, t.beside,
		float64(t.hurled)/1e6/t.took.Seconds(), t.cpuAlone, t.cpuBeside)
}

func takeTurn(t *testing.T, v victim, others *others, attack func(t *testing.T, v victim)) (n turn) {
	t.Helper()
	others.window(t) // what is left of the turn before is nobody's
	cpu, began := v.Usage().CPU, time.Now()
	time.Sleep(max(calm, attackFor(t))) // a measurement, not a wait for something
	n.alone = others.window(t)
	n.cpuAlone = (v.Usage().CPU - cpu).Seconds() / time.Since(began).Seconds()
	cpu, began = v.Usage().CPU, time.Now()
	before := hurled.Load()
	humbly(t, func() {
		for attack(t, v); time.Since(began) < attackFor(t); {
			attack(t, v)
		}
	})
	n.took, n.hurled = time.Since(began), hurled.Load()-before
	time.Sleep(time.Second - n.took) // an attack may be over before the others had a turn
	n.beside = others.window(t)
	n.cpuBeside = (v.Usage().CPU - cpu).Seconds() / time.Since(began).Seconds()
	if n.beside.N == 0 {
		t.Error("no request of another client was answered during the attack")
	}
	return n
}

// turns are those of one gateway.
type turns []turn

func (l turns) failures() (all []string) {
	for _, t := range l {
		all = append(append(all, t.alone.Failures...), t.beside.Failures...)
	}
	return all
}

// String has medians: of p99 alone and beside, of their ratios and differences, and of
// the cores that the gateway used.
func (l turns) String() string {
	of := func(f func(turn) float64) float64 {
		var v []float64
		for _, t := range l {
			v = append(v, f(t))
		}
		slices.Sort(v)
		return v[len(v)/2]
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("p99 %.1f / %.1f ms | ratio %.2f | difference %.1f ms | %.2f / %.2f cores",
		of(func(t turn) float64 { return ms(t.alone.P99) }), of(func(t turn) float64 { return ms(t.beside.P99) }),
		of(func(t turn) float64 { return float64(t.beside.P99) / float64(t.alone.P99) }),
		of(func(t turn) float64 { return ms(t.beside.P99 - t.alone.P99) }),
		of(func(t turn) float64 { return t.cpuAlone }), of(func(t turn) float64 { return t.cpuBeside }))
}
