// Package cost tells where the CPU time of a Penstock process goes, by the parts of
// the way of a byte: it sorts the stacks of a CPU profile. Each sample belongs to
// one part, so that the shares add up to one.
package cost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// Part is one part and its share of all CPU time, 0 to 1.
type Part struct {
	Name  string  `json:"name"`
	Share float64 `json:"share"`
}

// Of reads a profile file, as /debug/pprof/profile gives it. All parts are there, in
// the order of the way, also those that cost nothing. It needs the go command.
func Of(ctx context.Context, profile string) ([]Part, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-unit=ms", profile)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go tool pprof %s: %w\n%s", profile, err, errs.Bytes())
	}
	return Sort(bytes.NewReader(out))
}

// Sort reads what "go tool pprof -traces -unit=ms" prints.
func Sort(traces io.Reader) ([]Part, error) {
	spent := map[string]float64{}
	all := 0.0
	err := stacks(traces, func(ms float64, frames []string) {
		spent[part(frames)] += ms
		all += ms
	})
	if err != nil {
		return nil, err
	}
	if all == 0 {
		return nil, errors.New("the profile has no samples")
	}
	parts := make([]Part, len(order))
	for i, name := range order {
		parts[i] = Part{name, spent[name] / all}
	}
	return parts, nil
}

// stacks calls f for each sample, frames from the innermost on.
func stacks(r io.Reader, f func(ms float64, frames []string)) error {
	var value float64
	var frames []string
	flush := func() {
		if len(frames) > 0 {
			f(value, frames)
		}
		frames = frames[:0]
	}
	begun := false
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case strings.HasPrefix(lines.Text(), "-----------+"):
			flush()
			begun = true
		case !begun || len(words) == 0:
		case len(frames) > 0:
			frames = append(frames, words[0])
		case strings.HasSuffix(words[0], ":"): // a label
		case len(words) > 1:
			v, err := strconv.ParseFloat(strings.TrimSuffix(words[0], "ms"), 64)
			if err != nil {
				return fmt.Errorf("line %q: want milliseconds and a function", lines.Text())
			}
			value, frames = v, append(frames, words[1])
		}
	}
	flush()
	return lines.Err()
}

// part is the first rule that fits.
func part(frames []string) string {
	stack := strings.Join(frames, "\n")
	for _, r := range rules {
		if r.fits(stack) {
			return r.part
		}
	}
	return Rest
}

// Rest is what no rule knows.
const Rest = "rest"

// rule fits a stack that has one of any and, unless with is empty, also with.
type rule struct {
	part string
	with string
	any  []string
}

func (r rule) fits(stack string) bool {
	return strings.Contains(stack, r.with) && slices.ContainsFunc(r.any, func(s string) bool { return strings.Contains(stack, s) })
}

const system = "syscall/linux.Syscall6"

// rules, the more special ones first.
var rules = []rule{
	{"receive: system calls", system, []string{"receiver.(*readAheadConn)"}},
	{"answers: system calls", system, []string{"transport.NewServerTransport", "transport.(*http2Server)"}},
	{"export: system calls", system, []string{"transport.NewHTTP2Client", "transport.(*http2Client)"}},
	{"queue: fsync", system, []string{"syscall.Fsync", "syscall.Fdatasync"}},
	{"queue: write", system, []string{"syscall.pwrite"}},
	{"queue: other system calls", system, []string{"nats-server"}},

	{"collector", "", []string{"runtime.gcBgMarkWorker", "runtime.bgscavenge", "runtime.bgsweep", "runtime.gcAssistAlloc", "runtime.gcStart",
		"runtime.deductSweepCredit", "runtime.wbBufFlush", "runtime.runCleanups", "runtime.gcMarkTermination", "runtime.(*mheap).reclaim"}},
	{"allocation", "", []string{"runtime.mallocgc", "runtime.newobject", "runtime.makeslice", "runtime.growslice"}},
	{"scheduler", "", []string{"runtime.mcall", "runtime.schedule", "runtime.goready", "runtime.ready", "runtime.selectgo", "runtime.gopark",
		"runtime.newproc", "runtime.morestack", "runtime.mstart", "runtime.sysmon", "runtime.lock2", "runtime.semrelease"}},

	{"check", "", []string{"internal/otlp.Check"}},
	{"receive: read ahead, copied", "", []string{"receiver.(*readAheadConn).Read"}},
	{"receive: pieces, copied", "", []string{"grpcwire.(*Frame).Bytes", "grpcwire.(*Frame).onePiece"}},
	{"join", "", []string{"committer.join"}},
	{"compress", "", []string{"codec.Policy.Append", "codec.(*Policy).Append", "s2.encodeBlock", "zstd.(*Encoder)"}},
	{"packed, copied", "", []string{"committer.(*Committer).pack"}},
	{"decompress", "", []string{"codec.Decode", "s2.s2Decode"}},
	{"checksum", "", []string{"codec.Checksum"}},
	{"export: write buffer, copied", "transport.NewHTTP2Client", []string{"runtime.memmove"}},
	{"queue: server", "", []string{"nats-server"}},
	{"queue: client", "", []string{"nats-io/nats.go", "nats-io/nats%2ego", "pkg/queue/"}},
	{"export: HTTP/2 and gRPC", "", []string{"transport.NewHTTP2Client", "transport.(*http2Client)", "grpc.(*ClientConn)", "grpc.invoke", "pkg/pool."}},
	{"commit, the rest", "", []string{"gateway/committer."}},
	{"receive: HTTP/2 and gRPC", "", []string{"grpc.(*Server)", "transport.NewServerTransport", "transport.(*http2Server)"}},
	{"worker, the rest", "", []string{"internal/worker"}},
}

// order is that of the way.
var order = []string{
	"receive: system calls", "receive: read ahead, copied", "receive: HTTP/2 and gRPC", "receive: pieces, copied",
	"check", "join", "compress", "packed, copied", "commit, the rest",
	"queue: client", "queue: server", "queue: write", "queue: fsync", "queue: other system calls", "answers: system calls",
	"checksum", "decompress", "worker, the rest", "export: HTTP/2 and gRPC", "export: write buffer, copied", "export: system calls",
	"allocation", "collector", "scheduler", Rest,
}
