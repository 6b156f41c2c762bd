package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/penstock-otel/penstock/internal/admin"
	"github.com/penstock-otel/penstock/internal/api"
	"github.com/penstock-otel/penstock/internal/cli/rolecmd"
)

// watchAgain is the pause before a watch that was cut off goes on.
const watchAgain = time.Second

func alertsWatch() *cobra.Command {
	cmd := &cobra.Command{Use: "watch", Short: "follow what happens, a line each", Args: cobra.NoArgs,
		Long:    "Shows what happens to alerts as it does, until Ctrl-C. A watch that is cut off goes on where it was, for a minute.",
		Example: "  penstock alerts watch\n  penstock alerts watch --kind fired --kind resolved -o json"}
	fs := cmd.Flags()
	kinds := fs.StringSlice("kind", nil, "kinds of events, as fired, acked or notify_failed, again for more")
	tenants := fs.StringSlice("tenant", nil, "tenants, again for more")
	after := fs.Uint64("after", 0, "begin behind this position of the log, as lists and lines have it (default: with what comes)")
	limit := fs.Int("limit", 0, "end after so many events (default: none)")
	output := fs.StringP("output", "o", "line", "line or json")
	address := rolecmd.AdminFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *output != "line" && *output != "json" {
			return &rolecmd.UsageError{Err: fmt.Errorf("output is %q: want line or json", *output)}
		}
		addr, err := address()
		if err != nil {
			return err
		}
		w := &watcher{cmd: cmd, addr: addr, q: url.Values{"kind": *kinds, "tenant": *tenants}, json: *output == "json", at: *after, left: *limit}
		if f, ok := cmd.OutOrStdout().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			if width, _, err := term.GetSize(int(f.Fd())); err == nil {
				w.width = width
			}
		}
		return w.run()
	}
	return cmd
}

// watcher follows one process.
type watcher struct {
	cmd   *cobra.Command
	addr  string
	q     url.Values
	json  bool
	width int // of the terminal; 0: lines are not cut

	at    uint64 // the position behind which it goes on; 0: with what comes
	left  int    // events to show; 0: all
	ended bool   // what was to be shown was
}

// run follows until there was enough, ctx ends, or nothing has answered for a while.
func (w *watcher) run() error {
	ctx := w.cmd.Context()
	began, cut := false, time.Time{}
	for {
		came := false
		err := w.once(func() { began, came = true, true })
		if ctx.Err() != nil || w.ended {
			return nil
		}
		var status *admin.StatusError
		var shown *shownError
		switch {
		case errors.As(err, &shown):
			return shown.error
		case errors.As(err, &status) && (status.Code == http.StatusUnprocessableEntity || status.Code == http.StatusBadRequest):
			return &rolecmd.UsageError{Err: err}
		case errors.As(err, &status) && status.Code != http.StatusServiceUnavailable && status.Code != http.StatusTooManyRequests, !began:
			return rolecmd.Explain(err)
		}
		if came || cut.IsZero() {
			cut = time.Now()
			why := "it was closed"
			if err != nil {
				why = err.Error()
			}
			fmt.Fprintf(w.cmd.ErrOrStderr(), "the watch was cut off and goes on as soon as it can: %s\n", why) //nolint:errcheck // a hint
		}
		if time.Since(cut) > followPatience {
			if err == nil {
				err = fmt.Errorf("the watch of %s is closed each time", w.addr)
			}
			return rolecmd.Explain(err)
		}
		t := time.NewTimer(watchAgain)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// shownError ends a watch for good.
type shownError struct{ error }

// once watches until it is cut off. came is called at each line.
func (w *watcher) once(came func()) error {
	q := copyValues(w.q)
	if w.at > 0 {
		q.Set("after", strconv.FormatUint(w.at, 10))
	}
	ctx, cancel := context.WithCancel(w.cmd.Context())
	defer cancel()
	return admin.Stream(ctx, w.addr, alertsPath+"/watch?"+q.Encode(), func(line []byte) error {
		var e api.AlertEvent
		if err := json.Unmarshal(line, &e); err != nil {
			return &shownError{fmt.Errorf("the answer of %s is not that of this version of Penstock: %w", w.addr, err)}
		}
		came()
		if e.Kind == api.WatchError {
			return errors.New(e.Problem) // it may be better the next time
		}
		if !e.More {
			w.at = e.Position
		}
		if e.Kind == api.WatchBegins {
			return nil
		}
		var err error
		if w.json {
			_, err = fmt.Fprintf(w.cmd.OutOrStdout(), "%s\n", line)
		} else {
			err = eventLine(w.cmd.OutOrStdout(), &e, w.width)
		}
		if err != nil {
			return &shownError{err}
		}
		if w.left > 0 && e.Kind != api.WatchReset {
			if w.left--; w.left == 0 {
				w.ended = true
				cancel()
			}
		}
		return nil
	})
}
