package alerter

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/penstock-otel/penstock/internal/alerter/amnotify"
	"github.com/penstock-otel/penstock/internal/alerter/promrules"
	"github.com/penstock-otel/penstock/internal/alerting"
	"github.com/penstock-otel/penstock/internal/config"
)

// load reads the files of a configuration. Every problem is in the error, with the
// key that names its file.
func load(c alerting.Config, log *slog.Logger) (*loaded, error) {
	external, err := url.Parse(c.ExternalURL)
	if err != nil {
		return nil, fmt.Errorf("alerter.external_url: %w", err)
	}
	l := &loaded{}
	var errs []error
	if l.rules, err = LoadRules(c.Rules); err != nil {
		errs = append(errs, fmt.Errorf("alerter.rules: %w", err))
	}
	if c.Alertmanager == "" {
		l.notify, err = amnotify.Default(external, log)
	} else {
		l.notify, err = amnotify.Load(c.Alertmanager, external)
	}
	if err != nil {
		return nil, errors.Join(append(errs, fmt.Errorf("alerter.alertmanager: %w", err))...)
	}
	if l.policies, err = LoadPolicies(c.Escalation, l.notify); err != nil {
		errs = append(errs, fmt.Errorf("alerter.escalation: %w", err))
	}
	if l.print, err = fingerprint(c, l); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return l, nil
}

// fingerprint is that of what the files say. Files that a receiver reads at each send,
// as of its password, do not count.
func fingerprint(c alerting.Config, l *loaded) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	add := func(name string, text []byte) {
		fmt.Fprintf(h, "%d %s %d ", len(name), name, len(text)) //nolint:errcheck // a hash takes all
		h.Write(text)
	}
	for _, f := range l.rules {
		add(f.Name(), f.Text())
	}
	names := []string{c.Alertmanager, c.Escalation}
	for _, glob := range l.notify.Templates() {
		found, err := filepath.Glob(glob)
		if err != nil {
			return sum, fmt.Errorf("alerter.alertmanager: templates %q: %w", glob, err)
		}
		names = append(names, found...)
	}
	for _, name := range names {
		if name == "" {
			continue
		}
		text, err := config.ReadBounded(name, maxFileBytes)
		if err != nil {
			return sum, err
		}
		add(name, text)
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}

// maxFileBytes bounds a file of routes, policies or templates.
const maxFileBytes = 4 << 20

// Prepare implements alerting.Alerter. Rules that look back further than samples are
// kept are refused: they would be evaluated on a part of what they ask for. A nil
// apply is that all files say what they said.
func (a *Alerter) Prepare(c alerting.Config) (apply func(), err error) {
	l, err := load(c, a.o.Logger)
	if err != nil {
		return nil, err
	}
	if l.print == a.files.Load().print {
		return nil, nil
	}
	if needs := promrules.NeedsOf(l.rules, lookback).Range; needs > a.keeps {
		return nil, fmt.Errorf("alerter.rules: they look back %s, and this process keeps %s of samples since its start: restart it to load them", needs, a.keeps.Round(time.Second))
	}
	if err := tryRules(l.rules); err != nil {
		return nil, fmt.Errorf("alerter.rules: %w", err)
	}
	return func() {
		if err := a.engines.Load(l.rules); err != nil { // an engine took them just now
			a.o.Logger.Error("BUG: the rules that were prepared are not loaded by all engines", "error", err)
		}
		a.files.Store(l)
		a.router.Load(l.notify)
		a.o.Logger.Info("alerts: rules, routes and policies are loaded anew", "files", len(l.rules))
	}, nil
}

// tryRules has an engine load the rules that is thrown away then.
func tryRules(files []*promrules.File) error {
	e, err := promrules.New(promrules.Options{MaxSeries: 1})
	if err != nil {
		return err
	}
	return errors.Join(e.Load(files), e.Close())
}
