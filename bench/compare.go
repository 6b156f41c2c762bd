//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/penstock-otel/penstock/bench/peer"
)

// runCompare measures Penstock and its peers turn by turn: the same requests, the
// same sink, one after the other, and every second time in reverse.
func runCompare(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parseOptions("compare", args, errs)
	if err != nil {
		return err
	}
	chosen, err := pickScenarios(o)
	if err != nil {
		return err
	}
	peers, err := peer.Collectors(ctx, o.collector)
	if err != nil {
		return err
	}
	peers = peers[:2] // the others are what was tried
	cleanup, err := o.prepare(ctx)
	if err != nil {
		return err
	}
	defer cleanup()
	r := newReport(append([]string{"compare"}, args...), o.common)
	for _, p := range peers {
		r.Peers = append(r.Peers, Peer{p.Name, p.Product, p.Promise, p.Tuned})
	}
	for _, p := range peer.NotHere {
		r.NotHere = append(r.NotHere, p.Name+": "+p.Why)
	}
	var failed error
	for _, s := range chosen {
		found, err := s.compare(ctx, o, peers, errs)
		if err != nil {
			failed = fmt.Errorf("scenario %s: %w", s.name, err)
			break
		}
		r.add(found)
	}
	r.table(out)
	for _, p := range r.Peers {
		fmt.Fprintf(out, "%s: %s; acknowledged means %s; set: %s\n", p.Name, p.Product, p.Promise, p.Tuned)
	}
	fmt.Fprintf(out, "not compared: %s\n", strings.Join(r.NotHere, "; "))
	return errors.Join(failed, r.save(o.results, errs))
}

func (s scenario) compare(ctx context.Context, o options, peers []peer.Peer, errs io.Writer) (out outcome, err error) {
	if len(s.set) > 0 || s.load.Transport != "grpc" {
		return out, errors.New("peers are set for gRPC and know no settings of Penstock")
	}
	sides := []side{{"penstock", func() (*site, error) { return s.up(ctx, o) }}}
	for _, p := range peers {
		sides = append(sides, side{p.Name, func() (*site, error) {
			return build(ctx, o.common, s.ids, o.syncs, "", func(ctx context.Context, at *site) error { return at.peer(ctx, p) })
		}})
	}
	results, err := s.inTurns(ctx, o, sides, errs)
	if err != nil {
		return out, err
	}
	for _, x := range sides {
		for i := range results[x.name] {
			results[x.name][i].Variant = ""
		}
		out.Results = slices.Concat(out.Results, results[x.name])
		if x.name != "penstock" {
			out.Ratios = append(out.Ratios,
				ratio(s.name, "rate from first request to last arrival", "penstock", x.name, results, func(r Result) float64 { return r.Whole.Rate }),
				ratio(s.name, "CPU an item over that time", "penstock", x.name, results, func(r Result) float64 { return r.Whole.CPU }),
				ratio(s.name, "peak resident", "penstock", x.name, results, func(r Result) float64 { return float64(r.PeakRSS) }))
		}
	}
	return out, nil
}

// peer starts another gateway in the place of Penstock.
func (s *site) peer(ctx context.Context, p peer.Peer) error {
	health := s.admin
	s.admin = "" // it has no metrics of Penstock
	c, err := p.Command(peer.Place{Dir: s.dir, GRPC: s.grpc, Health: health, Sink: s.sinkAddr})
	if err != nil {
		return err
	}
	s.config = c.Config
	if s.up, err = spawn(s.dir, p.Name, false, c.Env, c.Argv...); err != nil {
		return err
	}
	if err := s.up.ready(ctx, c.Ready); err != nil {
		return err
	}
	s.meters[p.Name] = newMeter(s.countSyncs, s.up.pid())
	return nil
}
