package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// SignalContext ends the returned context at the first SIGTERM or SIGINT. A
// second one ends the process at once with a message and the code 128 + signal,
// for an operator who will not wait. Call the returned function to give the
// signals back; it waits for the goroutine behind it.
func SignalContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return signalContext(ctx, os.Stderr, os.Exit)
}

func signalContext(parent context.Context, w io.Writer, exit func(int)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals, done, ended := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			// Nobody is left to tell when standard error is gone.
			_, _ = fmt.Fprintf(w, "%s: stopping; a second signal ends the process at once\n", s)
			cancel(fmt.Errorf("received %s: %w", s, context.Canceled))
		case <-done:
			return
		}
		select {
		case s := <-signals:
			_, _ = fmt.Fprintf(w, "%s again: ending at once, without an ordered stop\n", s)
			code := 1
			if n, ok := s.(syscall.Signal); ok {
				code = 128 + int(n)
			}
			exit(code)
		case <-done:
		}
	}()
	var stopped bool
	return ctx, func() {
		if !stopped {
			stopped = true
			signal.Stop(signals)
			close(done)
		}
		<-ended
		cancel(context.Canceled)
	}
}

// Hangups gives SIGHUP to the returned channel, one at a time: those that come
// while one waits there are one with it. It no longer ends the process. Call the
// returned function to give the signal back.
func Hangups() (<-chan os.Signal, func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups, func() { signal.Stop(hangups) }
}
